// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.IntUnaryOperator;
import org.ioasis.memory.Count;
import org.ioasis.memory.Dma;
import org.ioasis.peer.ServedDevice;
import org.ioasis.spec.VhostUser;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.DeviceType;
import org.ioasis.virtio.Interrupts;
import org.ioasis.virtio.KeptState;
import org.ioasis.virtio.OfferedDevice;
import org.ioasis.virtio.VirtioDevice;
import org.ioasis.virtqueue.ChainLog;
import org.ioasis.virtqueue.PackedState;
import org.ioasis.virtqueue.RingFormat;
import org.ioasis.virtqueue.RingState;
import org.ioasis.virtqueue.SplitState;
import org.jspecify.annotations.Nullable;

/**
 * A virtio device as a front end sees it: rings that are handed over and taken back one by one, and
 * features. The front end has the registers and tells of few of their changes. Lives as long as the
 * machine; sessions come and go on it. Loop thread only, but for the counters.
 *
 * <p>A front end takes all rings back when its guest is paused, and likewise when the guest's
 * driver or the machine resets the device; nothing tells which it was. So the device is suspended
 * then, with all it knows, until something does: rings that come back where they were taken are a
 * resumption, others are not; and a guest that still acts (it reads configuration here, or
 * registers of a device behind this one: {@link #guestActs}) is not paused.
 */
public final class VhostUserDevice implements Interrupts, OfferedDevice, ServedDevice.Turns {
    /** Who carries notifications to the driver. */
    interface Sink {
        void queue(int queue);

        void config();

        /** The device needs a reset. */
        void broken();
    }

    /**
     * What was left for the device by who had its rings before, in another session or process.
     *
     * @param state where the device keeps what it keeps, or null
     * @param isGoneOn the log of some ring has been written to, since the driver began
     * @param numbersOut of the chains that are out, as the log says, of the ring that matters
     */
    @SuppressWarnings("ArrayRecordComponent") // compared by nobody
    record Left(@Nullable MemorySegment state, boolean isGoneOn, long[] numbersOut) {}

    /** Why a device needs a reset that cannot go on for its driver. */
    static final String STATE_LOST = "what its driver has set up is lost";

    private static final int NOWHERE = -1;

    private static final Sink NOBODY =
            new Sink() {
                @Override
                public void queue(int queue) {}

                @Override
                public void config() {}

                @Override
                public void broken() {}
            };

    private final VirtioDevice device;
    private final @Nullable KeptState kept;
    private final int[] takenAt;
    private int given;
    private boolean isMachineReset;

    /** It does not know what its driver has set up. */
    private boolean isLost;

    private Sink sink = NOBODY;
    private BooleanSupplier watcher = () -> false;
    private Consumer<String> reports = _ -> {};
    private final Count kicks = new Count();
    private final Count interrupts = new Count();

    /**
     * @param ringDma how the device reaches its rings and buffers
     * @param frameFeatures feature bits of the virtio frame to offer, beside the type's own
     */
    @SuppressWarnings("this-escape") // the device notifies nobody before it is driven
    public VhostUserDevice(DeviceType type, Dma ringDma, long frameFeatures) {
        device = new VirtioDevice(type, ringDma, frameFeatures, this);
        kept = type.keptState();
        takenAt = new int[type.queueCount()];
        Arrays.fill(takenAt, NOWHERE);
        device.onBroken(why -> {
            reports.accept("the device needs a reset: " + why);
            sink.broken();
        });
    }

    @Override
    public VirtioDevice device() {
        return device;
    }

    @Override
    public long kicks() {
        return kicks.read();
    }

    @Override
    public long interrupts() {
        return interrupts.read();
    }

    /** What an operator should know goes to {@code told}, a line each. */
    void reports(Consumer<String> told) {
        reports = told;
    }

    @Override
    public void watcher(BooleanSupplier newWatcher) {
        watcher = newWatcher;
    }

    @Override
    public boolean look() {
        return device.watch().look();
    }

    @Override
    public boolean rest() {
        return device.watch().rest();
    }

    @Override
    public void tick(long nowNanos) {
        device.tick(nowNanos);
    }

    /** Notifications go there from now on; null: nowhere. */
    void sendTo(@Nullable Sink newSink) {
        sink = newSink == null ? NOBODY : newSink;
    }

    // Features.

    long features() {
        return device.deviceFeatures() | VhostUser.F_PROTOCOL_FEATURES;
    }

    // Rings.

    /** True between the taking of the last ring and what tells whether that was a reset. */
    boolean isSuspended() {
        return given == 0 && (device.status() & Virtio.STATUS_DRIVER_OK) != 0;
    }

    /** True from {@link #give} of a first ring until {@link #take} of the last, or a reset. */
    boolean hasRings() {
        return given > 0;
    }

    /**
     * Before the first of the rings is given: goes on, or begins anew.
     *
     * @param features accepted by the driver
     * @param bases where the front end says that each ring is
     * @param left by who had the rings before; null if nobody can have left anything
     * @return what is wrong, or null
     */
    @Nullable String begin(long features, IntUnaryOperator bases, @Nullable Left left) {
        if (isSuspended() && goesOn(features, bases)) {
            MemorySegment region = left == null ? null : left.state();
            // One that is lost has nothing that would be worth to be found.
            if (kept != null && region != null && !kept.isWriting() && !isLost) {
                kept.moveTo(region);
            }
            return null;
        }
        if (device.status() != 0) {
            reset();
        }
        if (device.status() != 0) {
            return "the device is still being reset";
        }
        device.writeStatus(Virtio.STATUS_ACKNOWLEDGE | Virtio.STATUS_DRIVER);
        device.writeDriverFeatures(features);
        device.writeStatus(Virtio.STATUS_FEATURES_OK);
        if ((device.status() & Virtio.STATUS_FEATURES_OK) == 0) {
            return "the device does not work with features 0x%x".formatted(features);
        }
        device.writeStatus(Virtio.STATUS_DRIVER_OK);
        if (kept != null) {
            takeUp(kept, bases, left);
        }
        return null;
    }

    /**
     * A driver that has been at work believes that all is as it has set it up: a device that does
     * not know it any more needs a reset, and does not go on without.
     */
    private void takeUp(KeptState state, IntUnaryOperator bases, @Nullable Left left) {
        MemorySegment region = left == null ? null : left.state();
        boolean isGoneOn = left != null && left.isGoneOn();
        KeptState.Suspension suspension =
                region == null || isGoneOn
                        ? KeptState.Suspension.NONE
                        : state.suspension(region, bases.applyAsInt(state.queue()));
        isGoneOn |= suspension == KeptState.Suspension.HERE;
        for (int q = 0; q < takenAt.length; q++) {
            isGoneOn |= !isStart(bases.applyAsInt(q));
        }
        if (!isGoneOn) {
            if (region != null) {
                state.begin(region);
            }
            return;
        }
        String problem;
        if (left == null || region == null) {
            problem = "no memory for it was kept";
            state.lose(null);
        } else if (suspension == KeptState.Suspension.ELSEWHERE) {
            problem = "its rings are not where they were taken back";
            state.lose(region);
        } else {
            problem = state.goOn(region, left.numbersOut());
        }
        if (problem != null) {
            reports.accept("the state that was kept is of no use: " + problem);
            isLost = true;
            device.needsReset(STATE_LOST);
        }
    }

    /** True of a ring that nobody has used, or that nothing is said of. */
    private boolean isStart(int base) {
        return base == 0 || (device.format() == RingFormat.PACKED && (base & 0xffff) == 0x8000);
    }

    /** Bytes that the device keeps beside the logs of chains; 0 if it keeps none. */
    long keptBytes() {
        return kept == null ? 0 : kept.bytes();
    }

    /** The queue whose log of chains belongs to what is kept; -1 if nothing is. */
    int keptQueue() {
        return kept == null ? NOWHERE : kept.queue();
    }

    private boolean goesOn(long features, IntUnaryOperator bases) {
        boolean isThere = features == device.driverFeatures();
        for (int q = 0; q < takenAt.length; q++) {
            isThere &= takenAt[q] == NOWHERE || takenAt[q] == bases.applyAsInt(q);
        }
        return isThere;
    }

    /**
     * Gives the device a ring. One that is broken gets none.
     *
     * @param base where to go on, as the protocol says it, unless the log knows better
     * @param log of its chains, or null
     * @return false if no ring can be like this
     */
    boolean give(
            int q, int size, long desc, long driver, long used, int base, @Nullable ChainLog log) {
        RingState at = state(base);
        if (kept != null && log != null && q == kept.queue()) {
            log.numberFrom(kept.nextNumber());
        }
        if (!at.isPossible(size)
                || !(isBroken() || device.handover().give(q, size, desc, driver, used, at, log))) {
            return false;
        }
        if (kept != null && q == kept.queue() && !isBroken()) {
            kept.resume();
        }
        given++;
        return true;
    }

    /** It needs a reset. */
    boolean isBroken() {
        return (device.status() & Virtio.STATUS_DEVICE_NEEDS_RESET) != 0;
    }

    /**
     * Takes a ring back that was given.
     *
     * @param base where it was given
     * @param whenTaken gets where it is now, perhaps at once; not after a reset
     */
    void take(int q, int base, Consumer<Integer> whenTaken) {
        if (!device.queueEnabled(q)) {
            taken(q, base, whenTaken);
            return;
        }
        device.handover()
                .take(
                        q,
                        state ->
                                // One that is broken is nowhere.
                                taken(
                                        q,
                                        state.brokenReason().isEmpty() ? base(state) : base,
                                        whenTaken));
    }

    private void taken(int q, int base, Consumer<Integer> whenTaken) {
        takenAt[q] = base;
        // Before the log of its chains is forgotten.
        if (kept != null && q == kept.queue() && !isBroken()) {
            kept.suspend(base);
        }
        given--;
        isMachineReset = false;
        whenTaken.accept(base);
    }

    /**
     * The protocol's number for a place: for a split ring the index; for a packed one both
     * positions, each with its wrap counter, of which the lower half is the driver's.
     */
    private static int base(RingState state) {
        return switch (state) {
            case SplitState split -> split.poppedIdx();
            case PackedState packed -> packed.popped() | packed.popped() << 16;
        };
    }

    /** All chains before that place are done, so that the upper half says nothing more. */
    private RingState state(int base) {
        return device.format() == RingFormat.SPLIT
                ? SplitState.at(base & 0xffff)
                : PackedState.at(base & 0x7fff, (base & 0x8000) != 0);
    }

    void kick(int q) {
        kicks.increment();
        if (watcher.getAsBoolean()) {
            device.watch().begin(q);
        }
        device.kick(q);
    }

    @Override
    public void queue(int queue) {
        interrupts.increment();
        sink.queue(queue);
    }

    @Override
    public void config() {
        interrupts.increment();
        sink.config();
    }

    // Resets.

    /** A guest that acts is not paused: if the device has no rings, it was reset. */
    public void guestActs() {
        if (isSuspended()) {
            if (isMachineReset) {
                end();
            } else {
                reset();
            }
        }
    }

    /**
     * A device behind this one was reset by the VMM: the machine was, perhaps, or somebody plugged
     * it in. What the guest does next tells whether this one was reset too.
     */
    public void machineResets() {
        isMachineReset = true;
    }

    /** Reset by its driver, or for it: no ring is there any more. */
    void reset() {
        if (isLost) {
            // Nor what bypass was: it is what it is at a start.
            end();
            return;
        }
        forgetRings();
        device.writeStatus(0);
    }

    /** What is kept stays as it is: another session may go on with it. Twice is fine. */
    void letGo() {
        if (kept != null) {
            kept.letGo();
        }
    }

    /** Nobody has it any more: as new. */
    void end() {
        forgetRings();
        device.systemReset();
    }

    private void forgetRings() {
        given = 0;
        isLost = false;
        isMachineReset = false;
        Arrays.fill(takenAt, NOWHERE);
    }
}
