// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static org.ioasis.spec.VirtioIommu.*;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.function.ObjLongConsumer;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.memory.GuestMemory;
import org.ioasis.virtio.DeviceType;
import org.ioasis.virtio.DeviceWork;
import org.ioasis.virtio.KeptState;
import org.ioasis.virtio.VirtioDevice;
import org.jspecify.annotations.Nullable;

/**
 * The virtio-iommu device (virtio 1.4, 5.13): its features, its configuration and its resets. What
 * it does with its queues is in {@link IommuWork}: the engine carries requests out, and faults go
 * to the event queue.
 *
 * <p>Device's thread for everything, but what says any; the engine may report a fault from any.
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

    /** The request queue and the event queue (5.13.2). */
    static final int QUEUES = 2;

    /** What is offered unless it is said otherwise. */
    public static final long FEATURES =
            F_INPUT_RANGE | F_DOMAIN_RANGE | F_MAP_UNMAP | F_PROBE | F_MMIO | F_BYPASS_CONFIG;

    private final Iommu iommu;
    private final long offered;

    // Nobody watches and nothing is planted unless somebody asked for it; then both cost a look at
    // a field.
    private @Nullable IommuObserver observer;
    private @Nullable StateObserver stateObserver;
    private @Nullable StateJournal journal;
    private final @Nullable KeptIommu kept;
    private final Injections injections = new Injections(this::injected);
    private final DomainTable domains;
    private final @Nullable TableRequests tables;
    private final RequestExecution execution;
    private final EventDelivery events;
    private final IommuWork work;

    private @Nullable VirtioDevice device;
    private long negotiated;
    private boolean isResetting;

    // A machine reset or a change of bypass that listeners may not have answered.
    private boolean isUnsettled;

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
        this(iommu, deviceThread, offered, null, null);
    }

    /**
     * A device that is what {@code profile} says, besides what 1.4 does.
     *
     * @param memory guest memory as the session of this device sees it: where tables lie
     */
    public VirtioIommuDevice(
            Iommu iommu, Executor deviceThread, Profile profile, GuestMemory memory) {
        this(iommu, deviceThread, FEATURES, profile, memory);
    }

    private VirtioIommuDevice(
            Iommu iommu,
            Executor deviceThread,
            long offered,
            @Nullable Profile profile,
            @Nullable GuestMemory memory) {
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
        this.offered = profile == null ? offered : offered | profile.features();
        withdrawBypass();
        domains = new DomainTable(iommu);
        tables =
                profile == null || memory == null
                        ? null
                        : new TableRequests(iommu, domains, memory, profile);
        execution = new RequestExecution(iommu, domains, offered, injections, tables);
        events = new EventDelivery(iommu.faults(), iommu.pageRequests(), injections);
        work = new IommuWork(iommu, execution, events, deviceThread);
        kept = profile == null ? new KeptIommu(iommu, this, this::journal) : null;
        execution.known(kept == null ? null : kept.answers());
        iommu.faults().onArrival(work::later);
        if (tables != null) {
            iommu.pageRequests().onArrival(work::later);
        }
    }

    /** Without BYPASS_CONFIG nobody bypasses before a driver has accepted the old feature. */
    private void withdrawBypass() {
        if (!hasBypassConfig()) {
            bypass(false);
        }
    }

    private boolean hasBypassConfig() {
        return (offered & F_BYPASS_CONFIG) != 0;
    }

    private void bypass(boolean isBypassing) {
        iommu.bypass(isBypassing);
        StateObserver watcher = stateObserver;
        if (watcher != null) {
            watcher.bypass(isBypassing);
        }
        StateJournal keeper = journal;
        if (keeper != null) {
            keeper.bypass(isBypassing);
            if (domains.isSettled()) {
                keeper.batchIsDone();
            }
        }
    }

    private void journal(@Nullable StateJournal keeper) {
        journal = keeper;
        work.journal(keeper);
    }

    /** True if a driver's features let endpoints that are attached to nothing bypass. */
    boolean mayBypass() {
        return hasBypassConfig() || (device != null && (negotiated & F_BYPASS) != 0);
    }

    @Override
    public @Nullable KeptState keptState() {
        return kept;
    }

    /** Sets what is done when that happens ({@link #lostStates}). Before the device is used. */
    public void onLostState(Runnable action) {
        KeptIommu known = kept;
        if (known != null) {
            known.onLost(action);
        }
    }

    /**
     * How often there was no room for the state where it is written down for the next process. Any
     * thread.
     */
    public long lostStates() {
        KeptIommu known = kept;
        return known == null ? 0 : known.lost();
    }

    /** What it is besides 1.4, or null. Any thread. */
    public @Nullable Profile profile() {
        TableRequests known = tables;
        return known == null ? null : known.profile();
    }

    /** What is kept of the tables of its driver, or null if it can have none. Any thread. */
    @Nullable Iotlb cached() {
        TableRequests known = tables;
        return known == null ? null : known.cached();
    }

    /** Page requests that the driver was told of. Any thread. */
    public long pageRequestsDelivered() {
        return events.requestsDelivered();
    }

    /** Requests so far, by type and answer. */
    public RequestCounts counts() {
        return work.counts();
    }

    /**
     * How often the ring was left alone because as many requests as may be are with the engine. Any
     * thread.
     */
    public long heldBack() {
        return work.heldBack();
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
     * Sets what is done when a request is answered NOMEM: a limit is reached, and a driver may not
     * say so. Before the device is used; runs on its thread and must not block.
     */
    public void onLimit(Runnable action) {
        work.onLimit(action);
    }

    /** The request and the limit, for people: in the action of {@link #onLimit} only. */
    public String limit() {
        return work.limit();
    }

    /**
     * Sets who watches from now on, null for nobody. Device's thread, or before the device is used.
     */
    public void observe(@Nullable IommuObserver watcher) {
        observer = watcher;
        work.observe(watcher);
        events.observe(watcher);
        iommu.faults().onKept(watcher == null ? null : watcher::refusedAccess);
    }

    /**
     * Sets who sees what the state becomes, null for nobody. Device's thread, or before the device
     * is used.
     */
    public void observeState(@Nullable StateObserver watcher) {
        stateObserver = watcher;
        work.observeState(watcher);
        if (watcher != null && !hasBypassConfig()) {
            // What the options say of the start is without effect.
            watcher.bypass(iommu.isBypassing());
        }
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
        return QUEUES;
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
            bypass(bypass == 1);
            isUnsettled = true;
        }
    }

    @Override
    public DeviceWork<?> work() {
        return work;
    }

    @Override
    public void start(long features, VirtioDevice running) {
        negotiated = features;
        device = running;
        execution.start(features);
        TableRequests handed = tables;
        if (handed != null) {
            handed.start(features);
        }
        events.start(handed != null && handed.hasPageRequests());
        if ((features & F_BYPASS) != 0) {
            bypass(true);
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
        tellReset(false);
    }

    private void tellReset(boolean isMachine) {
        StateObserver watcher = stateObserver;
        if (watcher != null) {
            watcher.reset(isMachine);
        }
        KeptIommu known = kept;
        if (known != null) {
            known.reset(isMachine);
        }
    }

    @Override
    public void systemReset() {
        forget();
        isResetting = true;
        iommu.systemReset(this::resetIsDone);
        isUnsettled = true;
        tellReset(true);
        withdrawBypass();
    }

    @Override
    public void whenSettled(Runnable task) {
        if (!isUnsettled) {
            task.run();
            return;
        }
        iommu.whenKnown(() -> {
            isUnsettled = false;
            task.run();
        });
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
            work.forgetRequests();
        }
    }

    private void forget() {
        IommuObserver watcher = observer;
        if (watcher != null && device != null) {
            watcher.reset();
        }
        execution.forget();
        TableRequests handed = tables;
        if (handed != null) {
            handed.forget();
        }
        domains.forget();
        device = null;
        work.forgetDevice();
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
            work.forEachRequest(slot -> requests.add(slot.save()));
        }
        return new TypeState(
                events.isDriverReady(), events.kicks(), execution.unknownEndpoint(), requests);
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
            work.restore(request, running.dma());
        }
    }
}
