// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.UnixSocket;

/**
 * A VMM's end of a socket, whatever is spoken there: sends any bytes, and waits no longer than a
 * test may. One thread.
 */
public abstract class SocketPeer implements AutoCloseable {
    public static final int WAIT_MILLIS = 10_000;

    private final String server;
    private final UnixSocket socket;
    private final Epoll epoll;
    private final MemorySegment buffer = Arena.ofAuto().allocate(1 << 20);

    /**
     * @param server what the protocol calls the other end
     */
    protected SocketPeer(UnixSocket socket, String server) throws ErrnoException {
        this.server = server;
        this.socket = socket;
        this.epoll = Epoll.create();
        epoll.add(socket.fd(), Epoll.IN, 0);
    }

    /** Sends all of it; the descriptors go with the first byte. */
    public final void sendBytes(byte[] bytes, Fd... fds) throws ErrnoException {
        MemorySegment.copy(bytes, 0, buffer, ValueLayout.JAVA_BYTE, 0, bytes.length);
        List<Fd> first = List.of(fds);
        int sent = 0;
        while (sent < bytes.length) {
            List<Fd> with = sent == 0 ? first : List.of();
            int n = socket.send(buffer, sent, bytes.length - sent, with);
            if (n == -Errno.EAGAIN) {
                throw new IllegalStateException("socket is full after " + sent + " bytes");
            }
            sent += n;
        }
    }

    /** Sends what there is room for, to somebody who may have gone. */
    public final void offerBytes(byte[] bytes) {
        MemorySegment.copy(bytes, 0, buffer, ValueLayout.JAVA_BYTE, 0, bytes.length);
        try {
            int _ = socket.send(buffer, 0, bytes.length, List.of());
        } catch (ErrnoException e) {
            Thread.onSpinWait(); // closed meanwhile, which is what is waited for
        }
    }

    /** Waits for so many bytes, little-endian. No descriptors come with them. */
    protected final ByteBuffer receiveBytes(int size) throws ErrnoException {
        List<Fd> fds = new ArrayList<>();
        ByteBuffer bytes = receiveBytes(size, fds);
        if (!fds.isEmpty()) {
            fds.forEach(Fd::close);
            throw new IllegalStateException("the " + server + " sends descriptors");
        }
        return bytes;
    }

    /** The same, with the descriptors that come with them. */
    protected final ByteBuffer receiveBytes(int size, List<Fd> fds) throws ErrnoException {
        byte[] bytes = new byte[size];
        int have = 0;
        while (have < size) {
            if (epoll.await(WAIT_MILLIS) == 0) {
                throw new IllegalStateException("no reply: " + have + " of " + size + " bytes");
            }
            int part = (int) Math.min(size - have, buffer.byteSize());
            int n = socket.receive(buffer, 0, part, fds);
            if (n == 0) {
                throw new IllegalStateException(server + " closed");
            }
            if (n > 0) {
                MemorySegment.copy(buffer, ValueLayout.JAVA_BYTE, 0, bytes, have, n);
                have += n;
            }
        }
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** True if nothing comes for {@code millis}. */
    public final boolean isSilentFor(int millis) {
        return epoll.await(millis) == 0;
    }

    /** Waits until the other end has closed; reads and drops what comes before. */
    public final void awaitClose() throws ErrnoException {
        List<Fd> fds = new ArrayList<>();
        while (true) {
            if (epoll.await(WAIT_MILLIS) == 0) {
                throw new IllegalStateException(server + " did not close");
            }
            try {
                if (socket.receive(buffer, 0, 4096, fds) == 0) {
                    return;
                }
            } catch (ErrnoException e) {
                if (e.errno() == Errno.ECONNRESET) {
                    return; // closed with bytes of ours unread
                }
                throw e;
            }
        }
    }

    @Override
    public void close() {
        epoll.close();
        socket.close();
    }
}
