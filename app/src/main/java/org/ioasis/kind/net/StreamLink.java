// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.net;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.nio.ByteOrder.BIG_ENDIAN;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.List;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.UnixSocket;

/**
 * Frames over a connected stream socket, each behind its length in four bytes, the highest first:
 * what QEMU's {@code -netdev stream} speaks, and passt. Threads as {@link Carrier}.
 */
final class StreamLink extends Carrier {
    /** A longer frame is none: what follows cannot be told from it. As QEMU's own limit. */
    static final int FRAME_MAX = 68 << 10;

    /**
     * Read at once: what that holds of frames of Ethernet's least length is what a guest's device
     * keeps. The guest gets them before the next is read.
     */
    private static final int READ_BYTES = 16 << 10;

    private static final ValueLayout.OfInt LENGTH = JAVA_INT_UNALIGNED.withOrder(BIG_ENDIAN);
    private static final int LENGTH_BYTES = Integer.BYTES;

    private final Path path;
    private final UnixSocket socket;
    private final MemorySegment in = Arena.ofAuto().allocate(LENGTH_BYTES + FRAME_MAX + READ_BYTES);
    private final MemorySegment out = Arena.ofAuto().allocate(LENGTH_BYTES + FRAME_MAX);

    /** Received and not yet understood. */
    private int inCount;

    /** What is left of the frame that is being sent. */
    private int outFirst;

    private int outCount;

    private StreamLink(Path path, UnixSocket socket) {
        this.path = path;
        this.socket = socket;
    }

    /**
     * Connects to who listens there.
     *
     * @throws ErrnoException nobody does
     */
    static StreamLink connect(Path path) throws ErrnoException {
        return new StreamLink(path, UnixSocket.connect(path));
    }

    @Override
    int fd() {
        return socket.fd();
    }

    @Override
    boolean isFull() {
        return outCount > 0;
    }

    @Override
    Sent take(MemorySegment frame, int length) throws ErrnoException {
        out.set(LENGTH, 0, length);
        MemorySegment.copy(frame, 0, out, LENGTH_BYTES, length);
        outFirst = 0;
        outCount = LENGTH_BYTES + length;
        flush();
        return Sent.TAKEN;
    }

    @Override
    void flush() throws ErrnoException {
        while (outCount > 0) {
            int sent = socket.send(out, outFirst, outCount, List.of());
            if (sent == -Errno.EAGAIN) {
                return;
            }
            outFirst += sent;
            outCount -= sent;
        }
    }

    @Override
    void receive() throws ErrnoException {
        int received = socket.receive(in, inCount, READ_BYTES, List.of());
        if (received == -Errno.EAGAIN) {
            return;
        }
        if (received == 0) {
            end();
            return;
        }
        inCount += received;
        int at = 0;
        while (inCount - at >= LENGTH_BYTES) {
            int length = in.get(LENGTH, at);
            if (length < 0 || length > FRAME_MAX) {
                end();
                return;
            }
            if (inCount - at - LENGTH_BYTES < length) {
                break;
            }
            boolean _ = guest().receive(in, at + LENGTH_BYTES, length);
            at += LENGTH_BYTES + length;
        }
        MemorySegment.copy(in, at, in, 0, inCount - at);
        inCount -= at;
    }

    @Override
    public String description() {
        return "stream=" + path;
    }

    @Override
    public void close() {
        outCount = 0;
        socket.close();
    }
}
