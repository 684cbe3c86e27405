// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import static org.ioasis.spec.VhostUser.*;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.peer.SocketPeer;
import org.ioasis.spec.Virtio;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.EventFd;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.ioasis.sys.Memfd;
import org.ioasis.sys.UnixSocket;
import org.ioasis.virtqueue.DriverQueue;
import org.ioasis.virtqueue.RingFormat;

/**
 * A front end of vhost-user and its guest's driver in one, over a real socket: speaks it as QEMU
 * does, and as badly as a test wants. One thread.
 */
final class FrontEnd extends SocketPeer {
    static final long RAM = 1 << 20;

    /** Where the front end has the guest's memory, whose guest addresses begin at 0. */
    static final long USER = 0x7f00_0000_0000L;

    static final int RING_SIZE = 8;
    static final int RINGS = 2;
    static final long NO_REPLY = Long.MIN_VALUE;

    final Fd ram;
    final Mapping guest;
    final EventFd[] kicks = new EventFd[RINGS];
    final EventFd[] calls = new EventFd[RINGS];
    final DriverQueue[] rings = new DriverQueue[RINGS];

    /** A message from the back end. */
    record Reply(int request, int flags, ByteBuffer payload) {
        long number() {
            return payload.getLong(0);
        }
    }

    private FrontEnd(UnixSocket socket, Fd ram) throws ErrnoException {
        super(socket, "back end");
        this.ram = ram;
        guest = Mapping.map(ram, 0, RAM, true);
        for (int i = 0; i < RINGS; i++) {
            kicks[i] = EventFd.create();
            calls[i] = EventFd.create();
            newRing(i, RingFormat.SPLIT);
        }
    }

    /** Connects again, for the same guest, whose rings and chains are as they were. */
    private FrontEnd(UnixSocket socket, FrontEnd before) throws ErrnoException {
        super(socket, "back end");
        ram = before.ram.duplicate();
        guest = Mapping.map(ram, 0, RAM, true);
        for (int i = 0; i < RINGS; i++) {
            kicks[i] = EventFd.create();
            calls[i] = EventFd.create();
            rings[i] = before.rings[i];
        }
    }

    /** Another session for the guest of one that is closed last. */
    static FrontEnd again(Path path, FrontEnd before) throws ErrnoException {
        return new FrontEnd(UnixSocket.connect(path), before);
    }

    static FrontEnd connect(Path path) throws ErrnoException {
        return new FrontEnd(UnixSocket.connect(path), Memfd.create("ioasis-ram", RAM));
    }

    /** Connected, with every extension negotiated. */
    static FrontEnd ready(Path path) throws ErrnoException {
        FrontEnd frontEnd = connect(path);
        frontEnd.number(SET_PROTOCOL_FEATURES, Session.PROTOCOL_FEATURES);
        return frontEnd;
    }

    /** The driver begins a ring anew. */
    void newRing(int index, RingFormat format) {
        long at = 0x1000 + 0x1000L * index;
        rings[index] =
                format.newDriver(
                        guest.segment().asSlice(at, format.driverBytes(RING_SIZE)),
                        at,
                        RING_SIZE,
                        false);
    }

    // Raw.

    static byte[] message(int request, int flags, int size, byte[] payload) {
        return ByteBuffer.allocate(HEADER_SIZE + payload.length)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putInt(request)
                .putInt(flags)
                .putInt(size)
                .put(payload)
                .array();
    }

    static ByteBuffer payload(int size) {
        return ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
    }

    void send(int request, byte[] payload, Fd... fds) throws ErrnoException {
        sendBytes(message(request, FLAGS_VERSION, payload.length, payload), fds);
    }

    Reply receive() throws ErrnoException {
        ByteBuffer header = receiveBytes(HEADER_SIZE);
        return new Reply(header.getInt(0), header.getInt(4), receiveBytes(header.getInt(8)));
    }

    Reply call(int request, byte[] payload, Fd... fds) throws ErrnoException {
        send(request, payload, fds);
        Reply reply = receive();
        if (reply.request() != request || reply.flags() != (FLAGS_VERSION | FLAGS_REPLY)) {
            throw new IllegalStateException(reply + " is no reply to " + request);
        }
        return reply;
    }

    // The log of chains in flight.

    static byte[] inflight(long bytes, long offset, int queues, int entries) {
        return payload(INFLIGHT_SIZE)
                .putLong(bytes)
                .putLong(offset)
                .putShort((short) queues)
                .putShort((short) entries)
                .array();
    }

    /** A log that a back end has made, and what it says of it. */
    record Log(Fd fd, long bytes, long offset, int queues, int entries) {}

    Log askForLog(int queues, int entries) throws ErrnoException {
        send(GET_INFLIGHT_FD, inflight(0, 0, queues, entries));
        List<Fd> fds = new ArrayList<>();
        ByteBuffer header = receiveBytes(HEADER_SIZE, fds);
        ByteBuffer payload = receiveBytes(header.getInt(8), fds);
        if (fds.size() != 1 || header.getInt(0) != GET_INFLIGHT_FD) {
            throw new IllegalStateException(fds + " with reply to " + header.getInt(0));
        }
        return new Log(
                fds.getFirst(),
                payload.getLong(INFLIGHT_MMAP_SIZE),
                payload.getLong(INFLIGHT_MMAP_OFFSET),
                payload.getShort(INFLIGHT_NUM_QUEUES),
                payload.getShort(INFLIGHT_QUEUE_SIZE));
    }

    void log(Log log) throws ErrnoException {
        send(
                SET_INFLIGHT_FD,
                inflight(log.bytes(), log.offset(), log.queues(), log.entries()),
                log.fd());
    }

    // Messages.

    static byte[] u64(long value) {
        return payload(8).putLong(value).array();
    }

    static byte[] state(int index, int num) {
        return payload(8).putInt(index).putInt(num).array();
    }

    long ask(int request) throws ErrnoException {
        return call(request, new byte[0]).number();
    }

    void number(int request, long value) throws ErrnoException {
        send(request, u64(value));
    }

    void ring(int request, int index, int num) throws ErrnoException {
        send(request, state(index, num));
    }

    void ringFd(int request, int index, EventFd eventFd) throws ErrnoException {
        try (Fd sent = eventFd.duplicate()) {
            send(request, u64(index), sent);
        }
    }

    static byte[] address(int index, int flags, long descriptor, long used, long available) {
        return payload(ADDR_SIZE)
                .putInt(index)
                .putInt(flags)
                .putLong(descriptor)
                .putLong(used)
                .putLong(available)
                .array();
    }

    void addresses(int index) throws ErrnoException {
        DriverQueue ring = rings[index];
        send(
                SET_VRING_ADDR,
                address(
                        index,
                        0,
                        USER + ring.descAddress(),
                        USER + ring.deviceAddress(),
                        USER + ring.driverAddress()));
    }

    static byte[] table(MemoryRegion... regions) {
        ByteBuffer payload = ByteBuffer.allocate(MEMORY_REGIONS + regions.length * REGION_SIZE);
        payload.order(ByteOrder.LITTLE_ENDIAN).putInt(regions.length).putInt(0);
        for (MemoryRegion region : regions) {
            put(payload, region);
        }
        return payload.array();
    }

    static byte[] single(MemoryRegion region) {
        ByteBuffer payload = ByteBuffer.allocate(SINGLE_REGION + REGION_SIZE);
        payload.order(ByteOrder.LITTLE_ENDIAN).putLong(0);
        put(payload, region);
        return payload.array();
    }

    private static void put(ByteBuffer payload, MemoryRegion region) {
        payload.putLong(region.guestFirst())
                .putLong(region.size())
                .putLong(region.userFirst())
                .putLong(region.offset());
    }

    static MemoryRegion all() {
        return new MemoryRegion(0, RAM, USER, 0);
    }

    void memory() throws ErrnoException {
        send(SET_MEM_TABLE, table(all()), ram);
    }

    static byte[] config(int offset, int size, int flags) {
        return payload(CONFIG_DATA + size).putInt(offset).putInt(size).putInt(flags).array();
    }

    // What QEMU does.

    /** All of a start, as QEMU sends it when its guest's driver is ready. */
    void start(long features, int... bases) throws ErrnoException {
        number(SET_FEATURES, features | F_PROTOCOL_FEATURES);
        memory();
        for (int i = 0; i < bases.length; i++) {
            setUp(i, bases[i]);
        }
        for (int i = 0; i < bases.length; i++) {
            ring(SET_VRING_ENABLE, i, 1);
        }
    }

    /** Everything of a ring but that it is enabled. */
    void setUp(int index, int base) throws ErrnoException {
        ring(SET_VRING_NUM, index, RING_SIZE);
        ring(SET_VRING_BASE, index, base);
        addresses(index);
        ringFd(SET_VRING_KICK, index, kicks[index]);
        ringFd(SET_VRING_CALL, index, calls[index]);
    }

    void start() throws ErrnoException {
        start(Virtio.F_VERSION_1, 0, 0);
    }

    /** All of a stop; where each ring was. */
    int[] stop() throws ErrnoException {
        for (int i = 0; i < RINGS; i++) {
            ring(SET_VRING_ENABLE, i, 0);
        }
        int[] bases = new int[RINGS];
        for (int i = 0; i < RINGS; i++) {
            bases[i] = call(GET_VRING_BASE, state(i, 0)).payload().getInt(4);
        }
        return bases;
    }

    /** Waits until everything before is handled. */
    void settle() throws ErrnoException {
        ask(GET_FEATURES);
    }

    /** One chain of 4 bytes there and back, with a kick and a call; what came back. */
    int echo(int index, int value) throws ErrnoException {
        MemorySegment memory = guest.segment();
        memory.set(ValueLayout.JAVA_INT, 0x8000, value);
        memory.set(ValueLayout.JAVA_INT, 0x9000, 0);
        DriverQueue ring = rings[index];
        int head = ring.begin();
        ring.readable(0x8000, 4);
        ring.writable(0x9000, 4);
        ring.offer();
        ring.expose();
        kicks[index].signal();
        try (Epoll called = Epoll.create()) {
            called.add(calls[index].fd(), Epoll.IN, 0);
            if (called.await(WAIT_MILLIS) == 0) {
                throw new IllegalStateException("no call");
            }
        }
        long _ = calls[index].drain();
        if (ring.take() != head || ring.written() != 4) {
            throw new IllegalStateException("the chain did not come back: " + ring.brokenReason());
        }
        return memory.get(ValueLayout.JAVA_INT, 0x9000);
    }

    @Override
    public void close() {
        for (int i = 0; i < RINGS; i++) {
            kicks[i].close();
            calls[i].close();
        }
        super.close();
        guest.close();
        ram.close();
    }
}
