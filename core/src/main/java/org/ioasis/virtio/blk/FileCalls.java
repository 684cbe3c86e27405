// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import java.io.Closeable;
import java.io.IOException;
import java.lang.foreign.MemorySegment;

/**
 * What Java's channels cannot do with a file: handed in by who can make system calls. Any thread,
 * but for {@link #readCached}.
 */
@FunctionalInterface
public interface FileCalls extends Closeable {
    /** For files of which nothing but reading and writing is known. */
    FileCalls NONE =
            new FileCalls() {
                @Override
                public boolean canPunch() {
                    return false;
                }

                @Override
                public boolean punch(long position, long length) {
                    return false;
                }
            };

    /** False if it never does, so that the guest is not told that it may discard. */
    default boolean canPunch() {
        return true;
    }

    /**
     * Makes {@code length >= 1} bytes from {@code position} on read as zeroes and frees their
     * blocks. Returns false, with nothing changed, where that is not possible.
     */
    boolean punch(long position, long length) throws IOException;

    /**
     * Reads {@code length >= 1} bytes into the beginning of {@code target} if the host has all of
     * them in its memory; never waits. False if it has not, or if they cannot be read at all, which
     * an ordinary read then finds out; something may be in {@code target} in any case. The device's
     * thread.
     */
    default boolean readCached(long position, MemorySegment target, long length) {
        return false;
    }

    /** Called when the store that uses it is closed. */
    @Override
    default void close() throws IOException {}
}
