// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.net;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.nio.ByteOrder.BIG_ENDIAN;

import java.io.Closeable;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.List;
import org.ioasis.loop.EventHandler;
import org.ioasis.loop.EventLoop;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.UnixSocket;
import org.ioasis.virtio.net.Link;
import org.ioasis.virtio.net.Station;
import org.jspecify.annotations.Nullable;

/**
 * Frames over a connected stream socket, each behind its length in four bytes, the highest first:
 * what QEMU's {@code -netdev stream} speaks, and passt. The other side is not trusted: it may send
 * anything in any pieces, or nothing, or take nothing. When it goes the link is down and stays so.
 *
 * <p>Made and closed by the machine's builder, the latter when the loop has ended; else loop
 * thread.
 */
final class StreamLink implements Link, EventHandler, Closeable {
    /** A longer frame is none: what follows cannot be told from it. As QEMU's own limit. */
    static final int FRAME_MAX = 68 << 10;

    /**
     * Read at once: what that holds of frames of Ethernet's least length is what a guest's device
     * keeps. The guest gets them before the next is read.
     */
    private static final int READ_BYTES = 16 << 10;

    private static final ValueLayout.OfInt LENGTH = JAVA_INT_UNALIGNED.withOrder(BIG_ENDIAN);
    private static final int LENGTH_BYTES = Integer.BYTES;

    private final UnixSocket socket;
    private final MemorySegment in = Arena.ofAuto().allocate(LENGTH_BYTES + FRAME_MAX + READ_BYTES);
    private final MemorySegment out = Arena.ofAuto().allocate(LENGTH_BYTES + FRAME_MAX);

    /** Received and not yet understood. */
    private int inCount;

    /** What is left of the frame that is being sent. */
    private int outFirst;

    private int outCount;

    /** The guest's side waits to be told of room. */
    private boolean isAwaited;

    private boolean isDown;
    private @Nullable Station station;
    private EventLoop.@Nullable Registration registration;

    private StreamLink(UnixSocket socket) {
        this.socket = socket;
    }

    /**
     * Connects to who listens there.
     *
     * @throws ErrnoException nobody does
     */
    static StreamLink connect(Path path) throws ErrnoException {
        return new StreamLink(UnixSocket.connect(path));
    }

    /** Begins when the loop does. Any thread. */
    void begin(EventLoop loop, Station guest) {
        loop.execute(() -> {
            station = guest;
            try {
                registration = loop.register(socket.fd(), Epoll.IN, this);
            } catch (ErrnoException e) {
                // No more descriptors can be watched: the guest sees a link without a carrier.
                end();
            }
        });
    }

    @Override
    public Sent send(MemorySegment frame, int length) {
        if (isDown) {
            return Sent.LOST;
        }
        if (outCount > 0) {
            isAwaited = true;
            return Sent.FULL;
        }
        out.set(LENGTH, 0, length);
        MemorySegment.copy(frame, 0, out, LENGTH_BYTES, length);
        outFirst = 0;
        outCount = LENGTH_BYTES + length;
        flush();
        return isDown ? Sent.LOST : Sent.TAKEN;
    }

    private void flush() {
        try {
            while (outCount > 0) {
                int sent = socket.send(out, outFirst, outCount, List.of());
                if (sent == -Errno.EAGAIN) {
                    break;
                }
                outFirst += sent;
                outCount -= sent;
            }
        } catch (ErrnoException e) {
            // The other side is gone.
            end();
            return;
        }
        EventLoop.Registration watched = registration;
        if (watched != null) {
            watched.events(outCount > 0 ? Epoll.IN | Epoll.OUT : Epoll.IN);
        }
    }

    @Override
    public void ready(int events) {
        if (outCount > 0 && (events & Epoll.OUT) != 0) {
            flush();
        }
        if (!isDown && (events & ~Epoll.OUT) != 0) {
            receive();
        }
        if (isAwaited && (isDown || outCount == 0)) {
            isAwaited = false;
            guest().writable();
        }
    }

    private void receive() {
        int received;
        try {
            received = socket.receive(in, inCount, READ_BYTES, List.of());
        } catch (ErrnoException e) {
            // The other side is gone, or sends what no frame is.
            end();
            return;
        }
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

    private Station guest() {
        Station guest = station;
        if (guest == null) {
            throw new IllegalStateException("not begun");
        }
        return guest;
    }

    private void end() {
        if (isDown) {
            return;
        }
        isDown = true;
        outCount = 0;
        EventLoop.Registration watched = registration;
        if (watched != null) {
            watched.cancel();
        }
        socket.close();
        guest().link(false);
    }

    @Override
    public void failed(Throwable cause) {
        end();
    }

    @Override
    public void close() {
        socket.close();
    }
}
