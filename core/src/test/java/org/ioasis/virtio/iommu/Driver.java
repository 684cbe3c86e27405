// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.RejectedExecutionException;
import java.util.function.Function;
import java.util.function.Supplier;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.MappingStore;
import org.ioasis.iommu.mapping.MappingStores;
import org.ioasis.iommu.mapping.SegmentTables;
import org.ioasis.memory.DirectDma;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.HandClock;
import org.ioasis.memory.PinnedLease;
import org.ioasis.memory.Ram;
import org.ioasis.memory.Region;
import org.ioasis.spec.Virtio;
import org.ioasis.spec.VirtioIommu;
import org.ioasis.virtio.Interrupts;
import org.ioasis.virtio.VirtioDevice;
import org.ioasis.virtqueue.Allocation;
import org.ioasis.virtqueue.MockDriver;
import org.ioasis.virtqueue.MockDriver.Buffer;
import org.ioasis.virtqueue.MockDriver.Layout;
import org.ioasis.virtqueue.MockDriver.Used;
import org.ioasis.virtqueue.RingFormat;
import org.jspecify.annotations.Nullable;

/**
 * A driver of the device for tests: speaks the wire through real queues in guest memory. Rings,
 * requests, answers and event buffers lie in regions of their own, so that each can be absent.
 * Tasks of the device run in {@link #turn}. One thread.
 */
final class Driver implements Interrupts {
    static final int QUEUE_SIZE = 256;
    static final long REQUEST_RING = 0x200000;
    static final long EVENT_RING = 0x400000;
    static final long IN = 0x600000;
    static final long OUT = 0x800000;
    static final long EVENTS = 0xa00000;
    static final long DMA = 0xc00000;
    private static final long RING_SIZE = 0x140000;
    private static final long SIZE = 0x40000;
    private static final int SLOT = 0x400;
    private static final long TABLE_BYTES = 1 << 20;
    private static final long FRAME =
            Virtio.F_VERSION_1
                    | Virtio.F_INDIRECT_DESC
                    | Virtio.F_EVENT_IDX
                    | Virtio.F_RING_PACKED
                    | Virtio.F_RING_RESET;

    /** Small limits, strict DETACH, no bypass. */
    static final IommuOptions OPTIONS =
            IommuOptions.builder()
                    .bypassAtStart(false)
                    .detachByEndpoint(false)
                    .endpointLimit(16)
                    .domainLimit(8)
                    .mappingLimit(1024)
                    .build();

    /** What came back: used length and the whole writable buffer. */
    static final class Answer {
        private final long written;
        private final byte[] bytes;

        Answer(long written, byte[] bytes) {
            this.written = written;
            this.bytes = bytes;
        }

        long written() {
            return written;
        }

        byte[] bytes() {
            return bytes;
        }

        int status() {
            return bytes[(int) written - 4];
        }
    }

    final HandClock clock = new HandClock();
    final List<PinnedLease> unrevocable = new ArrayList<>();
    final Map<Long, Region> regions = new HashMap<>();
    final Tasks tasks = new Tasks();

    // The device and its machine, which move() exchanges for others.
    Guards guards;
    Guard guard;
    GuestMemory memory;
    FaultQueue faults;
    Iommu iommu;
    VirtioIommuDevice type;
    VirtioDevice device;
    int requestInterrupts;
    int eventInterrupts;
    int configInterrupts;

    private final Function<Guards, Supplier<MappingStore>> stores;
    private final @Nullable Profile profile;
    private final MemorySegment requestRing;
    private final MemorySegment eventRing;
    MockDriver requests;
    MockDriver events;
    private final Map<Integer, Integer> slotOfHead = new HashMap<>();
    private final Map<Integer, Integer> writableOfHead = new HashMap<>();
    private final Map<Integer, Long> eventOfHead = new HashMap<>();
    private int nextSlot;
    private RingFormat ring = RingFormat.SPLIT;

    Driver(IommuOptions options) {
        this(options, VirtioIommuDevice.FEATURES);
    }

    Driver(IommuOptions options, long offered) {
        this(options, offered, Arena.ofAuto());
    }

    /** With guest memory of {@code ram}. */
    Driver(IommuOptions options, long offered, Arena ram) {
        this(
                options,
                offered,
                ram,
                guards ->
                        MappingStores.forPageSizes(
                                options.pageSizeMask(), SegmentTables.pool(TABLE_BYTES, guards)));
    }

    /** With mappings in {@code stores}. */
    Driver(
            IommuOptions options,
            long offered,
            Arena ram,
            Function<Guards, Supplier<MappingStore>> stores) {
        this(options, offered, ram, stores, null);
    }

    /** Of a device with a profile. */
    static Driver of(IommuOptions options, Profile profile) {
        return of(options, profile, Arena.ofAuto());
    }

    /** The same with guest memory of {@code ram}. */
    static Driver of(IommuOptions options, Profile profile, Arena ram) {
        return new Driver(
                options,
                VirtioIommuDevice.FEATURES,
                ram,
                guards ->
                        MappingStores.forPageSizes(
                                options.pageSizeMask(), SegmentTables.pool(TABLE_BYTES, guards)),
                profile);
    }

    private Driver(
            IommuOptions options,
            long offered,
            Arena ram,
            Function<Guards, Supplier<MappingStore>> stores,
            @Nullable Profile profile) {
        this.stores = stores;
        this.profile = profile;
        requestRing = segment(ram, REQUEST_RING, RING_SIZE);
        eventRing = segment(ram, EVENT_RING, RING_SIZE);
        for (long gpa : new long[] {IN, OUT, EVENTS, DMA}) {
            segment(ram, gpa, SIZE);
        }
        build(options, offered, regions.values());
        requests = new MockDriver(requestRing, REQUEST_RING, QUEUE_SIZE, false);
        events = new MockDriver(eventRing, EVENT_RING, QUEUE_SIZE, false);
    }

    private void build(IommuOptions options, long offered, Collection<Region> present) {
        guards = new Guards(clock, unrevocable::add);
        guard = guards.open();
        memory = new GuestMemory(guards, 32);
        faults = new FaultQueue(64, 1000, clock);
        iommu = new Iommu(options, guards, faults, stores.apply(guards));
        type =
                profile == null
                        ? new VirtioIommuDevice(iommu, tasks::post, offered)
                        : new VirtioIommuDevice(iommu, tasks::post, profile, memory);
        device = new VirtioDevice(type, new DirectDma(memory, guard), FRAME, this);
        present.forEach(memory::add);
    }

    /** The loop's queue. */
    static final class Tasks extends ArrayDeque<Runnable> {
        private static final long serialVersionUID = 1;

        boolean isFull;

        void post(Runnable task) {
            if (isFull) {
                throw new RejectedExecutionException("full");
            }
            add(task);
        }
    }

    /**
     * The machine goes on with a new device, made from what {@link SavedDevice} says of this one.
     */
    byte[] move() throws RestoreException {
        byte[] saved = SavedDevice.save(device, type);
        exchange(iommu.options(), type.features());
        SavedDevice.restore(saved, device, type);
        return saved;
    }

    /**
     * A new device with the same endpoints and in the same memory, as if the power had been off.
     */
    void exchange(IommuOptions options, long offered) {
        List<Region> present = new ArrayList<>();
        memory.forEachRegion(present::add);
        Map<Integer, EndpointProperties> endpoints = new HashMap<>();
        iommu.forEachEndpoint(each -> endpoints.put(each.id(), each.properties()));
        tasks.clear();
        build(options, offered, present);
        endpoints.forEach(iommu::plug);
    }

    /** The way to memory of an endpoint that is plugged. */
    Dma dma(int id) {
        return iommu.dma(requireNonNull(iommu.endpoint(id)), memory, guard);
    }

    private MemorySegment segment(Arena ram, long gpa, long size) {
        MemorySegment segment = ram.allocate(size, 4096);
        regions.put(gpa, new Region(gpa, gpa + size - 1, segment, true, Ram.lender(segment)));
        return segment;
    }

    @Override
    public void queue(int queue) {
        if (queue == VirtioIommu.REQUESTQ) {
            requestInterrupts++;
        } else {
            eventInterrupts++;
        }
    }

    @Override
    public void config() {
        configInterrupts++;
    }

    // --- start

    /** A driver that takes every feature. */
    static Driver started() {
        return started(OPTIONS);
    }

    static Driver started(IommuOptions options) {
        Driver driver = new Driver(options);
        driver.start(driver.type.features());
        return driver;
    }

    /** {@link #OPTIONS} with either setting of the quirk for Linux (T3). */
    static IommuOptions options(boolean detachByEndpoint) {
        return OPTIONS.toBuilder().detachByEndpoint(detachByEndpoint).build();
    }

    void start(long typeFeatures) {
        start(typeFeatures, false);
    }

    void start(long typeFeatures, boolean eventIdx) {
        start(typeFeatures, eventIdx, RingFormat.SPLIT);
    }

    void start(long typeFeatures, boolean eventIdx, RingFormat format) {
        ring = format;
        device.writeStatus(Virtio.STATUS_ACKNOWLEDGE);
        device.writeStatus(Virtio.STATUS_ACKNOWLEDGE | Virtio.STATUS_DRIVER);
        device.writeDriverFeatures(
                typeFeatures
                        | Virtio.F_VERSION_1
                        | Virtio.F_INDIRECT_DESC
                        | (eventIdx ? Virtio.F_EVENT_IDX : 0)
                        | (format == RingFormat.PACKED ? Virtio.F_RING_PACKED : 0));
        device.writeStatus(device.status() | Virtio.STATUS_FEATURES_OK);
        requests = new MockDriver(ring, requestRing, REQUEST_RING, QUEUE_SIZE, eventIdx);
        events = new MockDriver(ring, eventRing, EVENT_RING, QUEUE_SIZE, eventIdx);
        enable(VirtioIommu.REQUESTQ, requests);
        enable(VirtioIommu.EVENTQ, events);
        device.writeStatus(device.status() | Virtio.STATUS_DRIVER_OK);
        if (!device.isRunning()) {
            throw new AssertionError("status " + device.status());
        }
    }

    /** A new request queue after the old one was reset. */
    void renewRequests(boolean eventIdx) {
        requests = new MockDriver(ring, requestRing, REQUEST_RING, QUEUE_SIZE, eventIdx);
        enable(VirtioIommu.REQUESTQ, requests);
    }

    /** A new event queue after the old one was reset. */
    void renewEvents() {
        events = new MockDriver(ring, eventRing, EVENT_RING, QUEUE_SIZE, false);
        enable(VirtioIommu.EVENTQ, events);
    }

    private void enable(int q, MockDriver driver) {
        device.writeQueueSize(q, QUEUE_SIZE);
        device.writeQueueDesc(q, driver.descAddress());
        device.writeQueueDriver(q, driver.driverAddress());
        device.writeQueueDevice(q, driver.deviceAddress());
        device.enableQueue(q);
    }

    // --- machine

    Dma plug(int id) {
        return plug(id, EndpointProperties.UNLIMITED);
    }

    Dma plug(int id, EndpointProperties properties) {
        return iommu.dma(iommu.plug(id, properties), memory, guard);
    }

    void turn() {
        while (!tasks.isEmpty()) {
            tasks.remove().run();
        }
    }

    void take(long gpa) {
        Region region = requireNonNull(regions.get(gpa));
        memory.remove(region.gpaFirst(), region.gpaLast(), () -> {});
        device.memoryChanged();
        turn();
    }

    void giveBack(long gpa) {
        memory.add(requireNonNull(regions.get(gpa)));
        device.memoryChanged();
        turn();
    }

    /** Exchanges a region for one of the same memory that refuses writes. */
    void makeReadOnly(long gpa) {
        Region region = requireNonNull(regions.get(gpa));
        memory.remove(region.gpaFirst(), region.gpaLast(), () -> {});
        memory.add(new Region(region.gpaFirst(), region.gpaLast(), region.segment(), false, null));
    }

    MemorySegment bytes(long gpa) {
        return requireNonNull(requireNonNull(regions.get(gpa)).segment());
    }

    // --- requests

    /** Little-endian bytes: int values are 4 of them, long ones 8. */
    static byte[] request(Number... fields) {
        ByteBuffer buffer = ByteBuffer.allocate(256).order(ByteOrder.LITTLE_ENDIAN);
        for (Number field : fields) {
            if (field instanceof Long wide) {
                buffer.putLong(wide);
            } else {
                buffer.putInt(field.intValue());
            }
        }
        byte[] bytes = new byte[buffer.position()];
        buffer.get(0, bytes);
        return bytes;
    }

    static byte[] attach(int endpoint, int domain, int flags) {
        return request(VirtioIommu.T_ATTACH, domain, endpoint, flags, 0);
    }

    static byte[] detach(int endpoint, int domain) {
        return request(VirtioIommu.T_DETACH, domain, endpoint, 0, 0);
    }

    static byte[] map(int domain, long first, long last, long output, int flags) {
        return request(VirtioIommu.T_MAP, domain, first, last, output, flags);
    }

    static byte[] unmap(int domain, long first, long last) {
        return request(VirtioIommu.T_UNMAP, domain, first, last, 0);
    }

    static byte[] probe(int endpoint) {
        byte[] bytes = new byte[VirtioIommu.PROBE_SIZE];
        System.arraycopy(request(VirtioIommu.T_PROBE, endpoint), 0, bytes, 0, 8);
        return bytes;
    }

    /** Puts a request into the ring: one readable and one writable descriptor. Returns its head. */
    int send(byte[] readable, int writable) {
        return send(Layout.DIRECT, readable, writable, readable.length, writable);
    }

    /** The same in pieces of at most so many bytes. */
    int send(Layout layout, byte[] readable, int writable, int inPiece, int outPiece) {
        int slot = nextSlot++ % (int) (SIZE / SLOT);
        MemorySegment.copy(
                MemorySegment.ofArray(readable), 0, bytes(IN), (long) slot * SLOT, readable.length);
        bytes(OUT).asSlice((long) slot * SLOT, SLOT).fill((byte) 0xee);
        List<Buffer> buffers = new ArrayList<>();
        pieces(buffers, IN + (long) slot * SLOT, readable.length, inPiece, false);
        pieces(buffers, OUT + (long) slot * SLOT, writable, outPiece, true);
        int head = requests.add(layout, buffers);
        requests.expose();
        slotOfHead.put(head, slot);
        writableOfHead.put(head, writable);
        return head;
    }

    private static void pieces(
            List<Buffer> buffers, long gpa, int length, int piece, boolean isWritable) {
        for (int at = 0; at < length; at += piece) {
            buffers.add(new Buffer(gpa + at, Math.min(piece, length - at), isWritable));
        }
    }

    void kick() {
        device.kick(VirtioIommu.REQUESTQ);
        turn();
    }

    /** The next answer, or null. */
    @Nullable Answer answer() {
        Used used = requests.poll();
        return used == null ? null : answer(used);
    }

    private Answer answer(Used used) {
        int slot = requireNonNull(slotOfHead.get(used.head()));
        byte[] bytes = new byte[requireNonNull(writableOfHead.get(used.head()))];
        MemorySegment.copy(
                bytes(OUT), (long) slot * SLOT, MemorySegment.ofArray(bytes), 0, bytes.length);
        return new Answer(used.written(), bytes);
    }

    /** Sends one request, kicks, and takes the answer. */
    Answer ask(byte[] readable, int writable) {
        send(readable, writable);
        kick();
        return requireNonNull(answer());
    }

    /** Status of a request with nothing but a tail to be written. */
    int status(byte[] readable) {
        Answer answer = ask(readable, VirtioIommu.TAIL_SIZE);
        if (answer.written != VirtioIommu.TAIL_SIZE
                || answer.bytes[1] != 0
                || answer.bytes[2] != 0
                || answer.bytes[3] != 0) {
            throw new AssertionError("answer of " + answer.written + " bytes");
        }
        return answer.status();
    }

    // --- events

    /** Puts {@code count} event buffers of {@code length} bytes into the ring, without a kick. */
    void addEventBuffers(int count, int length) {
        for (int i = 0; i < count; i++) {
            long gpa = EVENTS + (long) nextSlot++ % 512 * 64;
            int head = events.add(Layout.DIRECT, List.of(new Buffer(gpa, length, true)));
            eventOfHead.put(head, gpa);
        }
        events.expose();
    }

    void kickEvents() {
        device.kick(VirtioIommu.EVENTQ);
        turn();
    }

    /** Takes the next event buffer back and returns what was written to it, or null. */
    byte @Nullable [] eventBytes() {
        Used used = events.poll();
        if (used == null) {
            return null;
        }
        long at = requireNonNull(eventOfHead.get(used.head())) - EVENTS;
        return bytes(EVENTS).asSlice(at, used.written()).toArray(ValueLayout.JAVA_BYTE);
    }

    /** Takes the next event buffer back; its used length, or -1 if there is none. */
    long event() {
        Used used = events.poll();
        return used == null ? -1 : used.written();
    }

    // --- what requests cost

    /**
     * Sends the requests over and over, 60 at a time, until serving them allocates nothing, as it
     * does when all is compiled.
     *
     * @param writable bytes that the device may write for each
     * @return the least that 60 of them have allocated
     */
    long leastAllocation(List<byte[]> each, int writable) {
        Allocation allocation = new Allocation();
        long asking = allocation.leastOf(300, () -> {});
        long least = Long.MAX_VALUE;
        for (int round = 0; round < 50_000 && least > asking; round++) {
            for (int i = 0; i < 60; i++) {
                send(each.get(i % each.size()), writable);
            }
            long before = allocation.bytes();
            device.kick(VirtioIommu.REQUESTQ);
            least = Math.min(least, allocation.bytes() - before);
            for (int i = 0; i < 60; i++) {
                requireNonNull(answer());
            }
        }
        return Math.max(0, least - asking);
    }
}
