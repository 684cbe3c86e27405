// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static org.ioasis.spec.VirtioIommu.EVENTQ;
import static org.ioasis.spec.VirtioIommu.REQUESTQ;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.function.Consumer;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.Status;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.virtio.DeviceWork;
import org.ioasis.virtio.Step;
import org.jspecify.annotations.Nullable;

/**
 * What the device does with its two queues (virtio 1.4, 5.13.6). A request is copied in a guarded
 * section and carried out outside of it, since an UNMAP waits for sections to end; those of one
 * section are carried out together, and their answers written in the next one. One that must wait
 * does not hold up those behind it. A buffer of the event queue is taken when there is a fault to
 * put in. Device's thread.
 */
final class IommuWork extends DeviceWork<RequestSlot> {
    /** Requests of one section. */
    private static final int BATCH = 64;

    /** So that a section takes no more than a batch: the engine's part counts for the turn too. */
    private static final long ENGINE_COST = SECTION_COST / BATCH - CHAIN_COST;

    private final Iommu iommu;
    private final RequestExecution execution;
    private final EventDelivery events;
    private final AnswerWriter answers;
    private final RequestFlight flight;
    private final RequestCounts counts = new RequestCounts();
    private final SlotPool slots =
            new SlotPool(
                    new RequestSlot.Answered() {
                        @Override
                        public void answered(RequestSlot slot) {
                            IommuWork.this.answered(slot);
                        }

                        @Override
                        public void decided(RequestSlot slot, Status answer) {
                            tellDecision(slot, answer);
                        }

                        @Override
                        public void detached(RequestSlot slot, int domain) {
                            StateObserver watcher = stateObserver;
                            if (watcher != null && slots.isOfNow(slot)) {
                                slot.tellDetached(watcher, domain);
                            }
                            StateJournal keeper = journal;
                            if (keeper != null && slots.isOfNow(slot)) {
                                keeper.aboutNothing();
                                slot.tellDetached(keeper, domain);
                            }
                        }
                    });
    private final RequestSlot[] batch = new RequestSlot[BATCH];

    /** Requests whose answer did not come at once. Few, and mostly none. */
    private final List<RequestSlot> waiting = new ArrayList<>();

    /** Takes the buffers of the event queue, one at a time. */
    private final RequestSlot eventBuffer =
            new RequestSlot(VirtioIommuDevice.QUEUE_SIZE_MAX, _ -> {});

    // Nobody watches unless somebody asked for it; then it costs a look at a field.
    private @Nullable IommuObserver observer;
    private @Nullable StateObserver stateObserver;
    private @Nullable StateJournal journal;
    private Runnable onLimit = () -> {};
    private @Nullable RequestSlot refused;

    IommuWork(
            Iommu iommu, RequestExecution execution, EventDelivery events, Executor deviceThread) {
        super(VirtioIommuDevice.QUEUES, deviceThread);
        this.iommu = iommu;
        this.execution = execution;
        this.events = events;
        flight = new RequestFlight(iommu.options().name(), execution);
        answers = new AnswerWriter(iommu, execution.profile());
    }

    void onLimit(Runnable action) {
        onLimit = action;
    }

    /** The request that is answered NOMEM, and why; while the action of {@link #onLimit} runs. */
    String limit() {
        RequestSlot slot = refused;
        if (slot == null) {
            throw new IllegalStateException("no request is refused now");
        }
        IommuRequest request = IommuRequest.of(slot);
        return "%s -> NOMEM: %s".formatted(request, execution.reason(slot, request));
    }

    void observe(@Nullable IommuObserver watcher) {
        observer = watcher;
    }

    void observeState(@Nullable StateObserver watcher) {
        stateObserver = watcher;
    }

    /** Where requests are written down from now on that change the state; null: nowhere. */
    void journal(@Nullable StateJournal keeper) {
        journal = keeper;
    }

    /** Requests so far. Any thread. */
    RequestCounts counts() {
        return counts;
    }

    /** How often there was no slot for a request. Any thread. */
    long heldBack() {
        return slots.heldBack();
    }

    // Resets
    // ------------------------------------------------------------------------------------------------------------

    /** The request queue is reset: what is with the engine is not this driver's any more. */
    void forgetRequests() {
        waiting.clear();
    }

    /** The device is reset: the engine forgets all that is with it. */
    void forgetDevice() {
        waiting.clear();
        slots.forgetDevice();
    }

    // Chains
    // ------------------------------------------------------------------------------------------------------------

    @Override
    protected void kicked(int queue) {
        if (queue == EVENTQ) {
            events.kicked();
        }
    }

    @Override
    protected @Nullable RequestSlot room(int queue) {
        if (queue == REQUESTQ) {
            return slots.take();
        }
        return events.isDue() ? eventBuffer : null;
    }

    @Override
    protected boolean isTimed() {
        return iommu.pageRequests().isTimed();
    }

    @Override
    protected void timed() {
        iommu.pageRequests().expire();
    }

    @Override
    protected void release(RequestSlot slot) {
        if (slot != eventBuffer) {
            slots.giveBack(slot);
        }
    }

    @Override
    protected Step advance(RequestSlot slot) {
        if (slot == eventBuffer) {
            return events.fill(slot);
        }
        return slot.isComplete ? answer(slot) : copy(slot);
    }

    private Step copy(RequestSlot slot) {
        spend(ENGINE_COST);
        Outcome outcome = slot.copyIn();
        if (outcome == Outcome.ABSENT) {
            return Step.PUT_BACK;
        }
        if (outcome == Outcome.OK) {
            slot.type = slot.typeOfHead(execution.hasTables());
            slot.profile = execution.profile();
        } else {
            count(outcome);
            slot.type = RequestType.UNKNOWN;
        }
        // The driver may have put buffers for events there without a kick.
        events.driverIsReady();
        return Step.OUTSIDE;
    }

    private Step answer(RequestSlot slot) {
        long written = answers.write(slot);
        if (written == AnswerWriter.ABSENT) {
            return Step.ABSENT;
        }
        counts.count(slot.type, slot.status);
        return slot.finish(written);
    }

    // Outside of sections
    // -----------------------------------------------------------------------------------------------

    @Override
    protected void outside() {
        events.tell();
        for (int taken = takeBatch(); taken > 0; taken = takeBatch()) {
            execute(taken);
        }
    }

    private int takeBatch() {
        int taken = 0;
        while (taken < BATCH) {
            RequestSlot slot = takeOutside();
            if (slot == null) {
                break;
            }
            slot.isInBatch = true;
            batch[taken++] = slot;
        }
        return taken;
    }

    private void execute(int taken) {
        IommuObserver watcher = observer;
        boolean isQuiet = !flight.begin(batch, taken) && watcher == null;
        // Not in the section in which they were copied: it may look at a clock.
        long now = watcher == null ? 0 : watcher.taken();
        for (int i = 0; i < taken; i++) {
            batch[i].isQuiet = isQuiet;
            batch[i].taken = now;
        }
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
            slot.isQuiet = false;
            if (slot.isComplete) {
                resume(slot);
            } else {
                waits(slot);
            }
        }
        StateJournal keeper = journal;
        if (keeper != null && execution.isSettled()) {
            keeper.batchIsDone();
        }
    }

    private void waits(RequestSlot slot) {
        waiting.add(slot);
        IommuObserver watcher = observer;
        if (watcher != null) {
            watcher.waits(IommuRequest.of(slot));
        }
    }

    /** The engine has answered: later the answer is written, in the order of the batch. */
    private void answered(RequestSlot slot) {
        if (slot.isInBatch) {
            tellAnswer(slot);
            return;
        }
        if (!isStale(slot)) {
            waiting.remove(slot);
            tellAnswer(slot);
        }
        resume(slot);
    }

    private void tellDecision(RequestSlot slot, Status answer) {
        StateObserver watcher = stateObserver;
        if (watcher != null && slots.isOfNow(slot)) {
            slot.tell(watcher, answer);
        }
        StateJournal keeper = journal;
        if (keeper != null && slots.isOfNow(slot)) {
            keeper.about(slot.chain());
            slot.tell(keeper, answer);
        }
    }

    private void tellAnswer(RequestSlot slot) {
        flight.answered(slot);
        if (slot.status == Status.NOMEM) {
            refused = slot;
            onLimit.run();
            refused = null;
        }
        IommuObserver watcher = observer;
        if (watcher != null) {
            IommuRequest request = IommuRequest.of(slot);
            watcher.answered(request, slot.status, execution.reason(slot, request));
            watcher.answeredSince(slot.taken);
        }
    }

    // Saving and restoring
    // ----------------------------------------------------------------------------------------------

    /** Visits the requests that are answered, then those that wait for the engine. */
    void forEachRequest(Consumer<RequestSlot> visitor) {
        forEachPending(visitor);
        waiting.forEach(visitor);
    }

    /** Takes over a request of a saved state, with its answer. */
    void restore(RequestState saved, Dma dma) {
        RequestSlot slot = slots.take();
        if (slot == null) {
            throw new IllegalStateException("more requests than a queue holds");
        }
        adopt(slot, REQUESTQ);
        slot.restore(saved, dma);
    }
}
