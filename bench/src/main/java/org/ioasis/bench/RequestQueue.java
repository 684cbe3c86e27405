// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.ioasis.iommu.Status;
import org.ioasis.memory.Dma;
import org.ioasis.spec.Virtio;
import org.ioasis.spec.VirtioIommu;
import org.ioasis.virtio.Interrupts;
import org.ioasis.virtio.VirtioDevice;
import org.ioasis.virtio.iommu.VirtioIommuDevice;
import org.ioasis.virtqueue.DriverQueue;
import org.ioasis.virtqueue.RingFormat;

/**
 * W9: our virtio-iommu device on the engine, and a driver that keeps its requests in one block of
 * guest memory, two descriptors each, as the peers' does. {@link #expose} and {@link #reap} belong
 * to the driver's thread, {@link #serve} to the device's.
 */
final class RequestQueue implements Interrupts {
    private static final int SIZE = 256;
    private static final int STATUS_RUNNING =
            Virtio.STATUS_ACKNOWLEDGE
                    | Virtio.STATUS_DRIVER
                    | Virtio.STATUS_FEATURES_OK
                    | Virtio.STATUS_DRIVER_OK;

    // Where the block lies in guest memory, and what lies where in it.
    private static final long BLOCK = 0x1000_0000;
    private static final long SLOT_AREA = 8192;
    private static final long SLOT_BYTES = 64;
    private static final long TAIL = 48;
    private static final long BLOCK_BYTES = SLOT_AREA + SIZE * SLOT_BYTES;

    /** The domain behind the type, in the first eight bytes of a request. */
    private static final long TO_DOMAIN =
            (long) Engine.DOMAIN << (Byte.SIZE * VirtioIommu.MAP_DOMAIN);

    private static final byte NO_STATUS = (byte) 0xff;
    private static final int READ_WRITE = VirtioIommu.MAP_F_READ | VirtioIommu.MAP_F_WRITE;

    private static final ValueLayout.OfInt U32 = JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfLong U64 = JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);

    private final MemorySegment block;
    private final DriverQueue driver;
    private final VirtioDevice device;
    private int interrupts;

    RequestQueue(Engine engine, Dma rings, RingFormat ring) {
        block = engine.ram(BLOCK, BLOCK_BYTES);
        driver = ring.newDriver(block, BLOCK, SIZE, false);
        VirtioIommuDevice type =
                new VirtioIommuDevice(
                        engine.iommu(),
                        task -> {
                            throw new IllegalStateException("nothing is put off");
                        });
        type.domains()
                .attach(
                        Engine.ENDPOINT,
                        Engine.DOMAIN,
                        false,
                        status -> {
                            if (status != Status.OK) {
                                throw new IllegalStateException(status.toString());
                            }
                        });
        long packed = ring == RingFormat.PACKED ? Virtio.F_RING_PACKED : 0;
        device = new VirtioDevice(type, rings, Virtio.F_VERSION_1 | packed, this);
        // Without a reset: its endpoint is attached already.
        device.writeStatus(Virtio.STATUS_ACKNOWLEDGE | Virtio.STATUS_DRIVER);
        device.writeDriverFeatures(device.deviceFeatures());
        device.writeStatus(Virtio.STATUS_FEATURES_OK);
        device.writeQueueSize(VirtioIommu.REQUESTQ, SIZE);
        device.writeQueueDesc(VirtioIommu.REQUESTQ, driver.descAddress());
        device.writeQueueDriver(VirtioIommu.REQUESTQ, driver.driverAddress());
        device.writeQueueDevice(VirtioIommu.REQUESTQ, driver.deviceAddress());
        device.enableQueue(VirtioIommu.REQUESTQ);
        device.writeStatus(STATUS_RUNNING);
        if (!device.isRunning() || !device.queueEnabled(VirtioIommu.REQUESTQ)) {
            throw new IllegalStateException("the device does not run");
        }
    }

    @Override
    public void queue(int queue) {
        interrupts++;
    }

    @Override
    public void config() {
        throw new IllegalStateException("the device needs a reset");
    }

    /** Interrupts so far. Device's thread. */
    int interrupts() {
        return interrupts;
    }

    /** The device looks at its queue. */
    void serve() {
        device.kick(VirtioIommu.REQUESTQ);
    }

    void putUnmap(long first, long last) {
        long at = begin(VirtioIommu.T_UNMAP, first, last);
        block.set(U32, at + VirtioIommu.UNMAP_RESERVED, 0);
        offer(at, VirtioIommu.UNMAP_SIZE);
    }

    void putMap(long first, long last, long gpa) {
        long at = begin(VirtioIommu.T_MAP, first, last);
        block.set(U64, at + VirtioIommu.MAP_PHYS_START, gpa);
        block.set(U32, at + VirtioIommu.MAP_FLAGS, READ_WRITE);
        offer(at, VirtioIommu.MAP_SIZE);
    }

    /** Writes what a MAP and an UNMAP begin with. */
    private long begin(int type, long first, long last) {
        long at = slot(driver.begin());
        block.set(U64, at, type | TO_DOMAIN);
        block.set(U64, at + VirtioIommu.MAP_VIRT_START, first);
        block.set(U64, at + VirtioIommu.MAP_VIRT_END, last);
        block.set(JAVA_BYTE, at + TAIL, NO_STATUS);
        return at;
    }

    private void offer(long at, int requestBytes) {
        driver.offer(BLOCK + at, requestBytes, BLOCK + at + TAIL, VirtioIommu.TAIL_SIZE);
    }

    /** Makes the requests that were put available. */
    void expose() {
        driver.expose();
    }

    /** Where a chain's request lies: each descriptor has room for one. */
    private static long slot(int head) {
        return SLOT_AREA + head * SLOT_BYTES;
    }

    /** Takes back what is used; each answer must be OK. Returns how many they were. */
    int reap() {
        int count = 0;
        for (int head = driver.take(); head >= 0; head = driver.take()) {
            byte status = block.get(JAVA_BYTE, slot(head) + TAIL);
            if (status != VirtioIommu.S_OK) {
                throw new IllegalStateException("answered with status " + status);
            }
            count++;
        }
        if (driver.brokenReason() != null) {
            throw new IllegalStateException(driver.brokenReason());
        }
        return count;
    }
}
