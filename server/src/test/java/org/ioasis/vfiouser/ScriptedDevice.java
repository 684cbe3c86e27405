// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.ioasis.spec.VfioUser.*;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import org.ioasis.peer.ServerWait;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.EventFd;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.ioasis.sys.UnixListener;
import org.ioasis.sys.UnixSocket;
import org.jspecify.annotations.Nullable;

/**
 * Somebody else's device server, over a real socket: a device with a BAR of plain memory that
 * reaches memory by messages, and answers as badly as a test wants. It serves one client after the
 * other on a thread of its own.
 */
final class ScriptedDevice implements AutoCloseable {
    static final int VECTORS = 3;

    /** The pin among the eventfds, which are by vector otherwise. */
    static final int PIN = -1;

    /** The first vector of MSI among them. */
    static final int MESSAGES = 1000;

    static final int BAR_BYTES = 0x2000;
    static final int WAIT_MILLIS = 10_000;

    /** How often its thread looks whether it is to end. */
    private static final int LOOK_MILLIS = 20;

    /** Largest region that it takes; unsigned. */
    volatile long reachMax = -1;

    volatile boolean hasTwin = true;
    volatile int vectors = VECTORS;
    volatile boolean hasPin;

    /** Vectors of MSI. */
    volatile int messages;

    /** What it says of how many regions it takes. */
    volatile int mapsMax = 64;

    /** How many it takes. */
    volatile int regionsMax = Integer.MAX_VALUE;

    /** Most bytes of an access to a register; 0: it says nothing of that. */
    volatile int dataMax;

    /** Looked at before the usual answer. */
    volatile Script script = (device, asked) -> false;

    final List<Asked> log = new CopyOnWriteArrayList<>();
    final Map<Integer, EventFd> eventFds = new ConcurrentHashMap<>();

    /** Memory that it has been given, by its first address. */
    final Map<Long, Mapping> memory = new ConcurrentHashMap<>();

    final byte[] config = new byte[256];
    final byte[] bar = new byte[BAR_BYTES];

    private final UnixListener listener;
    private final Thread thread;
    private volatile boolean isClosing;
    private volatile @Nullable Peer main;
    private volatile @Nullable Peer twin;

    /** A command of the client's. */
    @SuppressWarnings("ArrayRecordComponent") // compared by nobody
    record Asked(int id, int command, int flags, byte[] payload, int fds) {
        ByteBuffer fields() {
            return ByteBuffer.wrap(payload).order(ByteOrder.LITTLE_ENDIAN);
        }
    }

    /** What a test wants instead of an answer. */
    @FunctionalInterface
    interface Script {
        /** True if the command has had its answer, or will have none. Device's thread. */
        boolean handle(ScriptedDevice device, Asked asked) throws IOException;
    }

    /** One socket with its events. */
    private final class Peer {
        final UnixSocket socket;
        final Epoll epoll;
        final MemorySegment buffer = Arena.ofAuto().allocate(1 << 20);
        final List<Fd> fds = new ArrayList<>();

        Peer(UnixSocket socket) throws ErrnoException {
            this.socket = socket;
            epoll = Epoll.create();
            epoll.add(socket.fd(), Epoll.IN, 0);
        }

        // A test may answer from its own thread what the device's has left: they share the buffers.
        synchronized void send(byte[] bytes, List<Fd> with) throws ErrnoException {
            MemorySegment.copy(bytes, 0, buffer, ValueLayout.JAVA_BYTE, 0, bytes.length);
            for (int sent = 0; sent < bytes.length; ) {
                int n =
                        socket.send(
                                buffer, sent, bytes.length - sent, sent == 0 ? with : List.of());
                if (n == -Errno.EAGAIN) {
                    ServerWait.pause();
                } else {
                    sent += n;
                }
            }
        }

        /** Null at the end. */
        byte @Nullable [] receive(int size, boolean isEndless) throws ErrnoException {
            byte[] bytes = new byte[size];
            for (int have = 0; have < size; ) {
                if (epoll.await(isEndless ? LOOK_MILLIS : WAIT_MILLIS) == 0) {
                    if (isEndless && !isClosing) {
                        continue;
                    }
                    if (isEndless) {
                        return null;
                    }
                    throw new IllegalStateException("nothing comes");
                }
                int n = receive(bytes, have);
                if (n == 0) {
                    return null;
                }
                have += Math.max(n, 0);
            }
            return bytes;
        }

        /** What is there, up to the end; 0 if the other side has closed. */
        private synchronized int receive(byte[] bytes, int have) throws ErrnoException {
            int n = socket.receive(buffer, 0, bytes.length - have, fds);
            if (n > 0) {
                MemorySegment.copy(buffer, ValueLayout.JAVA_BYTE, 0, bytes, have, n);
            }
            return n;
        }

        void close() {
            fds.forEach(Fd::close);
            epoll.close();
            socket.close();
        }
    }

    ScriptedDevice(Path path) throws IOException {
        listener = UnixListener.bind(path);
        thread = new Thread(this::serve, "scripted-device");
        thread.setDaemon(true);
        thread.start();
    }

    private void serve() {
        while (!isClosing) {
            try {
                UnixSocket socket = listener.accept();
                if (socket == null) {
                    ServerWait.pause();
                    continue;
                }
                Peer peer = new Peer(socket);
                main = peer;
                try {
                    converse(peer);
                } finally {
                    hangUp();
                }
            } catch (ErrnoException e) {
                // The client's end, which a test may want at any moment.
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        }
    }

    private void converse(Peer peer) throws IOException {
        while (true) {
            Asked asked = receive(peer);
            if (asked == null) {
                return;
            }
            if ((asked.flags() & FLAGS_TYPE_MASK) == FLAGS_TYPE_REPLY) {
                continue; // to what a test has asked here and does not wait for
            }
            log.add(asked);
            boolean isHandled = script.handle(this, asked);
            if (main == null) {
                return; // hung up
            }
            if (!isHandled) {
                usual(peer, asked);
            }
            peer.fds.forEach(Fd::close);
            peer.fds.clear();
        }
    }

    private @Nullable Asked receive(Peer peer) throws ErrnoException {
        byte[] header = peer.receive(HEADER_SIZE, true);
        if (header == null) {
            return null;
        }
        ByteBuffer fields = ByteBuffer.wrap(header).order(ByteOrder.LITTLE_ENDIAN);
        int size = fields.getInt(HEADER_MESSAGE_SIZE);
        byte[] payload = size == HEADER_SIZE ? new byte[0] : peer.receive(size - HEADER_SIZE, true);
        return payload == null
                ? null
                : new Asked(
                        Short.toUnsignedInt(fields.getShort(HEADER_ID)),
                        Short.toUnsignedInt(fields.getShort(HEADER_COMMAND)),
                        fields.getInt(HEADER_FLAGS),
                        payload,
                        peer.fds.size());
    }

    private void usual(Peer peer, Asked asked) throws IOException {
        ByteBuffer fields = asked.fields();
        switch (asked.command()) {
            case VFIO_USER_VERSION -> version(peer, asked);
            case VFIO_USER_DEVICE_GET_INFO ->
                    answer(asked, new Payload(16).u32(16).u32(3).u32(9).u32(5).array());
            case VFIO_USER_DEVICE_GET_REGION_INFO -> {
                int region = fields.getInt(REGION_INFO_INDEX);
                long size =
                        region == 0
                                ? bar.length
                                : region == VFIO_PCI_CONFIG_REGION_INDEX ? config.length : 0;
                answer(
                        asked,
                        new Payload(32)
                                .u32(32)
                                .u32(size == 0 ? 0 : 3)
                                .u32(region)
                                .u32(0)
                                .u64(size)
                                .u64(0)
                                .array());
            }
            case VFIO_USER_DEVICE_GET_IRQ_INFO ->
                    answer(
                            asked,
                            new Payload(16)
                                    .u32(16)
                                    .u32(1)
                                    .u32(fields.getInt(IRQ_INFO_INDEX))
                                    .u32(
                                            switch (fields.getInt(IRQ_INFO_INDEX)) {
                                                case VFIO_PCI_INTX_IRQ_INDEX -> hasPin ? 1 : 0;
                                                case VFIO_PCI_MSI_IRQ_INDEX -> messages;
                                                default -> vectors;
                                            })
                                    .array());
            case VFIO_USER_DMA_MAP -> {
                boolean isTaken =
                        Long.compareUnsigned(fields.getLong(DMA_MAP_BYTES), reachMax) <= 0
                                && memory.size() < regionsMax;
                if (isTaken && !peer.fds.isEmpty()) {
                    Mapping mapping =
                            Mapping.map(
                                    peer.fds.getFirst(),
                                    fields.getLong(DMA_MAP_OFFSET),
                                    fields.getLong(DMA_MAP_BYTES),
                                    (fields.getInt(DMA_MAP_FLAGS) & VFIO_DMA_MAP_FLAG_WRITE) != 0);
                    if (memory.putIfAbsent(fields.getLong(DMA_MAP_ADDRESS), mapping) != null) {
                        throw new IllegalStateException("memory there is given twice");
                    }
                }
                if (isTaken) {
                    answer(asked, new byte[0]);
                } else {
                    error(asked, Errno.ENOSPC);
                }
            }
            case VFIO_USER_DMA_UNMAP -> {
                Mapping mapping = memory.remove(fields.getLong(DMA_UNMAP_ADDRESS));
                boolean isWhole =
                        mapping != null
                                && mapping.segment().byteSize() == fields.getLong(DMA_UNMAP_BYTES);
                if (mapping != null) {
                    mapping.close();
                }
                if (isWhole) {
                    answer(asked, asked.payload());
                } else {
                    error(asked, Errno.ENOENT);
                }
            }
            case VFIO_USER_DEVICE_SET_IRQS -> {
                int first =
                        switch (fields.getInt(IRQ_SET_INDEX)) {
                            case VFIO_PCI_INTX_IRQ_INDEX -> PIN;
                            case VFIO_PCI_MSI_IRQ_INDEX -> MESSAGES + fields.getInt(IRQ_SET_START);
                            default -> fields.getInt(IRQ_SET_START);
                        };
                for (int i = 0; i < peer.fds.size(); i++) {
                    EventFd before = eventFds.put(first + i, EventFd.of(peer.fds.get(i)));
                    if (before != null) {
                        before.close();
                    }
                }
                boolean isTrigger =
                        (fields.getInt(IRQ_SET_FLAGS) & VFIO_IRQ_SET_ACTION_TRIGGER) != 0;
                if (peer.fds.isEmpty() && isTrigger) {
                    eventFds.remove(first);
                }
                answer(asked, new byte[0]);
            }
            case VFIO_USER_REGION_READ -> {
                int count = fields.getInt(REGION_ACCESS_COUNT);
                Payload reply = new Payload(REGION_ACCESS_DATA + count);
                reply.bytes(Arrays.copyOf(asked.payload(), REGION_ACCESS_DATA));
                byte[] data = new byte[count];
                System.arraycopy(of(fields), (int) fields.getLong(0), data, 0, count);
                answer(asked, reply.bytes(data).array());
            }
            case VFIO_USER_REGION_WRITE -> {
                int count = fields.getInt(REGION_ACCESS_COUNT);
                System.arraycopy(
                        asked.payload(),
                        REGION_ACCESS_DATA,
                        of(fields),
                        (int) fields.getLong(0),
                        count);
                answer(asked, Arrays.copyOf(asked.payload(), REGION_ACCESS_DATA));
            }
            case VFIO_USER_DEVICE_GET_REGION_IO_FDS,
                    VFIO_USER_DEVICE_FEATURE,
                    VFIO_USER_MIG_DATA_READ,
                    VFIO_USER_MIG_DATA_WRITE ->
                    error(asked, Errno.ENOTSUP);
            default -> answer(asked, new byte[0]);
        }
    }

    private byte[] of(ByteBuffer access) {
        return access.getInt(REGION_ACCESS_REGION) == VFIO_PCI_CONFIG_REGION_INDEX ? config : bar;
    }

    private void version(Peer peer, Asked asked) throws IOException {
        if (!hasTwin) {
            answer(asked, MockVfioUserClient.versionPayload(0, 0, "{\"capabilities\":{}}\0"));
            return;
        }
        UnixSocket[] pair = UnixSocket.pair();
        twin = new Peer(pair[0]);
        byte[] payload =
                MockVfioUserClient.versionPayload(
                        0,
                        0,
                        "{\"capabilities\":{%s\"max_dma_maps\":%d,\"twin_socket\":{\"supported\":true,\"fd_index\":0}}}\0"
                                .formatted(
                                        dataMax == 0
                                                ? ""
                                                : "\"max_data_xfer_size\":%d,".formatted(dataMax),
                                        mapsMax));
        // The socket owns its descriptor: this is only its number.
        peer.send(message(asked, FLAGS_TYPE_REPLY, 0, payload), List.of(Fd.own(pair[1].fd())));
        pair[1].close();
    }

    static byte[] message(Asked asked, int flags, int error, byte[] payload) {
        return new Payload(HEADER_SIZE + payload.length)
                .u16(asked.id())
                .u16(asked.command())
                .u32(HEADER_SIZE + payload.length)
                .u32(flags)
                .u32(error)
                .bytes(payload)
                .array();
    }

    // For scripts, on the device's thread.

    void answer(Asked asked, byte[] payload) throws IOException {
        if ((asked.flags() & FLAGS_NO_REPLY) == 0) {
            sendBytes(message(asked, FLAGS_TYPE_REPLY, 0, payload));
        }
    }

    /** Answers what was left: from another thread, while the client asks nothing. */
    void answerAll(List<Asked> left) throws IOException {
        for (Asked one : left) {
            answer(one, new byte[0]);
        }
    }

    void error(Asked asked, int errno) throws IOException {
        sendBytes(message(asked, FLAGS_TYPE_REPLY | FLAGS_ERROR, errno, new byte[0]));
    }

    void sendBytes(byte[] bytes, Fd... fds) throws IOException {
        peer(main).send(bytes, List.of(fds));
    }

    /** The client finds the socket closed. On the device's thread. */
    void hangUp() {
        Peer peer = main;
        main = null;
        if (peer != null) {
            peer.close();
        }
        Peer second = twin;
        twin = null;
        if (second != null) {
            second.close();
        }
        eventFds.values().forEach(EventFd::close);
        eventFds.clear();
        memory.values().forEach(Mapping::close);
        memory.clear();
    }

    /** What it sees of memory that it has been given, from the first address of a region on. */
    String seen(long first, int length) {
        return new String(
                given(first).asSlice(0, length).toArray(ValueLayout.JAVA_BYTE),
                StandardCharsets.ISO_8859_1);
    }

    /** The memory that it has been given at that first address. */
    MemorySegment given(long first) {
        Mapping mapping = memory.get(first);
        if (mapping == null) {
            throw new IllegalStateException("nothing is given at 0x%x".formatted(first));
        }
        return mapping.segment();
    }

    private Peer peer(@Nullable Peer peer) {
        if (peer == null) {
            throw new IllegalStateException("no client");
        }
        return peer;
    }

    // Memory by messages: over the twin socket from any one thread, otherwise on the device's.

    static byte[] access(int command, int id, long address, long count, byte[] data) {
        return new Payload(HEADER_SIZE + DMA_ACCESS_DATA + data.length)
                .u16(id)
                .u16(command)
                .u32(HEADER_SIZE + DMA_ACCESS_DATA + data.length)
                .u32(FLAGS_TYPE_COMMAND)
                .u32(0)
                .u64(address)
                .u64(count)
                .bytes(data)
                .array();
    }

    private Peer forMemory() {
        Peer second = twin;
        return second != null ? second : peer(main);
    }

    void ask(byte[] bytes) throws ErrnoException {
        forMemory().send(bytes, List.of());
    }

    /** Returns the next answer: its error, or 0, in the first four bytes, and then its payload. */
    ByteBuffer awaitAnswer() throws ErrnoException {
        Peer peer = forMemory();
        byte[] header = peer.receive(HEADER_SIZE, false);
        if (header == null) {
            throw new IllegalStateException("closed");
        }
        ByteBuffer fields = ByteBuffer.wrap(header).order(ByteOrder.LITTLE_ENDIAN);
        int size = fields.getInt(HEADER_MESSAGE_SIZE) - HEADER_SIZE;
        byte[] payload = size == 0 ? new byte[0] : peer.receive(size, false);
        if ((fields.getInt(HEADER_FLAGS) & FLAGS_TYPE_MASK) != FLAGS_TYPE_REPLY) {
            throw new IllegalStateException("a command in the place of an answer");
        }
        ByteBuffer answer =
                ByteBuffer.allocate(Integer.BYTES + size).order(ByteOrder.LITTLE_ENDIAN);
        answer.putInt(
                (fields.getInt(HEADER_FLAGS) & FLAGS_ERROR) == 0 ? 0 : fields.getInt(HEADER_ERROR));
        return answer.put(payload == null ? new byte[0] : payload).flip();
    }

    /** So many bytes of answers as they come. */
    byte[] awaitBytes(int size) throws ErrnoException {
        byte[] bytes = forMemory().receive(size, false);
        if (bytes == null) {
            throw new IllegalStateException("closed");
        }
        return bytes;
    }

    /** The bytes, or what errno says. */
    Object read(long address, int count) throws ErrnoException {
        ask(access(VFIO_USER_DMA_READ, 7, address, count, new byte[0]));
        ByteBuffer answer = awaitAnswer();
        int errno = answer.getInt();
        if (errno != 0) {
            return Errno.name(errno);
        }
        answer.position(answer.position() + DMA_ACCESS_DATA);
        byte[] data = new byte[answer.remaining()];
        answer.get(data);
        return new String(data, StandardCharsets.ISO_8859_1);
    }

    String write(long address, String text) throws ErrnoException {
        byte[] data = text.getBytes(StandardCharsets.ISO_8859_1);
        ask(access(VFIO_USER_DMA_WRITE, 8, address, data.length, data));
        int errno = awaitAnswer().getInt();
        return errno == 0 ? "OK" : Errno.name(errno);
    }

    /** Commands of one kind that have come. */
    List<Asked> asked(int command) {
        return log.stream().filter(one -> one.command() == command).toList();
    }

    @Override
    public void close() {
        isClosing = true;
        try {
            thread.join(WAIT_MILLIS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        listener.close();
    }
}
