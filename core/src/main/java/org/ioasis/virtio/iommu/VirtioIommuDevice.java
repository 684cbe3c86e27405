// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.util.Objects.requireNonNull;
import static org.ioasis.spec.VirtioIommu.*;
import static org.ioasis.virtio.iommu.Wire.LE32;
import static org.ioasis.virtio.iommu.Wire.LE64;

import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.ObjLongConsumer;
import org.ioasis.iommu.Completion;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.fault.FaultReason;
import org.ioasis.memory.Access;
import org.ioasis.memory.Count;
import org.ioasis.memory.Outcome;
import org.ioasis.virtio.DeviceType;
import org.ioasis.virtio.VirtioDevice;
import org.ioasis.virtqueue.Chain;
import org.ioasis.virtqueue.Pop;
import org.ioasis.virtqueue.SplitQueue;
import org.jspecify.annotations.Nullable;

/**
 * The virtio-iommu device (virtio 1.4, 5.13): takes requests from the request queue, has the engine
 * carry them out, and writes faults to the event queue. What the driver may do is checked here as
 * far as it is about the wire; the rest is the engine's.
 *
 * <p>Device's thread for everything; the engine may report a fault from any thread. Requests are
 * taken in batches: copied in one guarded section, carried out outside of it (an UNMAP waits for
 * sections to end), answered together in another one with one publication and one interrupt. An
 * UNMAP that must wait does not hold up those behind it.
 */
public final class VirtioIommuDevice implements DeviceType {
    /** Largest queue: Linux asks for no more, and each entry in flight keeps a slot. */
    public static final int QUEUE_SIZE_MAX = 256;

    /** Room for 21 reserved regions and the empty property. */
    static final int PROPERTIES_SIZE = 512;

    private static final int BATCH = 64;

    /** Batches in one turn: after these other devices of the machine get theirs. */
    private static final int BATCHES_A_TURN = 8;

    /** What is offered unless it is said otherwise. */
    public static final long FEATURES =
            F_INPUT_RANGE | F_DOMAIN_RANGE | F_MAP_UNMAP | F_PROBE | F_MMIO | F_BYPASS_CONFIG;

    private final Iommu iommu;
    private final Executor deviceThread;
    private final long offered;
    private final RequestCounts counts = new RequestCounts();
    private final Count smallEventBuffers = new Count();
    private final Count eventsDelivered = new Count();

    private final ArrayDeque<RequestSlot> free = new ArrayDeque<>();
    private final RequestSlot[] batch = new RequestSlot[BATCH];
    private final ArrayDeque<RequestSlot> done = new ArrayDeque<>();

    /** Requests whose answer did not come at once. Few, and mostly none. */
    private final List<RequestSlot> waiting = new ArrayList<>();

    private final MemorySegment answer =
            MemorySegment.ofArray(new byte[PROPERTIES_SIZE + TAIL_SIZE]);
    private final MemorySegment event = MemorySegment.ofArray(new byte[FAULT_SIZE]);
    private final Runnable drainTask = this::drainScheduled;
    private final Runnable deliverTask = this::deliverScheduled;
    private final AtomicBoolean isDeliveryScheduled = new AtomicBoolean();

    private final Chain eventChain = new Chain(QUEUE_SIZE_MAX);

    // Nobody watches and nothing is planted unless somebody asked for it; then both cost a look at
    // a field.
    private @Nullable IommuObserver observer;
    private @Nullable Injections injections;
    private final AnswerReasons reasons;
    private @Nullable List<Fault> told;

    private @Nullable VirtioDevice device;
    private long negotiated;
    private int life;
    private int slots;
    private boolean isDraining;
    private boolean isDrainScheduled;
    private boolean isDriverReady;
    private int eventKicks;
    private long unknownEndpoint = -1;

    // What waits for absent memory: each is renewed by the next try.
    private boolean areRequestsAbsent;
    private boolean areAnswersAbsent;
    private boolean areEventsAbsent;

    /**
     * @param deviceThread runs tasks on the device's thread, later
     */
    public VirtioIommuDevice(Iommu iommu, Executor deviceThread) {
        this(iommu, deviceThread, FEATURES);
    }

    /**
     * A device that offers other features.
     *
     * @param offered any of {@link #FEATURES}, or the old {@code F_BYPASS} in place of {@code
     *     F_BYPASS_CONFIG}: then the driver decides by accepting it whether unattached endpoints
     *     bypass, and what the options say of the start is without effect (5.13.3, 5.13.6)
     * @throws IllegalArgumentException both bypass features (D-03), an unknown one, or a range
     *     without the feature that tells the driver of it
     */
    public VirtioIommuDevice(Iommu iommu, Executor deviceThread, long offered) {
        IommuOptions options = iommu.options();
        boolean isHidden =
                ((offered & F_INPUT_RANGE) == 0
                                && (options.inputFirst() != 0 || options.inputLast() != -1L))
                        || ((offered & F_DOMAIN_RANGE) == 0
                                && (options.domainFirst() != 0 || options.domainLast() != -1));
        long both = F_BYPASS | F_BYPASS_CONFIG;
        if ((offered & ~(FEATURES | F_BYPASS)) != 0 || (offered & both) == both || isHidden) {
            throw new IllegalArgumentException("features 0x" + Long.toHexString(offered));
        }
        this.iommu = iommu;
        this.deviceThread = deviceThread;
        this.offered = offered;
        withdrawBypass();
        reasons = new AnswerReasons(iommu);
        iommu.faults().onArrival(this::faultArrived);
    }

    /** Without BYPASS_CONFIG nobody bypasses before a driver has accepted the old feature. */
    private void withdrawBypass() {
        if ((offered & F_BYPASS_CONFIG) == 0) {
            iommu.bypass(false);
        }
    }

    /** Requests so far, by type and answer. */
    public RequestCounts counts() {
        return counts;
    }

    /** Faults that the driver was told of. Any thread. */
    public long eventsDelivered() {
        return eventsDelivered.read();
    }

    /** Event buffers given back because no fault report fits in. Any thread. */
    public long smallEventBuffers() {
        return smallEventBuffers.read();
    }

    /**
     * Sets who watches from now on, null for nobody. Device's thread, or before the device is used.
     */
    public void observe(@Nullable IommuObserver watcher) {
        observer = watcher;
        iommu.faults().onKept(watcher == null ? null : watcher::refusedAccess);
    }

    /**
     * Plants a failure. Device's thread.
     *
     * @param later runs a task on the device's thread when so many nanoseconds have passed
     */
    public void inject(Injection injection, ObjLongConsumer<Runnable> later) {
        Injections planted = injections == null ? new Injections(later) : injections;
        planted.plant(injection);
        injections = planted.isEmpty() ? null : planted;
        injected("planted: " + injection);
    }

    private void injected(String what) {
        IommuObserver watcher = observer;
        if (watcher != null) {
            watcher.injected(what);
        }
    }

    /**
     * An endpoint that the driver asked about or wanted to attach since the device's last reset and
     * that is not there, the last one; -1 if there was none. Device's thread.
     */
    public long unknownEndpoint() {
        return unknownEndpoint;
    }

    // What the frame asks
    // --------------------------------------------------------------------------------------------

    @Override
    public int id() {
        return DEVICE_ID_IOMMU;
    }

    @Override
    public long features() {
        return offered;
    }

    @Override
    public int queueCount() {
        return 2;
    }

    @Override
    public int queueSizeMax() {
        return QUEUE_SIZE_MAX;
    }

    @Override
    public int configSize() {
        return CONFIG_SIZE;
    }

    @Override
    public long readConfig(int offset, int size) {
        long value = 0;
        for (int i = size - 1; i >= 0; i--) {
            value = value << 8 | configByte(offset + i);
        }
        return value;
    }

    private long configByte(int offset) {
        IommuOptions options = iommu.options();
        long field;
        int start;
        if (offset < CONFIG_INPUT_START) {
            field = options.pageSizeMask();
            start = CONFIG_PAGE_SIZE_MASK;
        } else if (offset < CONFIG_INPUT_END) {
            field = options.inputFirst();
            start = CONFIG_INPUT_START;
        } else if (offset < CONFIG_DOMAIN_START) {
            field = options.inputLast();
            start = CONFIG_INPUT_END;
        } else if (offset < CONFIG_DOMAIN_END) {
            field = options.domainFirst();
            start = CONFIG_DOMAIN_START;
        } else if (offset < CONFIG_PROBE_SIZE) {
            field = options.domainLast();
            start = CONFIG_DOMAIN_END;
        } else if (offset < CONFIG_BYPASS) {
            field = (offered & F_PROBE) != 0 ? PROPERTIES_SIZE : 0;
            start = CONFIG_PROBE_SIZE;
        } else {
            field = (offered & F_BYPASS_CONFIG) != 0 && iommu.isBypassing() ? 1 : 0;
            start = CONFIG_BYPASS;
        }
        return field >>> (8 * (offset - start)) & 0xff;
    }

    @Override
    public void writeConfig(int offset, int size, long value) {
        // Only bypass is writable, once the feature is negotiated (5.13.4); the driver may do it
        // before DRIVER_OK, when what is negotiated is not known here. Other values than 0 and 1
        // must never show (D-09).
        boolean mayWrite = ((device == null ? offered : negotiated) & F_BYPASS_CONFIG) != 0;
        long bypass = value & 0xff;
        if (offset == CONFIG_BYPASS && mayWrite && bypass <= 1) {
            iommu.bypass(bypass == 1);
        }
    }

    @Override
    public void start(long features, VirtioDevice running) {
        negotiated = features;
        device = running;
        isDriverReady = false;
        eventKicks = 0;
        if ((features & F_BYPASS) != 0) {
            iommu.bypass(true);
        }
        IommuObserver watcher = observer;
        if (watcher != null) {
            watcher.started(features);
        }
    }

    @Override
    public void reset() {
        forget();
        withdrawBypass();
        iommu.reset();
    }

    @Override
    public void systemReset() {
        forget();
        iommu.systemReset();
        withdrawBypass();
    }

    @Override
    public void resetQueue(int queue) {
        if (queue == REQUESTQ) {
            forgetRequests();
        } else {
            areEventsAbsent = false;
        }
        VirtioDevice running = device;
        if (running != null) {
            noteAbsence(running, false);
        }
    }

    private void forget() {
        IommuObserver watcher = observer;
        if (watcher != null && device != null) {
            watcher.reset();
        }
        unknownEndpoint = -1;
        device = null;
        areEventsAbsent = false;
        forgetRequests();
    }

    private void forgetRequests() {
        life++;
        // Also after a turn that ended in the middle, because the VMM had truncated its memory.
        isDraining = false;
        areRequestsAbsent = false;
        areAnswersAbsent = false;
        for (RequestSlot slot : done) {
            free.push(slot);
        }
        done.clear();
        waiting.clear();
        // What is still with the engine comes back through answered(), now or never; its slot is
        // not counted on.
        slots = free.size();
    }

    @Override
    public void kick(int queue) {
        if (queue == REQUESTQ) {
            drain();
        } else {
            // The first one comes from the frame at DRIVER_OK. Linux fills the queue after
            // DRIVER_OK, without a kick, and
            // crashes on an event that comes before it is done: so only its own kick, or a request,
            // shows that it is.
            eventKicks++;
            isDriverReady |= eventKicks > 1;
            deliver();
        }
    }

    @Override
    public void memoryChanged() {
        answer();
        drain();
    }

    // Request queue
    // --------------------------------------------------------------------------------------------------

    private void drain() {
        VirtioDevice running = device;
        if (running == null || isDraining || !running.isRunning()) {
            return;
        }
        isDraining = true;
        int taken = BATCH;
        for (int i = 0; i < BATCHES_A_TURN && taken == BATCH && running.isRunning(); i++) {
            taken = take(running);
            executeBatch(taken);
            answer();
        }
        isDraining = false;
        if (taken == BATCH) {
            scheduleDrain();
        }
        // A request shows that the driver is ready for events, and the driver may have put buffers
        // there without a kick.
        deliver();
    }

    private void executeBatch(int taken) {
        iommu.beginBatch();
        try {
            for (int i = 0; i < taken; i++) {
                execute(batch[i]);
            }
        } finally {
            iommu.endBatch();
        }
        for (int i = 0; i < taken; i++) {
            RequestSlot slot = batch[i];
            slot.isInBatch = false;
            if (slot.isComplete) {
                done.add(slot);
            } else {
                waits(slot);
            }
        }
    }

    private void waits(RequestSlot slot) {
        waiting.add(slot);
        IommuObserver watcher = observer;
        if (watcher != null) {
            watcher.waits(IommuRequest.of(slot));
        }
    }

    private void scheduleDrain() {
        if (!isDrainScheduled) {
            isDrainScheduled = true;
            deviceThread.execute(drainTask);
        }
    }

    private void drainScheduled() {
        isDrainScheduled = false;
        drain();
    }

    /** Takes and copies up to a batch of requests in one guarded section. */
    private int take(VirtioDevice running) {
        SplitQueue queue = running.queue(REQUESTQ);
        int taken = 0;
        Pop pop = Pop.EMPTY;
        boolean isAbsent = false;
        running.dma().enter();
        try {
            while (taken < BATCH) {
                RequestSlot slot = freeSlot();
                if (slot == null) {
                    break;
                }
                pop = queue.pop(slot.chain);
                if (pop == Pop.EMPTY) {
                    pop = queue.resumeKicks();
                    if (pop == Pop.GOT) {
                        free.push(slot);
                        continue;
                    }
                }
                if (pop != Pop.GOT) {
                    free.push(slot);
                    isAbsent = pop == Pop.ABSENT;
                    break;
                }
                Outcome outcome = slot.chain.copyIn(0, slot.request(), 0, slot.copyLength());
                if (outcome == Outcome.ABSENT) {
                    queue.unpop();
                    free.push(slot);
                    isAbsent = true;
                    break;
                }
                slot.begin(life);
                slot.type = outcome == Outcome.OK ? type(slot) : RequestType.UNKNOWN;
                batch[taken++] = slot;
            }
        } finally {
            running.dma().leave();
        }
        isDriverReady |= taken > 0;
        areRequestsAbsent = isAbsent;
        if (pop == Pop.BROKEN) {
            running.needsReset(reason(queue));
        } else {
            noteAbsence(running, taken > 0);
        }
        return taken;
    }

    private static RequestType type(RequestSlot slot) {
        return slot.holds(HEAD_SIZE) ? RequestType.of(slot.u8(0)) : RequestType.UNKNOWN;
    }

    private @Nullable RequestSlot freeSlot() {
        RequestSlot slot = free.poll();
        if (slot == null && slots < QUEUE_SIZE_MAX) {
            slots++;
            slot = new RequestSlot(QUEUE_SIZE_MAX, this::answered);
        }
        return slot;
    }

    private void execute(RequestSlot slot) {
        // Unknown types (D-11, D-12), PROBE where it is not offered (D-48), and what is too short
        // to hold its type's fields or a tail (P-02).
        if (slot.type == RequestType.UNKNOWN
                || (slot.type == RequestType.PROBE && (offered & F_PROBE) == 0)
                || !slot.holds(slot.type.readableSize)
                || slot.chain.writableLength() < TAIL_SIZE) {
            slot.giveBack();
            return;
        }
        switch (slot.type) {
            case ATTACH -> attach(slot);
            case DETACH -> iommu.detach(slot.le32(DETACH_ENDPOINT), slot.le32(DETACH_DOMAIN), slot);
            case MAP -> map(slot);
            case UNMAP -> unmap(slot);
            case PROBE -> probe(slot);
            case UNKNOWN -> slot.giveBack();
        }
    }

    private void attach(RequestSlot slot) {
        // ATTACH_F_BYPASS is a flag like any unknown one unless its feature is negotiated (P-12).
        int known = (negotiated & F_BYPASS_CONFIG) != 0 ? ATTACH_F_BYPASS : 0;
        int flags = slot.le32(ATTACH_FLAGS);
        if (slot.le32(ATTACH_RESERVED) != 0 || (flags & ~known) != 0) {
            slot.complete(Status.INVAL);
            return;
        }
        noteEndpoint(slot.le32(ATTACH_ENDPOINT));
        boolean bypass = (flags & ATTACH_F_BYPASS) != 0;
        iommu.attach(slot.le32(ATTACH_ENDPOINT), slot.le32(ATTACH_DOMAIN), bypass, slot);
    }

    private void noteEndpoint(int endpoint) {
        if (iommu.endpoint(endpoint) == null) {
            unknownEndpoint = Integer.toUnsignedLong(endpoint);
        }
    }

    private void map(RequestSlot slot) {
        if ((negotiated & F_MAP_UNMAP) == 0) {
            slot.complete(Status.UNSUPP);
            return;
        }
        int known = MAP_F_READ | MAP_F_WRITE | ((negotiated & F_MMIO) != 0 ? MAP_F_MMIO : 0);
        int flags = slot.le32(MAP_FLAGS);
        if ((flags & ~known) != 0) {
            slot.complete(Status.INVAL);
            return;
        }
        if (injections != null && injections.failsMap()) {
            slot.isPlanted = true;
            slot.complete(Status.NOMEM);
            return;
        }
        // The engine's flags have the wire's values.
        iommu.map(
                slot.le32(MAP_DOMAIN),
                slot.le64(MAP_VIRT_START),
                slot.le64(MAP_VIRT_END),
                slot.le64(MAP_PHYS_START),
                flags,
                slot);
    }

    private void unmap(RequestSlot slot) {
        if ((negotiated & F_MAP_UNMAP) == 0) {
            slot.complete(Status.UNSUPP);
        } else if (slot.le32(UNMAP_RESERVED) != 0) {
            slot.complete(Status.INVAL); // D-39; and nothing is removed, which D-40 leaves open
        } else {
            iommu.unmap(
                    slot.le32(UNMAP_DOMAIN),
                    slot.le64(UNMAP_VIRT_START),
                    slot.le64(UNMAP_VIRT_END),
                    completion(slot));
        }
    }

    private Completion completion(RequestSlot slot) {
        if (injections == null || injections.unmapDelayMillis() == 0) {
            return slot;
        }
        injected("UNMAP is answered %d ms late".formatted(injections.unmapDelayMillis()));
        return injections.delayed(slot);
    }

    private void probe(RequestSlot slot) {
        slot.endpoint = slot.le32(PROBE_ENDPOINT);
        noteEndpoint(slot.endpoint);
        Endpoint endpoint = iommu.endpoint(slot.endpoint);
        if (slot.chain.writableLength() < PROPERTIES_SIZE + TAIL_SIZE) {
            slot.complete(Status.INVAL); // D-53
        } else if (endpoint == null) {
            slot.complete(Status.NOENT);
        } else {
            endpoint.noteProbe();
            slot.truncatedTo = injections == null ? -1 : injections.truncatesProbe();
            slot.complete(Status.OK);
            if (slot.truncatedTo >= 0) {
                injected("answer to PROBE ends after %d bytes".formatted(slot.truncatedTo));
            }
        }
    }

    private void answered(RequestSlot slot) {
        if (slot.life != life) {
            // The driver that asked is gone, and so is the slot from the count of this life.
            return;
        }
        if (!waiting.isEmpty()) {
            waiting.remove(slot);
        }
        if (!slot.isInBatch) {
            done.add(slot);
        }
        IommuObserver watcher = observer;
        if (watcher != null) {
            IommuRequest request = IommuRequest.of(slot);
            watcher.answered(
                    request, slot.status, reasons.of(slot, request, slot.status, negotiated));
        }
        if (!isDraining) {
            // Not at once: more answers may be due in this turn, and requests that are taken now
            // would overtake those which the engine has kept waiting. Requests may also have
            // waited for this slot.
            scheduleDrain();
        }
    }

    /** Writes the answers that are there, shows them to the driver at once, and tells it once. */
    private void answer() {
        VirtioDevice running = device;
        if (running == null || !running.isRunning()) {
            return;
        }
        SplitQueue queue = running.queue(REQUESTQ);
        if (done.isEmpty() && queue.unpublished() == 0) {
            return;
        }
        boolean isAbsent = false;
        boolean interrupt;
        Outcome published;
        running.dma().enter();
        try {
            while (!done.isEmpty() && !isAbsent) {
                RequestSlot slot = done.getFirst();
                long written = writeAnswer(slot);
                isAbsent = written == ABSENT;
                if (!isAbsent) {
                    queue.push(slot.chain.head(), written);
                    done.removeFirst();
                    count(slot);
                    free.push(slot);
                }
            }
            published = queue.publish();
            interrupt = published == Outcome.OK && queue.shouldInterrupt();
        } finally {
            running.dma().leave();
        }
        if (interrupt) {
            running.interrupt(REQUESTQ);
        }
        areAnswersAbsent = isAbsent || published == Outcome.ABSENT;
        if (published == Outcome.FAULT || published == Outcome.REFUSED) {
            running.needsReset(reason(queue));
        } else {
            noteAbsence(running, !areAnswersAbsent);
        }
    }

    private static String reason(SplitQueue queue) {
        return requireNonNull(queue.brokenReason());
    }

    /**
     * Tells the frame whether something waits for memory; {@code hasMoved} starts the wait anew.
     */
    private void noteAbsence(VirtioDevice running, boolean hasMoved) {
        if (hasMoved) {
            running.waitsForMemory(false);
        }
        running.waitsForMemory(areRequestsAbsent || areAnswersAbsent || areEventsAbsent);
    }

    private static final long ABSENT = -1;

    /** Writes properties and tail; returns the used length, or {@link #ABSENT}. */
    private long writeAnswer(RequestSlot slot) {
        Status status = slot.status;
        if (status == null) {
            return 0;
        }
        int tail = 0;
        if (slot.type == RequestType.PROBE) {
            // The tail follows probe_size bytes of properties; in a buffer too small for them it is
            // the end.
            tail = (int) Math.min(slot.chain.writableLength() - TAIL_SIZE, PROPERTIES_SIZE);
            Endpoint endpoint = iommu.endpoint(slot.endpoint);
            if (status == Status.OK && endpoint != null) {
                PropertyList.write(endpoint.properties(), iommu.options(), answer, tail);
            } else {
                answer.fill((byte) 0);
            }
        }
        answer.set(LE32, tail, Wire.status(status)); // the reserved bytes above it are zero (D-14)
        long length = (long) tail + TAIL_SIZE;
        if (slot.truncatedTo >= 0) {
            length = Math.min(length, slot.truncatedTo);
        }
        Outcome outcome = slot.chain.copyOut(0, answer, 0, length);
        return switch (outcome) {
            case OK -> length;
            case ABSENT -> ABSENT;
            case FAULT, REFUSED -> 0;
        };
    }

    private void count(RequestSlot slot) {
        Status status = slot.status;
        if (status == null) {
            counts.unanswered();
        } else {
            counts.answered(slot.type, status);
        }
    }

    // Saving and restoring
    // ----------------------------------------------------------------------------------------------------

    Iommu iommu() {
        return iommu;
    }

    /**
     * What is to be saved of the device beside its frame and its engine. Not inside a call of this
     * class, and only while the engine {@linkplain Iommu#isSettled is settled}.
     */
    TypeState save() {
        List<RequestState> requests = new ArrayList<>();
        VirtioDevice running = device;
        // A device that is broken answers nothing any more.
        if (running != null && running.queue(REQUESTQ).isRunning() && running.isRunning()) {
            done.forEach(slot -> requests.add(request(slot, slot.status)));
            waiting.forEach(slot -> requests.add(request(slot, requireNonNull(slot.settled))));
        }
        return new TypeState(isDriverReady, Math.min(eventKicks, 2), unknownEndpoint, requests);
    }

    private static RequestState request(RequestSlot slot, @Nullable Status status) {
        int endpoint = slot.type == RequestType.PROBE ? slot.endpoint : 0;
        return new RequestState(slot.type, status, endpoint, slot.chain.save());
    }

    /** Takes over what was saved and checked. After the frame and the engine. */
    void restore(TypeState saved) {
        isDriverReady = saved.isDriverReady();
        eventKicks = saved.eventKicks();
        unknownEndpoint = saved.unknownEndpoint();
        VirtioDevice running = device;
        if (running == null) {
            return;
        }
        for (RequestState request : saved.requests()) {
            RequestSlot slot = requireNonNull(freeSlot());
            slot.begin(life);
            slot.chain.restore(request.chain(), running.dma());
            slot.type = request.type();
            slot.status = request.status();
            slot.endpoint = request.endpoint();
            slot.isComplete = true;
            done.add(slot);
        }
    }

    // Event queue
    // ----------------------------------------------------------------------------------------------------

    /** Any thread. */
    private void faultArrived() {
        if (isDeliveryScheduled.compareAndSet(false, true)) {
            deviceThread.execute(deliverTask);
        }
    }

    private void deliverScheduled() {
        isDeliveryScheduled.set(false);
        deliver();
    }

    /**
     * Gives waiting faults to the driver as far as it has put buffers there; the rest waits (P-07).
     */
    private void deliver() {
        VirtioDevice running = device;
        if (running == null || !isDriverReady || !running.isRunning()) {
            return;
        }
        SplitQueue queue = running.queue(EVENTQ);
        if (injections != null) {
            dropEvents(injections);
        }
        if (iommu.faults().isEmpty() && queue.unpublished() == 0) {
            return;
        }
        Pop pop = Pop.GOT;
        boolean isAbsent = false;
        Outcome published = Outcome.OK;
        boolean interrupt = false;
        running.dma().enter();
        try {
            while (pop == Pop.GOT && !isAbsent && !iommu.faults().isEmpty()) {
                pop = queue.pop(eventChain);
                if (pop == Pop.EMPTY) {
                    pop = queue.resumeKicks();
                } else if (pop == Pop.GOT) {
                    isAbsent = !deliverInto(eventChain, queue);
                }
            }
            published = queue.publish();
            interrupt = published == Outcome.OK && queue.shouldInterrupt();
        } finally {
            running.dma().leave();
        }
        if (interrupt) {
            running.interrupt(EVENTQ);
        }
        tellOfEvents();
        areEventsAbsent = isAbsent || pop == Pop.ABSENT || published == Outcome.ABSENT;
        boolean isBroken =
                pop == Pop.BROKEN || published == Outcome.FAULT || published == Outcome.REFUSED;
        if (isBroken) {
            running.needsReset(reason(queue));
        } else {
            noteAbsence(running, false);
        }
    }

    private void dropEvents(Injections planted) {
        while (!iommu.faults().isEmpty() && planted.dropsEvent()) {
            Fault lost = iommu.faults().poll();
            if (lost != null) {
                injected(
                        "event is lost: endpoint 0x%x, %s at 0x%x"
                                .formatted(lost.endpoint(), lost.access(), lost.address()));
            }
        }
    }

    /** Tells who watches what the section before has delivered. */
    private void tellOfEvents() {
        List<Fault> events = told;
        IommuObserver watcher = observer;
        if (events != null && watcher != null) {
            events.forEach(watcher::delivered);
        }
        told = null;
    }

    /**
     * Writes the oldest fault into the buffer just popped. False if the buffer is absent and was
     * put back.
     */
    private boolean deliverInto(Chain chain, SplitQueue queue) {
        if (chain.writableLength() < FAULT_SIZE) {
            // Never spread over several buffers (D-64); an older, shorter format does not exist.
            queue.push(chain.head(), 0);
            smallEventBuffers.increment();
            return true;
        }
        Fault fault = iommu.faults().peek();
        if (fault == null) {
            queue.unpop();
            return true;
        }
        encode(fault);
        Outcome outcome = chain.copyOut(0, event, 0, FAULT_SIZE);
        if (outcome == Outcome.ABSENT) {
            queue.unpop();
            return false;
        }
        if (outcome == Outcome.OK) {
            if (injections == null || !injections.doublesEvent()) {
                iommu.faults().poll();
            }
            eventsDelivered.increment();
            if (observer != null) {
                noteEvent(fault);
            }
        }
        queue.push(chain.head(), outcome == Outcome.OK ? FAULT_SIZE : 0);
        return true;
    }

    /** For {@link #tellOfEvents}: nobody is told inside of a guarded section. */
    private void noteEvent(Fault fault) {
        List<Fault> events = told;
        if (events == null) {
            events = new ArrayList<>();
            told = events;
        }
        events.add(fault);
    }

    private void encode(Fault fault) {
        event.fill((byte) 0);
        event.set(
                JAVA_BYTE,
                FAULT_REASON,
                (byte) (fault.reason() == FaultReason.DOMAIN ? FAULT_R_DOMAIN : FAULT_R_MAPPING));
        int access = fault.access() == Access.WRITE ? FAULT_F_WRITE : FAULT_F_READ;
        event.set(LE32, FAULT_FLAGS, access | FAULT_F_ADDRESS);
        event.set(LE32, FAULT_ENDPOINT, fault.endpoint());
        event.set(LE64, FAULT_ADDRESS, fault.address());
    }
}
