// SPDX-License-Identifier: Apache-2.0
package org.ioasis.demo;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static org.ioasis.spec.Virtio.DEVICE_ID_BLOCK;
import static org.ioasis.spec.Virtio.F_ACCESS_PLATFORM;
import static org.ioasis.spec.Virtio.F_EVENT_IDX;
import static org.ioasis.spec.Virtio.F_RING_PACKED;
import static org.ioasis.spec.VirtioBlk.REQ_HEADER_SIZE;
import static org.ioasis.spec.VirtioBlk.REQ_SECTOR;
import static org.ioasis.spec.VirtioBlk.REQ_TYPE;
import static org.ioasis.spec.VirtioBlk.SECTOR_SIZE;
import static org.ioasis.spec.VirtioBlk.S_OK;
import static org.ioasis.spec.VirtioBlk.T_OUT;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.dma.Direction;
import org.ioasis.dma.DmaSpace;
import org.ioasis.dma.Piece;
import org.ioasis.virtio.driver.BrokenException;
import org.ioasis.virtio.driver.DriverException;
import org.ioasis.virtio.driver.Negotiation;
import org.ioasis.virtio.driver.Patience;
import org.ioasis.virtio.driver.Transport;
import org.ioasis.virtqueue.DriverQueue;
import org.ioasis.virtqueue.RingFormat;

/**
 * A driver of a disk behind an IOMMU: rings and headers are mapped as long as it runs, data for one
 * request. One thread.
 */
final class DiskDriver {
    /** Any device can; so the driver need not know. */
    static final long ALL_ADDRESSES = -1;

    private static final int QUEUE = 0;
    private static final int QUEUE_SIZE = 64;

    /** A header, and its status behind it. */
    private static final int SLOT = 32;

    private static final byte NOTHING = (byte) 0xff;
    private static final ValueLayout.OfInt LE32 =
            ValueLayout.JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LE64 =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);

    /** One request: where on the disk, and where in memory. */
    record Request(int type, long sector, Piece buffer) {}

    private final Transport device;
    private final Patience patience;
    private final DmaSpace space;
    private final DriverQueue ring;
    private final DmaSpace.Coherent headers;
    private final MemorySegment headerBytes;

    DiskDriver(Transport device, Patience patience, DmaSpace space, DemoMemory memory)
            throws DriverException {
        this.device = device;
        this.patience = patience;
        this.space = space;
        long features =
                Negotiation.features(
                        device,
                        patience,
                        DEVICE_ID_BLOCK,
                        F_ACCESS_PLATFORM,
                        F_EVENT_IDX | F_RING_PACKED);
        int size = Negotiation.queueSize(device, QUEUE, QUEUE_SIZE);
        RingFormat format = RingFormat.of(features);
        DmaSpace.Coherent rings = space.coherent(memory, format.driverBytes(size), ALL_ADDRESSES);
        ring =
                format.newDriver(
                        memory.at(rings.address(), rings.bytes()),
                        rings.iova(),
                        size,
                        (features & F_EVENT_IDX) != 0);
        headers = space.coherent(memory, (long) SLOT * size, ALL_ADDRESSES);
        headerBytes = memory.at(headers.address(), headers.bytes());
        Negotiation.enable(
                device,
                QUEUE,
                size,
                ring.descAddress(),
                ring.driverAddress(),
                ring.deviceAddress());
        Negotiation.ready(device);
        ring.suppressInterrupts();
    }

    /** Most requests at a time. */
    int depth() {
        return ring.size() / 3;
    }

    /**
     * Does these requests, at most {@link #depth}, together.
     *
     * @return addresses at which the device saw the buffers, which it reaches no more
     */
    List<Piece> perform(List<Request> requests) throws DriverException {
        List<Piece> seen = new ArrayList<>();
        for (Request each : requests) {
            Direction direction = each.type == T_OUT ? Direction.TO_DEVICE : Direction.FROM_DEVICE;
            long iova = space.map(each.buffer, direction, ALL_ADDRESSES);
            Piece data = new Piece(iova, each.buffer.length());
            seen.add(data);
            offer(each, data);
        }
        ring.expose();
        if (ring.shouldKick()) {
            device.kick(QUEUE);
        }
        collect(requests.size());
        for (Piece each : seen) {
            space.unmap(each);
        }
        return seen;
    }

    private void offer(Request request, Piece data) {
        int name = ring.begin();
        long at = (long) SLOT * name;
        headerBytes.set(LE64, at, 0);
        headerBytes.set(LE32, at + REQ_TYPE, request.type);
        headerBytes.set(LE64, at + REQ_SECTOR, request.sector);
        headerBytes.set(JAVA_BYTE, at + REQ_HEADER_SIZE, NOTHING);
        ring.readable(headers.iova() + at, REQ_HEADER_SIZE);
        if (request.type == T_OUT) {
            ring.readable(data.address(), data.length());
        } else {
            ring.writable(data.address(), data.length());
        }
        ring.writable(headers.iova() + at + REQ_HEADER_SIZE, 1);
        ring.offer();
    }

    private void collect(int count) throws DriverException {
        int left = count;
        patience.begin();
        while (left > 0) {
            int name = ring.take();
            if (name == DriverQueue.NONE) {
                if (!patience.goOn()) {
                    throw new BrokenException(left + " requests of the disk without an answer");
                }
                continue;
            }
            if (name == DriverQueue.BROKEN) {
                throw new BrokenException("the disk's queue: " + ring.brokenReason());
            }
            byte status = headerBytes.get(JAVA_BYTE, (long) SLOT * name + REQ_HEADER_SIZE);
            if (status != S_OK) {
                throw new DriverException("the disk answers " + status);
            }
            left--;
        }
    }

    /** Sectors of so many bytes. */
    static long sectors(long bytes) {
        return bytes / SECTOR_SIZE;
    }
}
