// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import java.io.Closeable;
import java.io.IOException;

/**
 * Gives parts of a file back to the host, which Java's channels cannot do: handed in by who can
 * make system calls. Any thread.
 */
@FunctionalInterface
public interface HolePuncher extends Closeable {
    /** For files without holes. */
    HolePuncher NONE =
            new HolePuncher() {
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

    /** Called when the store that uses it is closed. */
    @Override
    default void close() throws IOException {}
}
