// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

import static org.ioasis.spec.Virtio.F_EVENT_IDX;
import static org.ioasis.spec.Virtio.F_INDIRECT_DESC;
import static org.ioasis.spec.Virtio.F_RING_RESET;
import static org.ioasis.spec.Virtio.STATUS_DRIVER_OK;
import static org.ioasis.spec.Virtio.STATUS_FEATURES_OK;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.ioasis.memory.Dma;
import org.ioasis.virtqueue.DeviceQueue;
import org.ioasis.virtqueue.RingFormat;
import org.jspecify.annotations.Nullable;

/**
 * A virtio device without its transport and without its purpose: status, features, queues and
 * configuration (virtio 1.4, chapter 2 and 3.1). A transport turns register accesses into these
 * calls; the {@link DeviceType} does the work.
 *
 * <p>One thread, the machine's loop, for all methods; none is called inside a guarded section. What
 * a driver must not do is ignored and counted ({@link #refusedWrites}); nothing it writes throws.
 *
 * <p>The device has no clock: the loop calls {@link #tick} now and then.
 */
public final class VirtioDevice {
    /** How long memory that the driver uses may be absent before the device gives up. */
    public static final long ABSENT_LIMIT_NANOS = 5_000_000_000L;

    /** Reason of {@link #needsReset} when {@link #ABSENT_LIMIT_NANOS} has passed. */
    public static final String ABSENT_TOO_LONG = "memory absent for too long";

    private final DeviceType type;
    private final DeviceWork<?> work;
    private final Dma dma;
    private final Interrupts interrupts;
    private final Features features;
    private final int queueSizeMax;
    private final QueueConfig[] queues;
    private final RingWatch watch;
    private final RingHandover handover;
    private final ConfigSpace config;
    private final MemoryWait memoryWait = new MemoryWait(ABSENT_LIMIT_NANOS);

    /** It goes on from a saved state, and has not looked at its rings yet. */
    private boolean isRestored;

    private final DeviceStatus status = new DeviceStatus();
    private @Nullable RingFormat startedFormat;
    private Consumer<String> whenBroken = _ -> {};
    private long refusedWrites;
    private boolean isSuspended;

    /**
     * A device after reset.
     *
     * @param ringDma the way to rings and buffers
     * @param frameFeatures VERSION_1, and any of ACCESS_PLATFORM, INDIRECT_DESC, EVENT_IDX,
     *     RING_PACKED and RING_RESET
     * @throws IllegalArgumentException if features are offered that this class does not have, or
     *     that do not belong to a device type
     */
    public VirtioDevice(DeviceType type, Dma ringDma, long frameFeatures, Interrupts interrupts) {
        this.type = type;
        work = type.work();
        this.dma = ringDma;
        this.interrupts = interrupts;
        features = new Features(type.features(), frameFeatures);
        queueSizeMax = type.queueSizeMax();
        queues = new QueueConfig[type.queueCount()];
        for (int i = 0; i < queues.length; i++) {
            queues[i] = new QueueConfig(ringDma, queueSizeMax, features.offered());
        }
        watch = new RingWatch(this, ringDma, queues);
        handover = new RingHandover(this, queues, work);
        config = new ConfigSpace(type);
    }

    // --- what a transport needs to know of the type

    /** Device id (virtio 1.4, chapter 5). */
    public int id() {
        return type.id();
    }

    /** Bytes of device configuration. */
    public int configSize() {
        return type.configSize();
    }

    // --- features, 2.2

    /** All features offered. */
    public long deviceFeatures() {
        return features.offered();
    }

    /** What the driver has accepted so far; after FEATURES_OK the negotiated set. */
    public long driverFeatures() {
        return features.accepted();
    }

    /** The driver accepts features. Refused once FEATURES_OK is set; checked at FEATURES_OK. */
    public void writeDriverFeatures(long value) {
        if (status.has(STATUS_FEATURES_OK)) {
            refusedWrites++;
            return;
        }
        features.accept(value);
    }

    // --- status, 2.1

    /**
     * The device status field: 0 when a reset is complete, which a driver waits for (2.4.2,
     * 4.1.4.3.2).
     */
    public int status() {
        return type.isResetting() ? status.beforeReset() : status.bits();
    }

    /**
     * The driver writes the status field. 0 resets the device, and the reset is complete when this
     * returns. Otherwise bits are only added (2.1.1: a driver does not clear any): FEATURES_OK only
     * sticks with an acceptable set of features (2.2.2), DRIVER_OK only with FEATURES_OK, and it
     * starts the device. Bits that are not the driver's are ignored.
     */
    public void writeStatus(int value) {
        assert work.isDeviceThread();
        if (type.isResetting()) {
            refusedWrites++;
            return;
        }
        if (value == 0) {
            reset();
            type.reset();
            dma.deviceReset();
            return;
        }
        boolean wasStarted = status.has(STATUS_DRIVER_OK);
        refusedWrites += status.add(value, features);
        if (!wasStarted && status.has(STATUS_DRIVER_OK)) {
            start();
        }
    }

    private void start() {
        for (QueueConfig q : queues) {
            if (q.isEnabled) {
                start(q);
            }
        }
        startWork();
        // Buffers may have been made available, and kicked for, before DRIVER_OK.
        for (int i = 0; i < queues.length; i++) {
            kick(i);
        }
    }

    /** Starts the ring of a queue that is set up. */
    void start(QueueConfig q) {
        q.start(format(), features.has(F_INDIRECT_DESC), features.has(F_EVENT_IDX));
    }

    /** How rings lie in memory, as negotiated; settled with FEATURES_OK. */
    public RingFormat format() {
        return RingFormat.of(features.accepted());
    }

    /** How rings lie in memory since the device was last started, or did; null if it never was. */
    public @Nullable RingFormat startedFormat() {
        return startedFormat;
    }

    private void startWork() {
        startedFormat = format();
        dma.deviceStarted();
        type.start(features.accepted(), this);
        work.start(this, type.activeQueues(features.accepted()));
    }

    private void reset() {
        status.reset();
        features.accept(0);
        waitsForMemory(false);
        isRestored = false;
        watch.forgetAll();
        for (QueueConfig q : queues) {
            q.reset();
        }
        work.reset();
    }

    /** The machine was reset, or the session ended: a device reset, and the type is as new. */
    public void systemReset() {
        assert work.isDeviceThread();
        reset();
        type.systemReset();
        dma.deviceReset();
    }

    /** As {@link DeviceType#whenSettled}. */
    public void whenSettled(Runnable task) {
        type.whenSettled(task);
    }

    /** From DRIVER_OK until reset or {@link #needsReset}, suspended or not. */
    boolean isStarted() {
        return status.isStarted();
    }

    /**
     * True while the device may work: from DRIVER_OK until reset or {@link #needsReset}, unless it
     * is suspended. A type that finds it false begins no guarded section.
     */
    public boolean isRunning() {
        return isStarted() && !isSuspended;
    }

    /**
     * The transport lets the device touch no memory from now on: no section begins before {@link
     * #resume}. Kicks are noted, and what waits for absent memory does not count its time. Stays
     * through resets; twice is fine.
     */
    public void suspend() {
        assert work.isDeviceThread();
        isSuspended = true;
        watch.forgetAll();
        waitsForMemory(false);
    }

    /** The device may touch memory again: everything is looked at. Twice is fine. */
    public void resume() {
        assert work.isDeviceThread();
        if (!isSuspended) {
            return;
        }
        isSuspended = false;
        for (int i = 0; i < queues.length; i++) {
            if (queues[i].wasKicked) {
                queues[i].wasKicked = false;
                kick(i);
            }
        }
        // What the type had to leave undone meanwhile, and rings whose kick came before.
        lookAtAll();
    }

    /**
     * The device cannot go on: sets DEVICE_NEEDS_RESET, ignores kicks from now on, and notifies the
     * driver if DRIVER_OK was set (2.1.2). The first reason is kept. Outside a guarded section.
     *
     * @param reason for the operator; a constant, since guests can cause it as often as they like
     */
    public void needsReset(String reason) {
        assert work.isDeviceThread();
        if (!status.needsReset(reason)) {
            return;
        }
        waitsForMemory(false);
        whenBroken.accept(reason);
        if (status.has(STATUS_DRIVER_OK)) {
            interrupts.config();
        }
    }

    /** Who is told each time that the device {@linkplain #needsReset needs a reset}, and why. */
    public void onBroken(Consumer<String> told) {
        whenBroken = told;
    }

    /** Why the device needs a reset, or null when it does not. */
    public @Nullable String brokenReason() {
        return status.brokenReason();
    }

    /** Number of writes of drivers that were ignored, since construction. */
    public long refusedWrites() {
        return refusedWrites;
    }

    /** Counts one more of these. */
    void countRefused() {
        refusedWrites++;
    }

    // --- queues, 2.6 and 4.1.4.3

    /** Number of queues. */
    public int queueCount() {
        return queues.length;
    }

    /** Largest size of queue {@code q}; 0 if there is no such queue. */
    public int queueSizeMax(int q) {
        return isQueue(q) ? queueSizeMax : 0;
    }

    /** Size of queue {@code q}, the largest one after reset; 0 if there is no such queue. */
    public int queueSize(int q) {
        return isQueue(q) ? queues[q].size : 0;
    }

    /**
     * Sets the size, up to the largest, before the queue is enabled: a power of two unless rings
     * are packed (4.1.4.3.2).
     */
    public void writeQueueSize(int q, int value) {
        if (isConfigurable(q) && format().isSize(value, queueSizeMax)) {
            queues[q].size = value;
        } else {
            refusedWrites++;
        }
    }

    /** True if the driver has enabled queue {@code q}. */
    public boolean queueEnabled(int q) {
        return isQueue(q) && queues[q].isEnabled;
    }

    /**
     * Enables a queue. Refused before FEATURES_OK (its layout is not settled), after DRIVER_OK
     * unless it was reset alone, twice, and when a part is not aligned (2.7.1) or runs over the end
     * of the address space; {@link #queueEnabled} then stays false.
     */
    public void enableQueue(int q) {
        assert work.isDeviceThread();
        if (!isConfigurable(q) || !status.has(STATUS_FEATURES_OK)) {
            refusedWrites++;
            return;
        }
        QueueConfig c = queues[q];
        if (c.canStart(format())) {
            c.isEnabled = true;
            if (isStarted()) {
                start(c);
                kick(q);
            }
        } else {
            refusedWrites++;
        }
    }

    /**
     * Resets one queue of a running device (2.6.1), and is done when it returns: the queue is not
     * enabled, has its values after a device reset, and nothing that it had in flight touches
     * memory any more. The driver may configure and enable it again. Refused without RING_RESET.
     */
    public void resetQueue(int q) {
        assert work.isDeviceThread();
        if (!isStarted() || !queueEnabled(q) || !features.has(F_RING_RESET)) {
            refusedWrites++;
            return;
        }
        watch.forget(q);
        clear(q);
        queues[q].wasReset = true;
    }

    /** The queue has its values after a device reset, and nothing of it is in flight. */
    void clear(int q) {
        queues[q].reset();
        work.resetQueue(q);
        type.resetQueue(q);
    }

    /** How a transport hands rings over, one by one. */
    public RingHandover handover() {
        return handover;
    }

    /** Address of the descriptor area; 0 if there is no such queue. */
    public long queueDesc(int q) {
        return isQueue(q) ? queues[q].desc : 0;
    }

    /** Sets the address of the descriptor area, before the queue is enabled. */
    public void writeQueueDesc(int q, long address) {
        if (mayConfigure(q)) {
            queues[q].desc = address;
        }
    }

    /** Address of the driver area; 0 if there is no such queue. */
    public long queueDriver(int q) {
        return isQueue(q) ? queues[q].driver : 0;
    }

    /** Sets the address of the driver area, before the queue is enabled. */
    public void writeQueueDriver(int q, long address) {
        if (mayConfigure(q)) {
            queues[q].driver = address;
        }
    }

    /** Address of the device area; 0 if there is no such queue. */
    public long queueDevice(int q) {
        return isQueue(q) ? queues[q].device : 0;
    }

    /** Sets the address of the device area, before the queue is enabled. */
    public void writeQueueDevice(int q, long address) {
        if (mayConfigure(q)) {
            queues[q].device = address;
        }
    }

    private boolean isQueue(int q) {
        return q >= 0 && q < queues.length;
    }

    /** As {@link #isConfigurable}; counts it if not. */
    private boolean mayConfigure(int q) {
        if (!isConfigurable(q)) {
            refusedWrites++;
            return false;
        }
        return true;
    }

    private boolean isConfigurable(int q) {
        return isQueue(q)
                && !queues[q].isEnabled
                && (!status.has(STATUS_DRIVER_OK) || queues[q].wasReset);
    }

    /**
     * The driver has made buffers available. Ignored unless the device runs and the queue is
     * enabled: buffers are not touched before DRIVER_OK (2.1.2), and all queues are looked at then.
     */
    public void kick(int q) {
        assert work.isDeviceThread();
        if (isStarted() && queueEnabled(q)) {
            if (isSuspended) {
                queues[q].wasKicked = true;
            } else {
                work.kick(q);
            }
        }
    }

    /** Which of its rings are looked at. */
    public RingWatch watch() {
        return watch;
    }

    // --- configuration, 2.5

    /** Changes before the driver can see two versions of the configuration (4.1.4.3.1); 8 bits. */
    public int configGeneration() {
        return config.generation();
    }

    /** Reads configuration; 0 for what is not there or not of size 1, 2, 4 or 8. */
    public long readConfig(int offset, int size) {
        return config.read(offset, size);
    }

    /** Writes configuration; ignored for what is not there or not of size 1, 2, 4 or 8. */
    public void writeConfig(int offset, int size, long value) {
        assert work.isDeviceThread();
        if (!config.write(offset, size, value)) {
            refusedWrites++;
        }
    }

    // --- memory and time

    /**
     * Guest memory, or how the device sees it, has changed: what was absent may be there. A device
     * that waits for nothing touches nothing, since its rings may be what a firmware has left
     * behind, at addresses that lead elsewhere now.
     */
    public void memoryChanged() {
        assert work.isDeviceThread();
        if (isRestored || memoryWait.isWaiting()) {
            lookAtAll();
        }
    }

    private void lookAtAll() {
        if (isRunning()) {
            isRestored = false;
            work.memoryChanged();
        }
    }

    /** True while the device waits for absent memory, or for a turn that it was refused. */
    public boolean needsTick() {
        return memoryWait.isWaiting() || work.needsTick();
    }

    /**
     * Tells the time, now and then. The wait for absent memory counts from the first tick in it;
     * when it has lasted {@link #ABSENT_LIMIT_NANOS} the device needs a reset.
     *
     * @param nowNanos of any clock that does not go back, always the same one
     */
    public void tick(long nowNanos) {
        assert work.isDeviceThread();
        work.tick();
        if (memoryWait.isOver(nowNanos)) {
            needsReset(ABSENT_TOO_LONG);
        }
    }

    // --- saving and restoring

    /** What is to be saved of the device beside what its type knows. Counters are not. */
    public DeviceState save() {
        assert work.isDeviceThread();
        String reason = status.brokenReason();
        List<DeviceState.Queue> saved = new ArrayList<>();
        for (QueueConfig q : queues) {
            saved.add(q.save());
        }
        return new DeviceState(
                status.bits(),
                features.accepted(),
                config.generation(),
                config.hasChanged(),
                reason == null ? "" : reason,
                saved);
    }

    /**
     * What keeps this device from taking over a state, which may come from anywhere; null if
     * nothing does. Nothing changes.
     */
    public @Nullable String refuseRestore(DeviceState saved) {
        if (status.bits() != 0 || features.accepted() != 0) {
            return "the device is in use: it must be new or reset";
        }
        return saved.problem(queues.length, queueSizeMax, features);
    }

    /**
     * Takes over a state that {@link #refuseRestore} has nothing against. Tells the type that it
     * has started if that is so; touches no memory: {@link #memoryChanged} does when memory is
     * there.
     */
    public void restore(DeviceState saved) {
        status.restore(saved.status(), saved.brokenReason());
        features.accept(saved.driverFeatures());
        config.restore(saved.configGeneration(), saved.hasConfigChanged());
        for (int i = 0; i < queues.length; i++) {
            queues[i].restore(
                    saved.queues().get(i),
                    format(),
                    features.has(F_INDIRECT_DESC),
                    features.has(F_EVENT_IDX));
        }
        if (status.has(STATUS_DRIVER_OK)) {
            startWork();
            isRestored = true;
        }
    }

    // --- for the device type

    /** The way to memory that rings and buffers go. */
    public Dma dma() {
        return dma;
    }

    /** Queue {@code q}, which is running if the driver has enabled it. */
    public DeviceQueue queue(int q) {
        return queues[q].ring();
    }

    /**
     * Notifies the driver of used buffers: {@link DeviceQueue#shouldInterrupt} said so. Outside a
     * guarded section.
     */
    public void interrupt(int q) {
        if (isStarted()) {
            interrupts.queue(q);
        }
    }

    /** The configuration has changed: a new generation, and a notification if DRIVER_OK is set. */
    public void configChanged() {
        config.changed();
        if (status.has(STATUS_DRIVER_OK)) {
            interrupts.config();
        }
    }

    /**
     * The type holds something that waits for absent memory, or no longer does. Saying true again
     * does not start the wait anew; say false in between when something has moved.
     */
    public void waitsForMemory(boolean waits) {
        memoryWait.waits(waits && isRunning());
    }
}
