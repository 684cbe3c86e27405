// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;
import static org.ioasis.spec.VirtioIommu.*;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.function.ObjLongConsumer;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.Status;
import org.ioasis.memory.Outcome;
import org.ioasis.virtio.DeviceType;
import org.ioasis.virtio.PostedTask;
import org.ioasis.virtio.VirtioDevice;
import org.ioasis.virtqueue.DeviceQueue;
import org.ioasis.virtqueue.Pop;
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

    /**
     * Most requests that are with the engine at a time, those of queues that were reset meanwhile
     * included. A driver that resets its queue while a listener owes an answer cannot make us keep
     * more: what is beyond stays in its ring.
     */
    static final int REQUEST_LIMIT = 2 * QUEUE_SIZE_MAX;

    private static final int BATCH = 64;

    /** Batches in one turn: after these other devices of the machine get theirs. */
    private static final int BATCHES_A_TURN = 8;

    /** What is offered unless it is said otherwise. */
    public static final long FEATURES =
            F_INPUT_RANGE | F_DOMAIN_RANGE | F_MAP_UNMAP | F_PROBE | F_MMIO | F_BYPASS_CONFIG;

    private final Iommu iommu;
    private final long offered;
    private final RequestCounts counts = new RequestCounts();

    private final SlotPool slots = new SlotPool(this::answered);
    private final RequestSlot[] batch = new RequestSlot[BATCH];
    private final ArrayDeque<RequestSlot> done = new ArrayDeque<>();

    /** Requests whose answer did not come at once. Few, and mostly none. */
    private final List<RequestSlot> waiting = new ArrayList<>();

    private final AnswerWriter answers;
    private final PostedTask drainTask;
    private final PostedTask deliverTask;

    // Nobody watches and nothing is planted unless somebody asked for it; then both cost a look at
    // a field.
    private @Nullable IommuObserver observer;
    private final Injections injections = new Injections(this::injected);
    private final DomainTable domains;
    private final RequestExecution execution;
    private final EventDelivery events;

    private @Nullable VirtioDevice device;
    private long negotiated;
    private boolean isResetting;
    private boolean isDraining;

    // What waits for absent memory: each is renewed by the next try.
    private boolean areRequestsAbsent;
    private boolean areAnswersAbsent;

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
        drainTask = new PostedTask(deviceThread, this::drain);
        deliverTask = new PostedTask(deviceThread, this::deliver);
        this.offered = offered;
        withdrawBypass();
        domains = new DomainTable(iommu);
        answers = new AnswerWriter(iommu);
        execution = new RequestExecution(iommu, domains, offered, injections);
        events = new EventDelivery(iommu.faults(), injections);
        iommu.faults().onArrival(deliverTask::post);
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

    /**
     * How often the ring was left alone because as many requests as may be are with the engine. Any
     * thread.
     */
    public long heldBack() {
        return slots.heldBack();
    }

    /** Faults that the driver was told of. Any thread. */
    public long eventsDelivered() {
        return events.delivered();
    }

    /** Event buffers given back because no fault report fits in. Any thread. */
    public long smallEventBuffers() {
        return events.smallBuffers();
    }

    /**
     * Sets who watches from now on, null for nobody. Device's thread, or before the device is used.
     */
    public void observe(@Nullable IommuObserver watcher) {
        observer = watcher;
        events.observe(watcher);
        iommu.faults().onKept(watcher == null ? null : watcher::refusedAccess);
    }

    /**
     * Plants a failure. Device's thread.
     *
     * @param later runs a task on the device's thread when so many nanoseconds have passed
     */
    public void inject(Injection injection, ObjLongConsumer<Runnable> later) {
        injections.plant(injection, later);
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
        return execution.unknownEndpoint();
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
        return ConfigFields.read(offset, size, iommu, offered);
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
        execution.start(features);
        events.start();
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
        isResetting = true;
        iommu.reset(this::resetIsDone);
    }

    @Override
    public void systemReset() {
        forget();
        isResetting = true;
        iommu.systemReset(this::resetIsDone);
        withdrawBypass();
    }

    private void resetIsDone() {
        isResetting = false;
    }

    @Override
    public boolean isResetting() {
        return isResetting;
    }

    @Override
    public void resetQueue(int queue) {
        if (queue == REQUESTQ) {
            forgetRequests();
        } else {
            events.forget();
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
        execution.forget();
        domains.forget();
        device = null;
        events.forget();
        forgetRequests();
        slots.forgetDevice();
    }

    private void forgetRequests() {
        slots.forgetQueue();
        // Also after a turn that ended in the middle, because the VMM had truncated its memory.
        isDraining = false;
        areRequestsAbsent = false;
        areAnswersAbsent = false;
        done.forEach(slots::giveBack);
        done.clear();
        waiting.clear();
    }

    @Override
    public void kick(int queue) {
        if (queue == EVENTQ) {
            events.kicked();
        }
        // A drain delivers as well.
        boolean isDrainOwed = drainTask.takeOwed();
        boolean isDeliveryOwed = deliverTask.takeOwed();
        if (queue == REQUESTQ || isDrainOwed || isDeliveryOwed) {
            drain();
        } else {
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
            drainTask.post();
        }
        // A request shows that the driver is ready for events, and the driver may have put buffers
        // there without a kick.
        deliver();
    }

    private void executeBatch(int taken) {
        iommu.beginBatch();
        try {
            for (int i = 0; i < taken; i++) {
                execution.execute(batch[i]);
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

    /** Takes and copies up to a batch of requests in one guarded section. */
    private int take(VirtioDevice running) {
        DeviceQueue queue = running.queue(REQUESTQ);
        int taken = 0;
        Pop pop = Pop.EMPTY;
        boolean isAbsent = false;
        running.dma().enter();
        try {
            while (taken < BATCH) {
                RequestSlot slot = slots.take();
                if (slot == null) {
                    break;
                }
                pop = queue.pop(slot.chain);
                if (pop == Pop.EMPTY) {
                    pop = queue.resumeKicks();
                    if (pop == Pop.GOT) {
                        slots.giveBack(slot);
                        continue;
                    }
                }
                if (pop != Pop.GOT) {
                    slots.giveBack(slot);
                    isAbsent = pop == Pop.ABSENT;
                    break;
                }
                Outcome outcome = slot.chain.copyIn(0, slot.request(), 0, slot.copyLength());
                if (outcome == Outcome.ABSENT) {
                    queue.unpop();
                    slots.giveBack(slot);
                    isAbsent = true;
                    break;
                }
                slot.type = outcome == Outcome.OK ? slot.typeOfHead() : RequestType.UNKNOWN;
                batch[taken++] = slot;
            }
        } finally {
            running.dma().leave();
        }
        if (taken > 0) {
            events.driverIsReady();
        }
        areRequestsAbsent = isAbsent;
        if (pop == Pop.BROKEN) {
            running.needsReset(reason(queue));
        } else {
            noteAbsence(running, taken > 0);
        }
        return taken;
    }

    private void answered(RequestSlot slot) {
        if (!slots.isOfThisQueue(slot)) {
            if (slots.makesRoom(slot)) {
                drainTask.post(); // the queue of now may have waited for it
            }
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
            watcher.answered(request, slot.status, execution.reason(slot, request));
        }
        if (!isDraining) {
            // Not at once: more answers may be due in this turn, and requests that are taken now
            // would overtake those which the engine has kept waiting. Requests may also have
            // waited for this slot.
            drainTask.post();
        }
    }

    /** Writes the answers that are there, shows them to the driver at once, and tells it once. */
    private void answer() {
        VirtioDevice running = device;
        if (running == null || !running.isRunning()) {
            return;
        }
        DeviceQueue queue = running.queue(REQUESTQ);
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
                long written = answers.write(slot);
                isAbsent = written == AnswerWriter.ABSENT;
                if (!isAbsent) {
                    queue.push(slot.chain, written);
                    done.removeFirst();
                    counts.count(slot.type, slot.status);
                    slots.giveBack(slot);
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

    private static String reason(DeviceQueue queue) {
        return requireNonNull(queue.brokenReason());
    }

    /**
     * Tells the frame whether something waits for memory; {@code hasMoved} starts the wait anew.
     */
    private void noteAbsence(VirtioDevice running, boolean hasMoved) {
        if (hasMoved) {
            running.waitsForMemory(false);
        }
        running.waitsForMemory(areRequestsAbsent || areAnswersAbsent || events.isAbsent());
    }

    // Saving and restoring
    // ----------------------------------------------------------------------------------------------------

    Iommu iommu() {
        return iommu;
    }

    /** What the driver's numbers mean. Device's thread. */
    public DomainTable domains() {
        return domains;
    }

    /**
     * What is to be saved of the device beside its frame and its engine. Not inside a call of this
     * class, and only while the engine {@linkplain DomainTable#isSettled is settled}.
     */
    TypeState save() {
        List<RequestState> requests = new ArrayList<>();
        VirtioDevice running = device;
        // A device that is broken answers nothing any more.
        if (running != null && running.queue(REQUESTQ).isRunning() && running.isRunning()) {
            done.forEach(slot -> requests.add(request(slot, slot.status)));
            waiting.forEach(slot -> requests.add(request(slot, requireNonNull(slot.settled))));
        }
        return new TypeState(
                events.isDriverReady(), events.kicks(), execution.unknownEndpoint(), requests);
    }

    private static RequestState request(RequestSlot slot, @Nullable Status status) {
        int endpoint = slot.type == RequestType.PROBE ? slot.endpoint : 0;
        return new RequestState(slot.type, status, endpoint, slot.chain.save());
    }

    /** Takes over what was saved and checked. After the frame and the engine. */
    void restore(TypeState saved) {
        events.restore(saved.isDriverReady(), saved.eventKicks());
        execution.restore(saved.unknownEndpoint());
        VirtioDevice running = device;
        if (running == null) {
            return;
        }
        for (RequestState request : saved.requests()) {
            RequestSlot slot = requireNonNull(slots.take());
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

    private void deliver() {
        VirtioDevice running = device;
        if (running == null || !running.isRunning()) {
            return;
        }
        if (events.deliver(running)) {
            noteAbsence(running, false);
        } else {
            running.needsReset(reason(running.queue(EVENTQ)));
        }
    }
}
