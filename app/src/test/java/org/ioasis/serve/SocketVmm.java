// SPDX-License-Identifier: Apache-2.0
package org.ioasis.serve;

import static org.ioasis.spec.VfioUser.*;
import static org.ioasis.spec.VirtioPci.*;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.spec.Pci;
import org.ioasis.spec.SplitRing;
import org.ioasis.spec.Virtio;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.Errno;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.ioasis.sys.UnixSocket;
import org.ioasis.virtqueue.DriverQueue;
import org.ioasis.virtqueue.RingFormat;

/**
 * VMM and guest driver in one, for one device at its socket: speaks vfio-user, shares a megabyte of
 * memory, brings the virtio device up and puts chains into its queues. One thread.
 */
final class SocketVmm implements AutoCloseable {
    static final long RAM = 1 << 20;
    private static final int BAR = 2;
    private static final int DEVICE = 0x2000;
    private static final int NOTIFY = 0x3000;
    static final int QUEUE_SIZE = 8;
    private static final int WAIT_MILLIS = 20_000;

    private final UnixSocket socket;
    private final Epoll epoll;
    private final MemorySegment buffer = Arena.ofAuto().allocate(1 << 16);
    private final DriverQueue[] queues = new DriverQueue[2];

    /** Chains that have come back, of each queue. */
    private final int[] back = new int[2];

    private int id = 1;

    SocketVmm(Path path) throws IOException {
        socket = UnixSocket.connect(path);
        epoll = Epoll.create();
        epoll.add(socket.fd(), Epoll.IN, 0);
        byte[] text = "{\"capabilities\":{}}\0".getBytes(StandardCharsets.UTF_8);
        call(VFIO_USER_VERSION, fields(4 + text.length).putInt(0).put(text));
    }

    private static ByteBuffer fields(int size) {
        return ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** Sends a command and waits for its reply: the payload, or null for an error. */
    private ByteBuffer call(int command, ByteBuffer payload, Fd... fds) throws IOException {
        ByteBuffer message = fields(HEADER_SIZE + payload.capacity());
        message.putShort((short) id++).putShort((short) command).putInt(message.capacity());
        message.putInt(0).putInt(0).put(payload.flip());
        buffer.asSlice(0, message.capacity()).copyFrom(MemorySegment.ofBuffer(message.flip()));
        if (socket.send(buffer, 0, message.capacity(), List.of(fds)) != message.capacity()) {
            throw new IOException("socket is full");
        }
        ByteBuffer header = receive(HEADER_SIZE);
        ByteBuffer reply = receive(header.getInt(HEADER_MESSAGE_SIZE) - HEADER_SIZE);
        return (header.getInt(HEADER_FLAGS) & FLAGS_ERROR) != 0 ? fields(0) : reply;
    }

    private ByteBuffer receive(int size) throws IOException {
        byte[] bytes = new byte[size];
        List<Fd> fds = new ArrayList<>();
        int have = 0;
        while (have < size) {
            if (epoll.await(WAIT_MILLIS) == 0) {
                throw new IOException("no reply");
            }
            int n = socket.receive(buffer, 0, size - have, fds);
            if (n == 0) {
                throw new IOException("server closed");
            }
            if (n != -Errno.EAGAIN) {
                MemorySegment.copy(buffer, ValueLayout.JAVA_BYTE, 0, bytes, have, n);
                have += n;
            }
        }
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** Tells of memory at 0; without descriptors it is not shared. */
    void map(Fd... ram) throws IOException {
        call(
                VFIO_USER_DMA_MAP,
                fields(DMA_MAP_SIZE)
                        .putInt(DMA_MAP_SIZE)
                        .putInt(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)
                        .putLong(0)
                        .putLong(0)
                        .putLong(RAM),
                ram);
    }

    /** Tells of the memory of a display: writable, and not shared. */
    void mapDisplay(long at, long size) throws IOException {
        call(
                VFIO_USER_DMA_MAP,
                fields(DMA_MAP_SIZE)
                        .putInt(DMA_MAP_SIZE)
                        .putInt(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)
                        .putLong(0)
                        .putLong(at)
                        .putLong(size));
    }

    /** Resets the function, as when the machine is reset. */
    void reset() throws IOException {
        call(VFIO_USER_DEVICE_RESET, fields(0));
    }

    private void write(long offset, int size, long value) throws IOException {
        write(BAR, offset, size, value);
    }

    private void write(int region, long offset, int size, long value) throws IOException {
        ByteBuffer payload = fields(16 + size).putLong(offset).putInt(region).putInt(size);
        for (int i = 0; i < size; i++) {
            payload.put((byte) (value >>> (8 * i)));
        }
        call(VFIO_USER_REGION_WRITE, payload);
    }

    int status() throws IOException {
        ByteBuffer payload = fields(16).putLong(COMMON_DEVICE_STATUS).putInt(BAR).putInt(1);
        return Byte.toUnsignedInt(call(VFIO_USER_REGION_READ, payload).get(16));
    }

    /** Enables the function; reset to FEATURES_OK. */
    void negotiate(long features) throws IOException {
        write(
                VFIO_PCI_CONFIG_REGION_INDEX,
                Pci.COMMAND,
                2,
                Pci.COMMAND_MEMORY | Pci.COMMAND_MASTER);
        write(COMMON_DEVICE_STATUS, 1, 0);
        write(COMMON_DEVICE_STATUS, 1, Virtio.STATUS_ACKNOWLEDGE | Virtio.STATUS_DRIVER);
        write(COMMON_DRIVER_FEATURE_SELECT, 4, 0);
        write(COMMON_DRIVER_FEATURE, 4, features & 0xffff_ffffL);
        write(COMMON_DRIVER_FEATURE_SELECT, 4, 1);
        write(COMMON_DRIVER_FEATURE, 4, features >>> 32);
        write(COMMON_DEVICE_STATUS, 1, status() | Virtio.STATUS_FEATURES_OK);
    }

    /** Enables queue {@code q} with its rings at {@code at} of the memory. */
    void queue(int q, Mapping ram, long at) throws IOException {
        queue(q, ram, at, at);
    }

    /** The same with rings that the device finds at {@code address}. */
    void queue(int q, Mapping ram, long at, long address) throws IOException {
        MemorySegment rings = ram.segment().asSlice(at, RingFormat.SPLIT.driverBytes(QUEUE_SIZE));
        DriverQueue queue = RingFormat.SPLIT.newDriver(rings, address, QUEUE_SIZE, false);
        write(COMMON_QUEUE_SELECT, 2, q);
        write(COMMON_QUEUE_SIZE, 2, QUEUE_SIZE);
        write(COMMON_QUEUE_DESC, 4, queue.descAddress());
        write(COMMON_QUEUE_DESC + 4, 4, 0);
        write(COMMON_QUEUE_DRIVER, 4, queue.driverAddress());
        write(COMMON_QUEUE_DRIVER + 4, 4, 0);
        write(COMMON_QUEUE_DEVICE, 4, queue.deviceAddress());
        write(COMMON_QUEUE_DEVICE + 4, 4, 0);
        write(COMMON_QUEUE_ENABLE, 2, 1);
        queues[q] = queue;
        back[q] = 0;
    }

    void driverOk() throws IOException {
        write(COMMON_DEVICE_STATUS, 1, status() | Virtio.STATUS_DRIVER_OK);
    }

    /** As Linux does when its driver's probe has failed; the device stays started. */
    void giveUp() throws IOException {
        write(COMMON_DEVICE_STATUS, 1, status() | Virtio.STATUS_FAILED);
    }

    void kick(int q) throws IOException {
        write(NOTIFY + 4L * q, 2, q);
    }

    void writeConfig(int offset, int size, long value) throws IOException {
        write(DEVICE + offset, size, value);
    }

    /** Offers a chain of a readable and a writable buffer (of size 0: none), and kicks. */
    void offer(int q, long in, int inSize, long out, int outSize) throws IOException {
        DriverQueue queue = queues[q];
        int _ = queue.begin();
        if (inSize > 0) {
            queue.readable(in, inSize);
        }
        if (outSize > 0) {
            queue.writable(out, outSize);
        }
        queue.offer();
        queue.expose();
        kick(q);
    }

    /** Where the device finds how many chains there are. */
    long availIndex(int q) {
        return queues[q].driverAddress() + SplitRing.AVAIL_IDX;
    }

    /** Used length of the chain that came back last. */
    long usedLength(int q) {
        return queues[q].written();
    }

    /** Waits until {@code count} chains have come back. */
    void awaitUsed(int q, int count) throws InterruptedException {
        long deadline = System.nanoTime() + WAIT_MILLIS * 1_000_000L;
        while (back[q] < count) {
            if (queues[q].take() != DriverQueue.NONE) {
                back[q]++;
            } else if (System.nanoTime() - deadline > 0) {
                throw new IllegalStateException(
                        "%d of %d chains came back".formatted(back[q], count));
            } else {
                Thread.sleep(1);
            }
        }
    }

    @Override
    public void close() {
        epoll.close();
        socket.close();
    }
}
