// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import java.lang.foreign.MemorySegment;

/**
 * A piece of guest memory lent to a device past the end of a guarded section (see {@link Dma#pin}).
 * Holds back the answer to an UNMAP of its range until it is closed or its deadline passes; then
 * its segment is closed under whoever still uses it, which shows as {@link IllegalStateException}.
 * Closing works from any thread and twice as well as once.
 */
public interface Lease extends AutoCloseable {
    /** First address, in the device's address space. */
    long first();

    /** Last address, inclusive. */
    long last();

    /** The memory itself. Its arena is closed at {@link #close} and at revocation. */
    MemorySegment segment();

    /** True once the deadline has passed and the memory was taken back. */
    boolean isRevoked();

    @Override
    void close();
}
