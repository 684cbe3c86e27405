// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import org.ioasis.iommufd.FailureInjector;

/**
 * How the memory that a table leads to is kept: registered before, or held page by page. Under the
 * lock of its {@link HardwareTable}.
 */
interface Backing {
    /**
     * Takes the memory of one page.
     *
     * @param user its address in the process, a multiple of the page's size
     * @return its address for the table, or a negative errno
     */
    long take(long user, int pageLg2, boolean isWritable, FailureInjector failures);

    /** Whether {@link #take} would find registered memory. Any thread, without a lock. */
    boolean isRegistered(long user, int pageLg2);

    /** What {@link #take} took is not used. */
    void untake(long user, long address);

    /** Makes room for {@link #note}; false: there is none. */
    boolean reserve(long entry);

    /** An entry leads to what was taken. */
    void note(long entry, long user);

    /** An entry leads there no more. */
    void drop(long entry, long address);

    /** The table is gone, with all entries. */
    void free();
}
