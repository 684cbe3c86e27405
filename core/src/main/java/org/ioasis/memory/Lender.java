// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * Gives a piece of a region a second lifetime, so that it can be taken back from a borrower while
 * the region stays. Implemented where guest memory is mapped; any thread.
 */
@FunctionalInterface
public interface Lender {
    /**
     * The bytes {@code offset .. offset + length - 1} of the region, accessible until {@code arena}
     * is closed.
     */
    MemorySegment lend(long offset, long length, Arena arena);
}
