// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

/** Where a function's MSI-X vectors go. Loop thread. */
@FunctionalInterface
public interface VectorSink {
    /** Nobody listens: before a session, and after it. */
    VectorSink NONE = vector -> false;

    /** Raises a vector; false if nobody has set it up, and nothing happens. */
    boolean trigger(int vector);
}
