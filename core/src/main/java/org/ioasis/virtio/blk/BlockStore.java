package org.ioasis.virtio.blk;

import java.io.IOException;
import java.nio.ByteBuffer;

/**
 * Where a disk's bytes are. Methods that move data may block and are called by several I/O threads
 * at once, never by the device's thread. The device checks ranges: {@code position} and the
 * buffer's remaining bytes always lie inside {@link #capacity}.
 */
public interface BlockStore {
    /** Size in bytes; does not change. */
    long capacity();

    /** True if {@link #write} must not be called. */
    boolean isReadOnly();

    /** Fills all that remains of {@code target} with the bytes from {@code position} on. */
    void read(long position, ByteBuffer target) throws IOException;

    /** Writes all that remains of {@code source} from {@code position} on. */
    void write(long position, ByteBuffer source) throws IOException;

    /** Returns when all writes that returned before this call will survive a crash of the host. */
    void flush() throws IOException;
}
