// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.spec.Virtio.F_ACCESS_PLATFORM;
import static org.ioasis.spec.Virtio.F_EVENT_IDX;
import static org.ioasis.spec.Virtio.F_INDIRECT_DESC;
import static org.ioasis.spec.Virtio.F_RING_PACKED;
import static org.ioasis.spec.Virtio.F_RING_RESET;
import static org.ioasis.spec.Virtio.F_VERSION_1;
import static org.ioasis.spec.Virtio.STATUS_ACKNOWLEDGE;
import static org.ioasis.spec.Virtio.STATUS_DEVICE_NEEDS_RESET;
import static org.ioasis.spec.Virtio.STATUS_DRIVER;
import static org.ioasis.spec.Virtio.STATUS_DRIVER_OK;
import static org.ioasis.spec.Virtio.STATUS_FAILED;
import static org.ioasis.spec.Virtio.STATUS_FEATURES_OK;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.virtqueue.DeviceQueue.State;
import org.ioasis.virtqueue.FlatDma;
import org.ioasis.virtqueue.PackedState;
import org.ioasis.virtqueue.RingFormat;
import org.ioasis.virtqueue.SplitState;
import org.junit.jupiter.api.Test;

/** The device frame as a transport and a driver see it: virtio 1.4, chapter 2 and 3.1. */
class VirtioDeviceTest {
    private static final long BASE = 0x10000;
    private static final long FRAME =
            F_VERSION_1 | F_ACCESS_PLATFORM | F_INDIRECT_DESC | F_EVENT_IDX | F_RING_RESET;
    private static final long MANDATORY = F_VERSION_1 | F_ACCESS_PLATFORM;
    private static final long TYPE_FEATURE = 1L << 3;

    /** A device type that does nothing and writes down what it is told. */
    private static final class Recorder implements DeviceType {
        final List<String> calls = new ArrayList<>();
        final IdleWork work = new IdleWork(2, queue -> calls.add("kick " + queue));
        long features = TYPE_FEATURE;
        long config = 0x8877665544332211L;

        @Override
        public int id() {
            return 42;
        }

        @Override
        public long features() {
            return features;
        }

        @Override
        public int queueCount() {
            return 2;
        }

        @Override
        public int queueSizeMax() {
            return 16;
        }

        @Override
        public int configSize() {
            return 12;
        }

        @Override
        public long readConfig(int offset, int size) {
            calls.add("read " + offset + " " + size);
            return config;
        }

        @Override
        public void writeConfig(int offset, int size, long value) {
            calls.add("write " + offset + " " + size + " " + value);
        }

        @Override
        public DeviceWork<?> work() {
            return work;
        }

        @Override
        public void start(long negotiated, VirtioDevice device) {
            calls.add("start " + Long.toHexString(negotiated));
        }

        @Override
        public void reset() {
            calls.add("reset");
        }

        @Override
        public void resetQueue(int queue) {
            calls.add("resetQueue " + queue);
        }

        @Override
        public void systemReset() {
            calls.add("systemReset");
        }
    }

    private final List<String> interrupts = new ArrayList<>();
    private final Interrupts sink =
            new Interrupts() {
                @Override
                public void queue(int queue) {
                    interrupts.add("queue " + queue);
                }

                @Override
                public void config() {
                    interrupts.add("config");
                }
            };
    private final Recorder type = new Recorder();
    private final FlatDma dma = new FlatDma(BASE, 0x10000);
    private final VirtioDevice device = new VirtioDevice(type, dma, FRAME, sink);

    private void negotiate(long features) {
        device.writeStatus(STATUS_ACKNOWLEDGE);
        device.writeStatus(STATUS_ACKNOWLEDGE | STATUS_DRIVER);
        device.writeDriverFeatures(features);
        device.writeStatus(STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
    }

    private void place(int q, int size) {
        device.writeQueueSize(q, size);
        device.writeQueueDesc(q, BASE + 0x1000L * q);
        device.writeQueueDriver(q, BASE + 0x1000L * q + 0x400);
        device.writeQueueDevice(q, BASE + 0x1000L * q + 0x800);
    }

    private void run() {
        negotiate(MANDATORY | TYPE_FEATURE);
        place(0, 8);
        device.enableQueue(0);
        device.writeStatus(device.status() | STATUS_DRIVER_OK);
    }

    private boolean featuresStick(long features) {
        device.writeStatus(0);
        negotiate(features);
        return (device.status() & STATUS_FEATURES_OK) != 0;
    }

    @Test
    void aSetOfFeaturesThatWasNotOfferedDoesNotStick() {
        assertThat(featuresStick(MANDATORY | 1L << 4)).isFalse();
        assertThat(featuresStick(MANDATORY | 1L << 63)).isFalse();
        assertThat(device.status()).isEqualTo(STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    }

    @Test
    void aLegacyDriverDoesNotGetThrough() {
        assertThat(featuresStick(F_ACCESS_PLATFORM | TYPE_FEATURE)).isFalse();
    }

    @Test
    void aDriverThatWouldBypassTheIommuDoesNotGetThrough() {
        assertThat(featuresStick(F_VERSION_1 | TYPE_FEATURE)).isFalse();
    }

    @Test
    void accessPlatformIsNotAskedForWhereItIsNotOffered() {
        VirtioDevice plain = new VirtioDevice(type, dma, F_VERSION_1, sink);
        plain.writeDriverFeatures(F_VERSION_1);
        plain.writeStatus(STATUS_FEATURES_OK);
        assertThat(plain.status()).isEqualTo(STATUS_FEATURES_OK);
    }

    @Test
    void anyOfferedSubsetSticks() {
        assertThat(featuresStick(MANDATORY)).isTrue();
        assertThat(featuresStick(MANDATORY | TYPE_FEATURE | F_EVENT_IDX)).isTrue();
        assertThat(featuresStick(FRAME | TYPE_FEATURE)).isTrue();
        assertThat(device.deviceFeatures()).isEqualTo(FRAME | TYPE_FEATURE);
    }

    @Test
    void featuresAreFixedOnceNegotiated() {
        negotiate(MANDATORY);
        device.writeDriverFeatures(MANDATORY | TYPE_FEATURE);
        assertThat(device.driverFeatures()).isEqualTo(MANDATORY);
        assertThat(device.refusedWrites()).isEqualTo(1);
    }

    @Test
    void featuresOfTheWrongPlaceAreOurOwnMistake() {
        assertThatThrownBy(() -> new VirtioDevice(type, dma, F_EVENT_IDX, sink))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new VirtioDevice(type, dma, F_VERSION_1 | 1L << 35, sink))
                .isInstanceOf(IllegalArgumentException.class);
        type.features = F_VERSION_1;
        assertThatThrownBy(() -> new VirtioDevice(type, dma, F_VERSION_1, sink))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void driverOkWithoutFeaturesOkDoesNotStart() {
        device.writeStatus(STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_DRIVER_OK);
        assertThat(device.status()).isEqualTo(STATUS_ACKNOWLEDGE | STATUS_DRIVER);
        assertThat(type.calls).isEmpty();
    }

    @Test
    void driverOkTogetherWithFeaturesOkStartsOnlyIfTheFeaturesStick() {
        device.writeStatus(STATUS_FEATURES_OK | STATUS_DRIVER_OK);
        assertThat(device.status()).isZero();
        device.writeDriverFeatures(MANDATORY);
        device.writeStatus(STATUS_FEATURES_OK | STATUS_DRIVER_OK);
        assertThat(device.isRunning()).isTrue();
    }

    @Test
    void bitsAreNeverClearedOneByOneAndForeignOnesAreIgnored() {
        device.writeStatus(STATUS_ACKNOWLEDGE | STATUS_DRIVER);
        device.writeStatus(STATUS_DRIVER | STATUS_DEVICE_NEEDS_RESET | 0x30 | 0x100);
        assertThat(device.status()).isEqualTo(STATUS_ACKNOWLEDGE | STATUS_DRIVER);
        device.writeStatus(STATUS_FAILED);
        assertThat(device.status()).isEqualTo(STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FAILED);
    }

    @Test
    void startTellsTheTypeAndLooksAtEnabledQueuesOnce() {
        negotiate(MANDATORY | TYPE_FEATURE);
        place(1, 8);
        device.enableQueue(1);
        device.kick(1);
        assertThat(type.calls).as("kick before DRIVER_OK").isEmpty();
        device.writeStatus(device.status() | STATUS_DRIVER_OK);
        device.writeStatus(device.status() | STATUS_DRIVER_OK);
        assertThat(type.calls)
                .containsExactly("start " + Long.toHexString(MANDATORY | TYPE_FEATURE), "kick 1");
        assertThat(device.queue(1).isRunning()).isTrue();
        assertThat(device.queue(1).size()).isEqualTo(8);
        assertThat(device.queue(0).isRunning()).isFalse();
    }

    @Test
    void kicksForQueuesThatAreNotThereOrNotEnabledAreIgnored() {
        run();
        type.calls.clear();
        device.kick(1);
        device.kick(2);
        device.kick(-1);
        device.kick(0xffff);
        assertThat(type.calls).isEmpty();
        device.kick(0);
        assertThat(type.calls).containsExactly("kick 0");
    }

    @Test
    void queueSizesThatAreNotLegalAreRefused() {
        negotiate(MANDATORY);
        for (int size : new int[] {0, 3, 17, 32, 65535, -1}) {
            device.writeQueueSize(0, size);
            assertThat(device.queueSize(0)).isEqualTo(16);
        }
        assertThat(device.refusedWrites()).isEqualTo(6);
        device.writeQueueSize(0, 4);
        assertThat(device.queueSize(0)).isEqualTo(4);
    }

    @Test
    void queuesThatDoNotExistReadZeroAndTakeNothing() {
        negotiate(MANDATORY);
        for (int q : new int[] {2, -1, 0xffff}) {
            place(q, 8);
            device.enableQueue(q);
            assertThat(device.queueSize(q)).isZero();
            assertThat(device.queueSizeMax(q)).isZero();
            assertThat(device.queueEnabled(q)).isFalse();
            assertThat(device.queueDesc(q)).isZero();
            assertThat(device.queueDriver(q)).isZero();
            assertThat(device.queueDevice(q)).isZero();
        }
        assertThat(device.refusedWrites()).isEqualTo(15);
    }

    @Test
    void anEnabledQueueDoesNotChange() {
        negotiate(MANDATORY);
        place(0, 8);
        device.enableQueue(0);
        assertThat(device.queueEnabled(0)).isTrue();
        device.writeQueueSize(0, 4);
        device.writeQueueDesc(0, 0);
        device.writeQueueDriver(0, 0);
        device.writeQueueDevice(0, 0);
        device.enableQueue(0);
        assertThat(device.queueSize(0)).isEqualTo(8);
        assertThat(device.queueDesc(0)).isEqualTo(BASE);
        assertThat(device.queueDriver(0)).isEqualTo(BASE + 0x400);
        assertThat(device.queueDevice(0)).isEqualTo(BASE + 0x800);
        assertThat(device.refusedWrites()).isEqualTo(5);
    }

    @Test
    void misalignedRingsAreNotEnabled() {
        negotiate(MANDATORY);
        place(0, 8);
        device.writeQueueDesc(0, BASE + 8);
        device.enableQueue(0);
        assertThat(device.queueEnabled(0)).isFalse();
        device.writeQueueDesc(0, BASE);
        device.writeQueueDriver(0, BASE + 0x401);
        device.enableQueue(0);
        assertThat(device.queueEnabled(0)).isFalse();
        device.writeQueueDriver(0, BASE + 0x400);
        device.writeQueueDevice(0, BASE + 0x802);
        device.enableQueue(0);
        assertThat(device.queueEnabled(0)).isFalse();
        device.writeQueueDevice(0, -4L);
        device.enableQueue(0);
        assertThat(device.queueEnabled(0)).isFalse();
        device.writeQueueDevice(0, BASE + 0x800);
        device.enableQueue(0);
        assertThat(device.queueEnabled(0)).isTrue();
    }

    @Test
    void queuesAreEnabledOnlyBetweenFeaturesOkAndDriverOk() {
        place(0, 8);
        device.enableQueue(0);
        assertThat(device.queueEnabled(0)).isFalse();
        run();
        place(1, 8);
        device.enableQueue(1);
        assertThat(device.queueEnabled(1)).isFalse();
        assertThat(device.queueDesc(1)).isZero();
    }

    @Test
    void resetForgetsTheDriver() {
        run();
        device.needsReset("test");
        type.calls.clear();
        device.writeStatus(0);
        assertThat(type.calls).containsExactly("reset");
        assertThat(device.status()).isZero();
        assertThat(device.driverFeatures()).isZero();
        assertThat(device.brokenReason()).isNull();
        assertThat(device.queueEnabled(0)).isFalse();
        assertThat(device.queueSize(0)).isEqualTo(16);
        assertThat(device.queueDesc(0)).isZero();
        assertThat(device.queueDriver(0)).isZero();
        assertThat(device.queueDevice(0)).isZero();
        assertThat(device.queue(0).isRunning()).isFalse();
        run();
        assertThat(device.isRunning()).isTrue();
        assertThat(type.calls).contains("kick 0");
    }

    @Test
    void systemResetIsTheTypesOwn() {
        run();
        type.calls.clear();
        device.systemReset();
        assertThat(type.calls).containsExactly("systemReset");
        assertThat(device.status()).isZero();
        assertThat(device.queue(0).isRunning()).isFalse();
    }

    @Test
    void theWayToMemoryHearsOfEachStartAndReset() {
        negotiate(MANDATORY);
        assertThat(dma.deviceCalls()).isEmpty();
        device.writeStatus(device.status() | STATUS_DRIVER_OK);
        device.writeStatus(device.status() | STATUS_DRIVER_OK);
        assertThat(dma.deviceCalls()).containsExactly("started");
        device.needsReset("test");
        assertThat(dma.deviceCalls()).as("broken is not reset").hasSize(1);
        device.writeStatus(0);
        assertThat(dma.deviceCalls()).containsExactly("started", "reset");
        run();
        device.systemReset();
        assertThat(dma.deviceCalls()).containsExactly("started", "reset", "started", "reset");
    }

    @Test
    void aDeviceThatIsRestoredRunningIsOneThatHasStarted() {
        run();
        DeviceState saved = device.save();
        FlatDma other = new FlatDma(BASE, 0x10000);
        VirtioDevice next = new VirtioDevice(type, other, FRAME, sink);

        next.restore(saved);

        assertThat(other.deviceCalls()).containsExactly("started");
    }

    @Test
    void needsResetNotifiesOnceAndStopsKicks() {
        run();
        type.calls.clear();
        device.needsReset("first");
        device.needsReset("second");
        assertThat(device.status() & STATUS_DEVICE_NEEDS_RESET).isNotZero();
        assertThat(device.brokenReason()).isEqualTo("first");
        assertThat(interrupts).containsExactly("config");
        device.kick(0);
        device.memoryChanged();
        device.interrupt(0);
        assertThat(type.calls).isEmpty();
        assertThat(interrupts).containsExactly("config");
    }

    @Test
    void needsResetBeforeDriverOkDoesNotNotifyAndPreventsTheStart() {
        negotiate(MANDATORY);
        device.needsReset("early");
        assertThat(interrupts).isEmpty();
        device.writeStatus(device.status() | STATUS_DRIVER_OK);
        assertThat(device.isRunning()).isFalse();
        assertThat(type.calls).isEmpty();
    }

    @Test
    void interruptsReachTheTransportOnlyWhileRunning() {
        device.interrupt(0);
        assertThat(interrupts).isEmpty();
        run();
        device.interrupt(0);
        assertThat(interrupts).containsExactly("queue 0");
    }

    @Test
    void configurationOutsideItsSizeReadsZeroAndTakesNothing() {
        int[][] bad = {{12, 1}, {11, 2}, {9, 4}, {5, 8}, {-1, 1}, {0, 3}, {0, 0}, {0, 16}};
        for (int[] b : bad) {
            assertThat(device.readConfig(b[0], b[1])).isZero();
            device.writeConfig(b[0], b[1], 1);
        }
        assertThat(device.readConfig(Integer.MAX_VALUE, 8)).isZero();
        assertThat(type.calls).isEmpty();
        assertThat(device.refusedWrites()).isEqualTo(bad.length);
        assertThat(device.readConfig(4, 8)).isEqualTo(type.config);
        device.writeConfig(11, 1, 7);
        assertThat(type.calls).containsExactly("read 4 8", "write 11 1 7");
    }

    @Test
    void theGenerationChangesWhenAChangedConfigurationIsRead() {
        int first = device.configGeneration();
        assertThat(device.readConfig(0, 4)).isNotZero();
        assertThat(device.configGeneration()).isEqualTo(first);
        for (int i = 0; i < 256; i++) {
            device.configChanged();
        }
        assertThat(device.readConfig(0, 4)).isNotZero();
        int second = device.configGeneration();
        assertThat(second).isNotEqualTo(first).isBetween(0, 255);
        assertThat(device.readConfig(0, 4)).isNotZero();
        assertThat(device.configGeneration()).isEqualTo(second);
        assertThat(interrupts).as("not before DRIVER_OK").isEmpty();
        run();
        device.configChanged();
        assertThat(interrupts).containsExactly("config");
    }

    @Test
    void memoryThatStaysAbsentForTooLongBreaksTheDevice() {
        run();
        device.tick(0);
        device.waitsForMemory(true);
        assertThat(device.needsTick()).isTrue();
        long start = Long.MAX_VALUE - 5;
        device.tick(start);
        device.waitsForMemory(true);
        device.tick(start + VirtioDevice.ABSENT_LIMIT_NANOS - 1);
        assertThat(device.brokenReason()).isNull();
        device.tick(start + VirtioDevice.ABSENT_LIMIT_NANOS);
        assertThat(device.brokenReason()).isEqualTo(VirtioDevice.ABSENT_TOO_LONG);
        assertThat(device.needsTick()).isFalse();
        assertThat(interrupts).containsExactly("config");
    }

    @Test
    void memoryThatComesBackStartsTheWaitAnew() {
        run();
        device.waitsForMemory(true);
        device.tick(0);
        device.waitsForMemory(false);
        assertThat(device.needsTick()).isFalse();
        device.waitsForMemory(true);
        device.tick(VirtioDevice.ABSENT_LIMIT_NANOS);
        device.tick(2 * VirtioDevice.ABSENT_LIMIT_NANOS - 1);
        assertThat(device.brokenReason()).isNull();
        device.writeStatus(0);
        assertThat(device.needsTick()).isFalse();
    }

    // --- a queue that is reset alone, 2.6.1

    @Test
    void aQueueIsResetAloneOnlyWhenItRunsAndTheFeatureIsNegotiated() {
        run();
        device.resetQueue(0);
        assertThat(device.refusedWrites()).as("without the feature").isEqualTo(1);

        runWithRingReset();
        device.resetQueue(1);
        device.resetQueue(2);
        device.resetQueue(-1);
        assertThat(device.refusedWrites()).as("queues that are not enabled").isEqualTo(4);
        device.needsReset("broken");
        device.resetQueue(0);
        assertThat(device.refusedWrites()).as("does not run").isEqualTo(5);
        assertThat(device.queueEnabled(0)).isTrue();
        assertThat(type.calls).noneMatch(call -> call.startsWith("resetQueue"));
    }

    @Test
    void aQueueThatWasResetIsEnabledAgainAndLookedAt() {
        runWithRingReset();
        type.calls.clear();

        device.resetQueue(0);

        assertThat(device.queueEnabled(0)).isFalse();
        assertThat(device.queueSize(0)).isEqualTo(16);
        assertThat(device.queue(0).isRunning()).isFalse();
        place(1, 8);
        device.enableQueue(1);
        assertThat(device.queueEnabled(1)).as("one that was not reset").isFalse();
        place(0, 4);
        device.enableQueue(0);
        assertThat(device.queue(0).isRunning()).isTrue();
        assertThat(device.queue(0).size()).isEqualTo(4);
        assertThat(type.calls).containsExactly("resetQueue 0", "kick 0");
    }

    private void runWithRingReset() {
        device.writeStatus(0);
        negotiate(MANDATORY | F_RING_RESET);
        place(0, 8);
        device.enableQueue(0);
        device.writeStatus(device.status() | STATUS_DRIVER_OK);
    }

    // --- packed rings

    private VirtioDevice packed() {
        return new VirtioDevice(type, dma, FRAME | F_RING_PACKED, sink);
    }

    private static void start(VirtioDevice started, long features, int size) {
        started.writeStatus(STATUS_ACKNOWLEDGE | STATUS_DRIVER);
        started.writeDriverFeatures(features);
        started.writeStatus(started.status() | STATUS_FEATURES_OK);
        for (int q = 0; q < 2; q++) {
            configure(started, q, size);
        }
        started.writeStatus(started.status() | STATUS_DRIVER_OK);
    }

    private static void configure(VirtioDevice configured, int q, int size) {
        configured.writeQueueSize(q, size);
        configured.writeQueueDesc(q, BASE + 0x1000L * q);
        configured.writeQueueDriver(q, BASE + 0x1000L * q + 0x400);
        configured.writeQueueDevice(q, BASE + 0x1000L * q + 0x800);
        configured.enableQueue(q);
    }

    @Test
    void ringsArePackedIfTheDriverSaysSoAndThenOfAnySize() {
        VirtioDevice both = packed();
        assertThat(both.startedFormat()).isNull();
        start(both, MANDATORY | F_RING_PACKED, 6);
        assertThat(both.startedFormat()).isEqualTo(RingFormat.PACKED);
        for (int q = 0; q < 2; q++) {
            assertThat(both.queue(q).size()).isEqualTo(6);
            assertThat(both.queue(q).save()).isEqualTo(PackedState.at(0, true));
        }
        assertThat(both.refusedWrites()).isZero();

        both.writeStatus(0);
        start(both, MANDATORY, 6);
        assertThat(both.refusedWrites()).as("no size of a split ring").isEqualTo(2);
        assertThat(both.startedFormat()).isEqualTo(RingFormat.SPLIT);
        assertThat(both.queue(0).size()).isEqualTo(16);
        assertThat(both.queue(0).save()).isEqualTo(SplitState.at(0));
    }

    @Test
    void packedRingsThatAreNotOfferedAreNoFeature() {
        assertThat(featuresStick(MANDATORY | F_RING_PACKED)).isFalse();
    }

    @Test
    void aSizeThatWasWrittenForOtherFeaturesIsNotEnabled() {
        VirtioDevice both = packed();
        both.writeStatus(STATUS_ACKNOWLEDGE | STATUS_DRIVER);
        both.writeDriverFeatures(MANDATORY | F_RING_PACKED);
        both.writeQueueSize(0, 6);
        assertThat(both.queueSize(0)).isEqualTo(6);
        both.writeDriverFeatures(MANDATORY);
        both.writeStatus(both.status() | STATUS_FEATURES_OK);
        both.writeQueueDesc(0, BASE);
        both.writeQueueDriver(0, BASE + 0x400);
        both.writeQueueDevice(0, BASE + 0x800);
        both.enableQueue(0);
        assertThat(both.queueEnabled(0)).isFalse();
        both.writeQueueSize(0, 4);
        both.enableQueue(0);
        assertThat(both.queueEnabled(0)).isTrue();
    }

    @Test
    void aPackedQueueThatIsResetAloneBeginsAgain() {
        VirtioDevice both = packed();
        start(both, MANDATORY | F_RING_PACKED | F_RING_RESET, 6);
        both.queue(0).restore(PackedState.at(5, false));
        both.queue(1).restore(PackedState.at(3, true));
        both.resetQueue(0);
        assertThat(both.queueEnabled(0)).isFalse();
        assertThat(both.queue(0).isRunning()).isFalse();
        configure(both, 0, 7);
        assertThat(both.queue(0).save()).isEqualTo(PackedState.at(0, true));
        assertThat(both.queue(0).size()).isEqualTo(7);
        assertThat(both.queue(1).save()).isEqualTo(PackedState.at(3, true));
    }

    @Test
    void aStateWithPackedRingsIsTakenOverAndOneOfTheOtherFormatRefused() {
        VirtioDevice both = packed();
        start(both, MANDATORY | F_RING_PACKED, 6);
        both.queue(0).restore(PackedState.at(5, false));
        DeviceState saved = both.save();
        VirtioDevice next = packed();
        assertThat(next.refuseRestore(saved)).isNull();
        next.restore(saved);
        assertThat(next.save()).isEqualTo(saved);
        assertThat(next.startedFormat()).isEqualTo(RingFormat.PACKED);

        DeviceState.Queue split = enabled(8, BASE, RUNNING);
        DeviceState wrong =
                new DeviceState(
                        STARTED, MANDATORY | F_RING_PACKED, 0, false, "", List.of(split, UNUSED));
        assertThat(packed().refuseRestore(wrong)).isEqualTo("queue 0 is in no possible state");
        assertThat(device.refuseRestore(saved)).as("not offered").startsWith("negotiated");
    }

    // --- states from nobody knows where

    private static final int STARTED =
            STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK;
    private static final SplitState RUNNING =
            new SplitState(State.RUNNING, "", 0, 0, 0, false, List.of());
    private static final SplitState STOPPED =
            new SplitState(State.STOPPED, "", 0, 0, 0, false, List.of());
    private static final DeviceState.Queue UNUSED =
            new DeviceState.Queue(16, false, false, 0, 0, 0, STOPPED);

    private static DeviceState.Queue enabled(int size, long desc, SplitState ring) {
        return new DeviceState.Queue(size, true, false, desc, BASE, BASE, ring);
    }

    private static DeviceState state(int status, String reason, DeviceState.Queue first) {
        return new DeviceState(status, MANDATORY, 0, false, reason, List.of(first, UNUSED));
    }

    @Test
    void aStateThatWasSavedIsTakenOver() {
        run();
        DeviceState saved = device.save();
        VirtioDevice next = new VirtioDevice(type, dma, FRAME, sink);
        assertThat(next.refuseRestore(saved)).isNull();

        next.restore(saved);

        assertThat(next.save()).isEqualTo(saved);
        assertThat(next.isRunning()).isTrue();
        assertThat(next.queue(0).isRunning()).isTrue();
        assertThat(next.refuseRestore(saved))
                .isEqualTo("the device is in use: it must be new or reset");
    }

    @Test
    void aStateThatNoDeviceCanBeInIsRefused() {
        int features = STATUS_FEATURES_OK;
        int broken = STARTED | STATUS_DEVICE_NEEDS_RESET;
        DeviceState.Queue good = enabled(8, BASE, RUNNING);
        assertThat(device.refuseRestore(state(STARTED, "", good))).isNull();
        assertThat(device.refuseRestore(state(broken, "why", enabled(8, BASE, STOPPED)))).isNull();
        assertThat(device.refuseRestore(state(features, "", enabled(8, BASE, STOPPED)))).isNull();

        assertThat(device.refuseRestore(state(STARTED | 0x20, "", good))).isEqualTo("status 0x2f");
        assertThat(device.refuseRestore(state(STATUS_DRIVER_OK, "", UNUSED)))
                .isEqualTo("status 0x4");
        assertThat(device.refuseRestore(state(STARTED, "why", good))).isEqualTo("status 0xf");
        assertThat(device.refuseRestore(state(broken, "", good))).isEqualTo("status 0x4f");
        for (DeviceState.Queue bad :
                List.of(
                        enabled(32, BASE, RUNNING),
                        enabled(3, BASE, RUNNING),
                        enabled(8, BASE + 1, RUNNING),
                        enabled(8, -16L, RUNNING),
                        enabled(8, BASE, STOPPED),
                        enabled(
                                8,
                                BASE,
                                new SplitState(State.RUNNING, "", 9, 0, 0, false, List.of())),
                        new DeviceState.Queue(8, false, false, BASE, BASE, BASE, RUNNING))) {
            assertThat(device.refuseRestore(state(STARTED, "", bad)))
                    .as(bad.toString())
                    .isEqualTo("queue 0 is in no possible state");
        }
        assertThat(device.refuseRestore(state(features, "", good)))
                .isEqualTo("queue 0 is in no possible state");
        assertThat(device.refuseRestore(state(STATUS_DRIVER, "", enabled(8, BASE, STOPPED))))
                .isEqualTo("queue 0 is in no possible state");
        assertThat(device.refuseRestore(withQueues(List.of(good)))).isEqualTo("1 queues");
        assertThat(device.refuseRestore(withQueues(List.of(good, UNUSED, UNUSED))))
                .isEqualTo("3 queues");
        for (int generation : new int[] {-1, 256}) {
            assertThat(
                            device.refuseRestore(
                                    new DeviceState(
                                            STARTED,
                                            MANDATORY,
                                            generation,
                                            false,
                                            "",
                                            List.of(good, UNUSED))))
                    .isEqualTo("config generation " + generation);
        }
        for (long unknown : new long[] {F_VERSION_1, MANDATORY | 1L << 50}) {
            assertThat(
                            device.refuseRestore(
                                    new DeviceState(
                                            STARTED, unknown, 0, false, "", List.of(good, UNUSED))))
                    .isEqualTo("negotiated features 0x%x".formatted(unknown));
        }
        assertThat(device.status()).isZero();
        assertThat(type.calls).isEmpty();
    }

    private static DeviceState withQueues(List<DeviceState.Queue> queues) {
        return new DeviceState(STARTED, MANDATORY, 0, false, "", queues);
    }
}
