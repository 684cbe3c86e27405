// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

import java.lang.foreign.MemorySegment;

/**
 * The numbered regions of a VFIO device, for whom it is served. Who asks waits for an answer before
 * it asks again, but for writes that are posted. Loop thread only.
 */
public interface Regions {
    /** Bytes of a region; 0 if there is none. Any number may be asked for. */
    long size(int region);

    /**
     * Reads {@code count} bytes to {@code at} of {@code data}.
     *
     * @param data stays in place until the answer
     */
    void read(int region, long offset, int count, MemorySegment data, long at, Answer answer);

    /**
     * Writes {@code count} bytes from {@code at} of {@code data}, which is read before this
     * returns.
     *
     * @param isPosted the answer is for nobody but the caller, who may go on: what is asked for
     *     later is done later all the same
     */
    void write(
            int region,
            long offset,
            int count,
            MemorySegment data,
            long at,
            boolean isPosted,
            Answer answer);

    /** Hears of the end of an access, perhaps at once. */
    @FunctionalInterface
    interface Answer {
        /**
         * @param errno 0: it is done
         */
        void done(int errno);
    }
}
