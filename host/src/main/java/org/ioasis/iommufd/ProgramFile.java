// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/**
 * An open file of a program whose pages can be held (a memfd); held open until closed. Called with
 * the lock of a context, on any thread.
 */
public interface ProgramFile extends AutoCloseable {
    PageSource source();

    /** Bytes now. */
    long size();

    /** Whether it was opened for writing, and is not sealed against it. */
    boolean isWritable();

    @Override
    void close();
}
