// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.ioasis.spec.VhostUser.*;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.UnixListener;
import org.ioasis.sys.UnixSocket;
import org.jspecify.annotations.Nullable;

/**
 * Stands between QEMU, whose generic vhost-user device cannot be connected twice, and a back end
 * that may end: passes messages on, keeps what they have set up and the log of chains in flight,
 * and tells the next back end all of it. A back end may end while QEMU waits for no answer. A
 * thread of its own; {@link #reconnects} and {@link #failure} any.
 */
final class VhostRelay implements AutoCloseable {
    private static final int RINGS = 2;
    private static final int ENTRIES = 256;
    private static final int PATIENCE_MILLIS = 60_000;
    private static final int PAUSE_MILLIS = 20;

    private static final Set<Integer> ASKED =
            Set.of(
                    GET_FEATURES,
                    GET_PROTOCOL_FEATURES,
                    GET_QUEUE_NUM,
                    GET_VRING_BASE,
                    GET_CONFIG,
                    GET_MAX_MEM_SLOTS,
                    GET_STATUS);

    /** What a back end is told of a guest that runs, in this order. */
    private static final List<Integer> KEPT =
            List.of(
                    SET_PROTOCOL_FEATURES,
                    SET_OWNER,
                    SET_BACKEND_REQ_FD,
                    SET_FEATURES,
                    SET_INFLIGHT_FD,
                    SET_MEM_TABLE,
                    ADD_MEM_REG,
                    SET_STATUS,
                    SET_VRING_NUM,
                    SET_VRING_BASE,
                    SET_VRING_ADDR,
                    SET_VRING_KICK,
                    SET_VRING_CALL,
                    SET_VRING_ERR,
                    SET_VRING_ENABLE);

    @SuppressWarnings("ArrayRecordComponent") // compared by nobody
    private record Message(int request, int flags, byte[] payload, List<Fd> fds) {
        ByteBuffer fields() {
            return ByteBuffer.wrap(payload).order(ByteOrder.LITTLE_ENDIAN);
        }

        /** What the next message of this name replaces. */
        String name() {
            return switch (request) {
                case SET_VRING_NUM,
                        SET_VRING_BASE,
                        SET_VRING_ADDR,
                        SET_VRING_KICK,
                        SET_VRING_CALL,
                        SET_VRING_ERR,
                        SET_VRING_ENABLE ->
                        request + " of ring " + (fields().get(0) & 0xff);
                case ADD_MEM_REG, REM_MEM_REG ->
                        "memory at " + fields().getLong(SINGLE_REGION + REGION_GUEST_ADDRESS);
                default -> "" + request;
            };
        }
    }

    /** The other end has closed. */
    private static final class ClosedException extends Exception {
        private static final long serialVersionUID = 1;
    }

    private final Path backEnd;
    private final UnixListener listener;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment buffer = arena.allocate(1 << 16);
    private final Map<String, Message> kept = new LinkedHashMap<>();
    private final AtomicInteger reconnects = new AtomicInteger();
    private final Thread thread;
    private volatile boolean isEnding;
    private volatile @Nullable Throwable failure;

    /**
     * @param listen where QEMU connects
     * @param backEnd where the back end listens, or will
     */
    VhostRelay(Path listen, Path backEnd) throws ErrnoException {
        this.backEnd = backEnd;
        listener = UnixListener.bind(listen);
        thread = Thread.ofPlatform().daemon().name("relay").start(this::run);
    }

    /** How often a back end was told all of it. */
    int reconnects() {
        return reconnects.get();
    }

    /** What has ended it, or null. */
    @Nullable Throwable failure() {
        return failure;
    }

    private void run() {
        try (Epoll accepting = Epoll.create()) {
            accepting.add(listener.fd(), Epoll.IN, 0);
            UnixSocket qemu = null;
            while (qemu == null && !isEnding) {
                int _ = accepting.await(PAUSE_MILLIS);
                qemu = listener.accept();
            }
            if (qemu != null) {
                serve(qemu);
                qemu.close();
            }
        } catch (Exception e) {
            failure = e;
        } finally {
            kept.values().forEach(message -> message.fds().forEach(Fd::close));
        }
    }

    private void serve(UnixSocket qemu) throws Exception {
        UnixSocket server = connected();
        while (!isEnding) {
            try (Epoll both = Epoll.create()) {
                both.add(qemu.fd(), Epoll.IN, 0);
                both.add(server.fd(), Epoll.IN, 1);
                boolean hasServer = true;
                while (hasServer && !isEnding) {
                    int ready = both.await(PAUSE_MILLIS);
                    for (int i = 0; i < ready; i++) {
                        if (both.token(i) == 0) {
                            pass(receive(qemu), qemu, server);
                        } else {
                            hasServer = false;
                        }
                    }
                }
            } catch (ClosedException _) {
                server.close();
                return; // QEMU has ended
            }
            server.close();
            if (!isEnding) {
                server = replayed();
                reconnects.incrementAndGet();
            }
        }
        server.close();
    }

    /** One that is about to end may still be connected to. */
    private UnixSocket replayed() throws Exception {
        while (true) {
            UnixSocket server = connected();
            try {
                replay(server);
                return server;
            } catch (ClosedException _) {
                server.close();
            } catch (ErrnoException e) {
                server.close();
                if (e.errno() != Errno.EPIPE && e.errno() != Errno.ECONNRESET) {
                    throw e;
                }
            }
            Thread.sleep(PAUSE_MILLIS);
        }
    }

    private UnixSocket connected() throws Exception {
        long deadline = System.nanoTime() + PATIENCE_MILLIS * 1_000_000L;
        while (!isEnding) {
            try {
                return UnixSocket.connect(backEnd);
            } catch (ErrnoException e) {
                if (System.nanoTime() - deadline > 0) {
                    throw e;
                }
                Thread.sleep(PAUSE_MILLIS);
            }
        }
        throw new InterruptedException("the relay ends");
    }

    private void pass(Message message, UnixSocket qemu, UnixSocket server) throws Exception {
        if (message.request() == SET_PROTOCOL_FEATURES) {
            long features = message.fields().getLong(0) | PROTOCOL_F_INFLIGHT_SHMFD;
            message.fields().putLong(0, features);
        }
        if (message.request() == SET_VRING_NUM && !kept.containsKey("" + SET_INFLIGHT_FD)) {
            makeLog(server);
        }
        send(server, message, message.flags());
        if (ASKED.contains(message.request()) || (message.flags() & FLAGS_NEED_REPLY) != 0) {
            Message reply;
            try {
                reply = receive(server);
            } catch (ClosedException e) {
                throw new IllegalStateException("no answer to " + message.request(), e);
            }
            send(qemu, reply, reply.flags());
            reply.fds().forEach(Fd::close);
        }
        keep(message);
    }

    private void makeLog(UnixSocket server) throws Exception {
        byte[] wanted = new byte[INFLIGHT_SIZE];
        Message ask = new Message(GET_INFLIGHT_FD, FLAGS_VERSION, wanted, List.of());
        ask.fields()
                .putShort(INFLIGHT_NUM_QUEUES, (short) RINGS)
                .putShort(INFLIGHT_QUEUE_SIZE, (short) ENTRIES);
        send(server, ask, FLAGS_VERSION);
        Message made = receive(server);
        Message log = new Message(SET_INFLIGHT_FD, FLAGS_VERSION, made.payload(), made.fds());
        send(server, log, FLAGS_VERSION);
        keep(log);
    }

    private void keep(Message message) {
        Message old = kept.remove(message.name());
        if (KEPT.contains(message.request())) {
            kept.put(message.name(), message);
        } else {
            message.fds().forEach(Fd::close);
        }
        if (old != null) {
            old.fds().forEach(Fd::close);
        }
    }

    private void replay(UnixSocket server) throws Exception {
        for (int request : KEPT) {
            for (Message message : kept.values()) {
                if (message.request() == request) {
                    send(server, message, FLAGS_VERSION);
                }
            }
        }
        // An answer says that all before is done.
        send(server, new Message(GET_FEATURES, FLAGS_VERSION, new byte[0], List.of()), 1);
        Message _ = receive(server);
    }

    // --- messages

    private void send(UnixSocket to, Message message, int flags) throws Exception {
        byte[] payload = message.payload();
        buffer.set(ValueLayout.JAVA_INT, HEADER_REQUEST, message.request());
        buffer.set(ValueLayout.JAVA_INT, HEADER_FLAGS, flags);
        buffer.set(ValueLayout.JAVA_INT, HEADER_PAYLOAD_SIZE, payload.length);
        MemorySegment.copy(payload, 0, buffer, ValueLayout.JAVA_BYTE, HEADER_SIZE, payload.length);
        int length = HEADER_SIZE + payload.length;
        int sent = to.send(buffer, 0, length, message.fds());
        if (sent != length) {
            throw new IllegalStateException("%d bytes of %d are sent".formatted(sent, length));
        }
    }

    private Message receive(UnixSocket from) throws Exception {
        List<Fd> fds = new ArrayList<>();
        byte[] header = receive(from, HEADER_SIZE, fds);
        ByteBuffer fields = ByteBuffer.wrap(header).order(ByteOrder.LITTLE_ENDIAN);
        byte[] payload = receive(from, fields.getInt(HEADER_PAYLOAD_SIZE), fds);
        return new Message(
                fields.getInt(HEADER_REQUEST), fields.getInt(HEADER_FLAGS), payload, fds);
    }

    private byte[] receive(UnixSocket from, int size, List<Fd> fds) throws Exception {
        byte[] bytes = new byte[size];
        int have = 0;
        try (Epoll epoll = Epoll.create()) {
            epoll.add(from.fd(), Epoll.IN, 0);
            while (have < size) {
                if (epoll.await(PATIENCE_MILLIS) == 0) {
                    throw new IllegalStateException("%d bytes of %d".formatted(have, size));
                }
                int n;
                try {
                    n = from.receive(buffer, 0, size - have, fds);
                } catch (ErrnoException e) {
                    if (e.errno() == Errno.ECONNRESET) {
                        throw new ClosedException();
                    }
                    throw e;
                }
                if (n == 0) {
                    throw new ClosedException();
                }
                if (n > 0) {
                    MemorySegment.copy(buffer, ValueLayout.JAVA_BYTE, 0, bytes, have, n);
                    have += n;
                }
            }
        }
        return bytes;
    }

    @Override
    public void close() {
        isEnding = true;
        boolean isInterrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException _) {
                isInterrupted = true;
            }
        }
        if (isInterrupted) {
            Thread.currentThread().interrupt();
        }
        listener.close();
        arena.close();
    }
}
