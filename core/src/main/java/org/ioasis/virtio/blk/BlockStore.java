// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;

/**
 * Where a disk's bytes are. Methods that move data may block and are called by several I/O threads
 * at once, never by the device's thread, but for {@link #readCached}. The device checks ranges:
 * {@code position} and the buffer's remaining bytes (or {@code length}) always lie inside {@link
 * #capacity}.
 *
 * <p>A method that returns has done all of it; one that throws may have done a part.
 */
public interface BlockStore {
    /** Size in bytes; does not change. */
    long capacity();

    /** True if nothing may be called that changes the content. */
    boolean isReadOnly();

    /** True if {@link #discard} and {@link #writeZeroes} may give room back to the host. */
    boolean canDeallocate();

    /** Fills all that remains of {@code target} with the bytes from {@code position} on. */
    void read(long position, ByteBuffer target) throws IOException;

    /**
     * Reads {@code length} bytes into the beginning of {@code target} if that takes no waiting, as
     * {@link FileCalls#readCached}. False if they have to be read on an I/O thread. The device's
     * thread.
     */
    default boolean readCached(long position, MemorySegment target, long length) {
        return false;
    }

    /** Writes all that remains of {@code source} from {@code position} on. */
    void write(long position, ByteBuffer source) throws IOException;

    /**
     * Nobody wants these {@code length >= 1} bytes any more; what they read as afterwards is left
     * open.
     */
    void discard(long position, long length) throws IOException;

    /**
     * Makes {@code length >= 1} bytes read as zeroes.
     *
     * @param mayDeallocate the room for them need not be kept
     */
    void writeZeroes(long position, long length, boolean mayDeallocate) throws IOException;

    /** Returns when all writes that returned before this call will survive a crash of the host. */
    void flush() throws IOException;
}
