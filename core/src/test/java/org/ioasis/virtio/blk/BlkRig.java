// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VirtioBlk.T_DISCARD;
import static org.ioasis.spec.VirtioBlk.T_OUT;
import static org.ioasis.spec.VirtioBlk.T_WRITE_ZEROES;

import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.Interrupts;
import org.ioasis.virtio.VirtioDevice;
import org.ioasis.virtqueue.FlatDma;
import org.ioasis.virtqueue.MockDriver;
import org.ioasis.virtqueue.MockDriver.Buffer;
import org.ioasis.virtqueue.MockDriver.Layout;
import org.ioasis.virtqueue.RingFormat;
import org.jspecify.annotations.Nullable;

/**
 * A disk with a driver on one thread: I/O and the device's turns run when the test says so. Memory:
 * rings from {@link #BASE} on; slot {@code i} at {@code DATA + i * SLOT} holds a header at 0, the
 * status at 32 and data from 512 on.
 */
final class BlkRig implements Interrupts {
    static final long BASE = 0x10000;
    static final long DATA = 0x100_0000;
    static final int SLOT = 0x8000;
    static final int SLOTS = 64;
    static final int NO_STATUS = 0xee;
    static final long FEATURES =
            Virtio.F_VERSION_1 | Virtio.F_INDIRECT_DESC | Virtio.F_EVENT_IDX | Virtio.F_RING_RESET;

    final FlatDma dma = new FlatDma(BASE, 0x100000);
    final MemoryStore store;
    final Deque<Runnable> io = new ArrayDeque<>();
    final Deque<Runnable> loop = new ArrayDeque<>();
    final BlkSettings settings;
    final VirtioBlk blk;
    final VirtioDevice device;

    /** The device's thread takes no tasks. */
    volatile boolean refusesTasks;

    int queueInterrupts;
    int configInterrupts;

    private final List<MockDriver> drivers = new ArrayList<>();

    BlkRig(BlkSettings settings, int capacity, boolean readOnly) {
        this(settings, capacity, readOnly, null);
    }

    BlkRig(BlkSettings settings, int capacity, boolean readOnly, @Nullable Executor executor) {
        this(settings, capacity, readOnly, executor, FEATURES);
    }

    BlkRig(
            BlkSettings settings,
            int capacity,
            boolean readOnly,
            @Nullable Executor executor,
            long frame) {
        this.settings = settings;
        dma.addRegion(DATA, (long) SLOT * SLOTS);
        Runnable check = executor != null ? () -> {} : this::requireNoSection;
        store = new MemoryStore(capacity, readOnly, check);
        for (int i = 0; i < capacity; i++) {
            store.content[i] = (byte) (i / 512 + i);
        }
        Executor later =
                task -> {
                    if (refusesTasks) {
                        throw new RejectedExecutionException("full");
                    }
                    synchronized (loop) {
                        loop.add(task);
                        loop.notifyAll();
                    }
                };
        blk = new VirtioBlk(store, settings, executor != null ? executor : io::add, later);
        device = new VirtioDevice(blk, dma, frame, this);
    }

    /** A queue of 64, and eight requests with 4 KiB each. */
    static BlkSettings.Builder settings() {
        return BlkSettings.builder().queueSizeMax(64).requestLimit(8).chunkBytes(4096);
    }

    static BlkRig small() {
        BlkRig rig = new BlkRig(settings().serial("disk").build(), 64 * 512, false);
        rig.start();
        return rig;
    }

    /** No section spans a system call. */
    private void requireNoSection() {
        if (dma.isInSection()) {
            throw new AssertionError("system call in a guarded section");
        }
    }

    @Override
    public void queue(int queue) {
        requireNoSection();
        queueInterrupts++;
    }

    @Override
    public void config() {
        requireNoSection();
        configInterrupts++;
    }

    void start() {
        start(device.deviceFeatures());
    }

    /** Resets and brings the device up, as a driver does. */
    void start(long features) {
        device.writeStatus(0);
        device.writeStatus(3);
        device.writeDriverFeatures(features);
        device.writeStatus(11);
        drivers.clear();
        for (int q = 0; q < settings.queueCount(); q++) {
            // In pages of their own, which may be absent by themselves.
            drivers.add(enable(q, BASE + q * ringBytes(), features));
        }
        device.writeStatus(15);
        assertThat(device.isRunning()).isTrue();
    }

    private long ringBytes() {
        return (MockDriver.footprint(settings.queueSizeMax()) + 0xfff) & -0x1000;
    }

    private MockDriver enable(int q, long base, long features) {
        int size = settings.queueSizeMax();
        boolean eventIdx = (features & Virtio.F_EVENT_IDX) != 0;
        MockDriver driver =
                new MockDriver(
                        RingFormat.of(features),
                        dma.memory(base, MockDriver.footprint(size)),
                        base,
                        size,
                        eventIdx);
        device.writeQueueDesc(q, driver.descAddress());
        device.writeQueueDriver(q, driver.driverAddress());
        device.writeQueueDevice(q, driver.deviceAddress());
        device.enableQueue(q);
        return driver;
    }

    /** Enables a queue that was reset again, with its rings elsewhere. */
    void enableAgain(int queue) {
        long base = BASE + (settings.queueCount() + queue) * ringBytes();
        drivers.set(queue, enable(queue, base, device.driverFeatures()));
        assertThat(device.queueEnabled(queue)).isTrue();
    }

    MockDriver driver() {
        return drivers.getFirst();
    }

    MockDriver driver(int queue) {
        return drivers.get(queue);
    }

    static long slot(int i) {
        return DATA + (long) SLOT * i;
    }

    MemorySegment data(int slot, int length) {
        return dma.memory(slot(slot) + 512, length);
    }

    byte[] dataBytes(int slot, int length) {
        return data(slot, length).toArray(JAVA_BYTE);
    }

    void header(int slot, int type, long sector) {
        MemorySegment m = dma.memory(slot(slot), 64);
        m.set(JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN), 0, type);
        m.set(JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN), 4, 0);
        m.set(JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN), 8, sector);
        m.set(JAVA_BYTE, 32, (byte) NO_STATUS);
    }

    int status(int slot) {
        return Byte.toUnsignedInt(dma.memory(slot(slot) + 32, 1).get(JAVA_BYTE, 0));
    }

    /** The plain layout: header, data, status. */
    static List<Buffer> plain(int slot, int length, boolean dataWritable) {
        List<Buffer> buffers = new ArrayList<>();
        buffers.add(new Buffer(slot(slot), 16, false));
        if (length > 0) {
            buffers.add(new Buffer(slot(slot) + 512, length, dataWritable));
        }
        buffers.add(new Buffer(slot(slot) + 32, 1, true));
        return buffers;
    }

    /** Makes a request in the plain layout available; not seen before {@link #expose}. */
    int add(int slot, int type, long sector, int length) {
        return add(0, slot, type, sector, length);
    }

    /** The same on any queue. */
    int add(int queue, int slot, int type, long sector, int length) {
        header(slot, type, sector);
        boolean isReadable = type == T_OUT || type == T_DISCARD || type == T_WRITE_ZEROES;
        return driver(queue).add(Layout.DIRECT, plain(slot, length, !isReadable));
    }

    /** Writes segment {@code i} of a discard or write zeroes to the data of a slot. */
    void segment(int slot, int i, long sector, long sectors, int flags) {
        MemorySegment m = data(slot, (i + 1) * 16);
        m.set(JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN), i * 16L, sector);
        m.set(JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN), i * 16L + 8, (int) sectors);
        m.set(JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN), i * 16L + 12, flags);
    }

    /** Sends a discard or write zeroes of one segment and returns its status. */
    int erase(int type, long sector, long sectors, int flags) {
        segment(0, 0, sector, sectors, flags);
        return request(type, 0, 16);
    }

    /** Exposes what was added and kicks if the device wants it. */
    void expose() {
        for (int q = 0; q < drivers.size(); q++) {
            if (driver(q).expose()) {
                device.kick(q);
            }
        }
    }

    /** Runs I/O and device turns until nothing is left. */
    void settle() {
        while (!io.isEmpty() || !loop.isEmpty()) {
            runIo();
            runLoop();
        }
    }

    void runIo() {
        for (Runnable r = io.poll(); r != null; r = io.poll()) {
            r.run();
        }
    }

    void runLoop() {
        for (Runnable r = loop.poll(); r != null; r = loop.poll()) {
            r.run();
        }
    }

    /** Sends one request all the way and returns its status byte. */
    int request(int type, long sector, int length) {
        int head = add(0, type, sector, length);
        expose();
        settle();
        MockDriver.Used used = requireNonNull(driver().poll());
        assertThat(used.head()).isEqualTo(head);
        assertThat(driver().poll()).isNull();
        return status(0);
    }
}
