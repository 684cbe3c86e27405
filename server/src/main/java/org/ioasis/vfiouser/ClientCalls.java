// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.ioasis.spec.VfioUser.*;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.Errno;
import org.ioasis.sys.Fd;
import org.ioasis.sys.UnixSocket;

/**
 * Commands to a vfio-user server, one on its way at a time, each answer waited for so long and no
 * longer. The server is believed nothing. One thread.
 */
final class ClientCalls implements AutoCloseable {
    /** Largest answer: a server's version text is the longest. */
    static final int MESSAGE_MAX = 1 << 16;

    /** A command was answered with an error. */
    static final class RefusedException extends IOException {
        private static final long serialVersionUID = 1;

        RefusedException(int command, int errno) {
            super("command %d was refused: %s".formatted(command, Errno.name(errno)));
        }
    }

    private static final long NANOS_PER_MILLI = 1_000_000;

    private final int waitMillis;
    private final UnixSocket socket;
    private final Epoll epoll;
    private final MemorySegment message = Arena.ofAuto().allocate(MESSAGE_MAX, 8);
    private final List<Fd> received = new ArrayList<>();
    private int id;

    /**
     * @param waitMillis how long an answer may take
     */
    ClientCalls(Path server, int waitMillis) throws IOException {
        this.waitMillis = waitMillis;
        socket = UnixSocket.connect(server);
        boolean isWatched = false;
        try {
            epoll = Epoll.create();
            try {
                epoll.add(socket.fd(), Epoll.IN, 0);
                isWatched = true;
            } finally {
                if (!isWatched) {
                    epoll.close();
                }
            }
        } finally {
            if (!isWatched) {
                socket.close();
            }
        }
    }

    /** Where a command's payload is put, and that of its answer is found: from HEADER_SIZE on. */
    MemorySegment message() {
        return message;
    }

    /** Agrees on a version with what we can do, and returns what the server can. */
    ServerLimits version(String capabilities) throws IOException {
        byte[] text = capabilities.getBytes(StandardCharsets.US_ASCII);
        message.set(Codec.U16, HEADER_SIZE, (short) VERSION_MAJOR);
        message.set(Codec.U16, HEADER_SIZE + 2, (short) VERSION_MINOR);
        MemorySegment.copy(
                text, 0, message, ValueLayout.JAVA_BYTE, HEADER_SIZE + VERSION_DATA, text.length);
        int payload = call(VFIO_USER_VERSION, VERSION_DATA + text.length, VERSION_DATA, List.of());
        int major = Short.toUnsignedInt(message.get(Codec.U16, HEADER_SIZE));
        if (major != VERSION_MAJOR) {
            throw new IOException("the server speaks version %d".formatted(major));
        }
        int length = payload - VERSION_DATA;
        if (length == 0) {
            return ServerLimits.USUAL;
        }
        byte[] data =
                message.asSlice(HEADER_SIZE + VERSION_DATA, length).toArray(ValueLayout.JAVA_BYTE);
        if (data[length - 1] != 0) {
            throw new IOException("the server's version data does not end in NUL");
        }
        return VersionData.limits(new String(data, 0, length - 1, StandardCharsets.UTF_8));
    }

    /**
     * Sends the payload that is in {@link #message}, and waits for the answer, which is there then.
     *
     * @param least bytes that the answer's payload has at least
     * @return how many it has
     */
    int call(int command, int payload, int least, List<Fd> fds) throws IOException {
        dropReceived();
        id = (id + 1) & 0xffff;
        Codec.command(message, 0, id, command, HEADER_SIZE + payload, 0);
        // There is one message at a time, and it is smaller than the socket's buffer.
        int sent = socket.send(message, 0, HEADER_SIZE + payload, fds);
        if (sent != HEADER_SIZE + payload) {
            throw new IOException("the server does not read its socket");
        }
        long deadline = System.nanoTime() + waitMillis * NANOS_PER_MILLI;
        receive(0, HEADER_SIZE, deadline);
        int size = message.get(Codec.U32, HEADER_MESSAGE_SIZE);
        int flags = message.get(Codec.U32, HEADER_FLAGS);
        boolean isAnswer =
                Short.toUnsignedInt(message.get(Codec.U16, HEADER_ID)) == id
                        && message.get(Codec.U16, HEADER_COMMAND) == command
                        && (flags & FLAGS_TYPE_MASK) == FLAGS_TYPE_REPLY;
        if (!isAnswer || size < HEADER_SIZE || size > MESSAGE_MAX) {
            throw new IOException(
                    "no answer to command %d: flags 0x%x, %d bytes"
                            .formatted(command, flags, size));
        }
        receive(HEADER_SIZE, size, deadline);
        if ((flags & FLAGS_ERROR) != 0) {
            throw new RefusedException(command, message.get(Codec.U32, HEADER_ERROR));
        }
        if (size < HEADER_SIZE + least) {
            throw new IOException("the answer to command %d has %d bytes".formatted(command, size));
        }
        return size - HEADER_SIZE;
    }

    private void receive(int from, int to, long deadline) throws IOException {
        for (int have = from; have < to; ) {
            long left = deadline - System.nanoTime();
            if (left <= 0) {
                throw new IOException("no answer within %d ms".formatted(waitMillis));
            }
            if (epoll.await((int) ((left + NANOS_PER_MILLI - 1) / NANOS_PER_MILLI)) == 0) {
                continue;
            }
            int n = socket.receive(message, have, to - have, received);
            if (n == 0) {
                throw new IOException("the server has closed");
            }
            if (received.size() > Codec.FDS_MAX) {
                throw new IOException("%d descriptors with an answer".formatted(received.size()));
            }
            have += Math.max(n, 0);
        }
    }

    /** Takes over a descriptor that came with the last answer. */
    Fd takeReceived(int index) throws IOException {
        if (index < 0 || index >= received.size()) {
            throw new IOException(
                    "the server names descriptor %d of %d".formatted(index, received.size()));
        }
        return received.remove(index);
    }

    /** Whatever it sends them for: nothing was asked that has any. */
    private void dropReceived() {
        received.forEach(Fd::close);
        received.clear();
    }

    /** The socket, which nothing else uses any more: the caller's from now on. */
    UnixSocket release() {
        dropReceived();
        epoll.close();
        return socket;
    }

    @Override
    public void close() {
        dropReceived();
        epoll.close();
        socket.close();
    }
}
