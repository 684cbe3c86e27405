// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * Where pages live: a file, memory that processes share, or the private memory of one. Two sources
 * are {@link Object#equals equal} if and only if the same offset is the same page in both; this is
 * how one page is known through several addresses, processes and contexts.
 *
 * <p>Called with the lock of a context, on any thread.
 */
public interface PageSource {
    /**
     * Reads bytes of pages that are held.
     *
     * @return 0 or a negative errno
     */
    int read(long offset, MemorySegment to, long at, long length);

    /** As {@link #read}, the other way. */
    int write(long offset, MemorySegment from, long at, long length);

    /**
     * Registers or memory of a device that the program has mapped, and no memory of its own: only
     * who asks for such has it.
     */
    default boolean isDevice() {
        return false;
    }

    /** The first page of it is held: it must stay readable, whatever its program does. */
    default void hold() {}

    /** No page of it is held any more. */
    default void release() {}

    /**
     * All of it as memory that devices of this process can reach, the same as long as it is held;
     * null: only calls reach it.
     */
    default @Nullable MemorySegment memory() {
        return null;
    }
}
