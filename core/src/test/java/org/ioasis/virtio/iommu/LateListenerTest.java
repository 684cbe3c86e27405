// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VirtioIommu.*;
import static org.ioasis.virtio.iommu.Driver.DMA;
import static org.ioasis.virtio.iommu.Driver.OPTIONS;
import static org.ioasis.virtio.iommu.Driver.attach;
import static org.ioasis.virtio.iommu.Driver.map;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import org.ioasis.iommu.DomainListener;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.spec.Virtio;
import org.ioasis.virtqueue.PackedState;
import org.ioasis.virtqueue.RingState;
import org.ioasis.virtqueue.SplitState;
import org.junit.jupiter.api.Test;

/**
 * A device behind which a listener takes its time: what is kept meanwhile, and when a reset is
 * done.
 */
class LateListenerTest {
    private static final int RW = MAP_F_READ | MAP_F_WRITE;
    private static final int BATCH = 64;

    private final Driver d = new Driver(OPTIONS);
    private final Late late = new Late();

    /** Answers at once, or keeps the answer. */
    private static final class Late implements DomainListener {
        private final Deque<Answer> owed = new ArrayDeque<>();
        private boolean isLate;

        @Override
        public void begin() {}

        @Override
        public void translation(Kind kind) {}

        @Override
        public void mapped(long first, long last, long output, int flags) {}

        @Override
        public void unmapped(long first, long last) {}

        @Override
        public void commit(Answer answer) {
            if (isLate) {
                owed.add(answer);
            } else {
                answer.ok();
            }
        }
    }

    LateListenerTest() {
        d.plug(1);
        d.iommu.listen(requireNonNull(d.iommu.endpoint(1)).attachment(), late);
        d.start(d.type.features() | Virtio.F_RING_RESET);
        assertThat(d.status(attach(1, 7, 0))).isEqualTo(S_OK);
        late.isLate = true;
    }

    private void sendMaps(int count) {
        for (int i = 0; i < count; i++) {
            d.send(map(7, i * 0x1000L, i * 0x1000L + 0xfff, DMA, RW), TAIL_SIZE);
        }
        d.kick();
    }

    private void resetRing() {
        d.device.resetQueue(REQUESTQ);
        d.renewRequests(false);
    }

    @Test
    void requestsOfRingsThatWereResetCountUntilTheListenerHasAnsweredThem() {
        int sent = 0;
        int rings = 0;
        while (sent < VirtioIommuDevice.REQUEST_LIMIT) {
            sendMaps(BATCH);
            sent += BATCH;
            resetRing();
            rings++;
        }
        assertThat(rings).isEqualTo(8);
        long before = d.type.heldBack();

        d.send(map(7, 1L << 32, (1L << 32) + 0xfff, DMA, RW), TAIL_SIZE);
        d.kick();

        assertThat(d.type.heldBack()).as("it stays in the ring").isEqualTo(before + 1);
        assertThat(d.answer()).isNull();
        assertThat(late.owed).hasSize(1);
        late.isLate = false;
        late.owed.remove().ok();
        d.turn();
        assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
        assertThat(d.answer()).isNull();
    }

    @Test
    void aResetOfTheDeviceForgetsAllThatIsHeldUp() {
        for (int i = 0; i < 20; i++) {
            late.isLate = true;
            sendMaps(BATCH);
            late.isLate = false;
            d.device.writeStatus(0);
            d.start(d.type.features() | Virtio.F_RING_RESET);
            assertThat(d.status(attach(1, 7, 0))).isEqualTo(S_OK);
        }
        assertThat(d.type.heldBack()).isZero();
        assertThat(late.owed).hasSize(20);
    }

    @Test
    void aQueueIsTakenBackWhenAllIsAnsweredThatWasTakenFromItAndGoesOnThere() {
        long desc = d.device.queueDesc(REQUESTQ);
        long driver = d.device.queueDriver(REQUESTQ);
        long used = d.device.queueDevice(REQUESTQ);
        sendMaps(3);
        List<RingState> taken = new ArrayList<>();

        d.device.handover().take(REQUESTQ, taken::add);
        d.send(map(7, 1L << 32, (1L << 32) + 0xfff, DMA, RW), TAIL_SIZE);
        d.kick();

        assertThat(taken).isEmpty();
        late.isLate = false;
        late.owed.remove().ok();
        d.turn();
        // One ATTACH came before.
        assertThat(taken).containsExactly(SplitState.at(4));
        for (int i = 0; i < 3; i++) {
            assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
        }
        assertThat(d.answer()).as("it came when the queue was being taken").isNull();
        assertThat(d.device.queueEnabled(REQUESTQ)).isFalse();

        assertThat(
                        d.device
                                .handover()
                                .give(
                                        REQUESTQ,
                                        Driver.QUEUE_SIZE,
                                        desc,
                                        driver,
                                        used,
                                        taken.getFirst(),
                                        null))
                .isTrue();
        assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
        assertThat(d.answer()).isNull();
    }

    @Test
    void aQueueThatIsBeingTakenIsForgottenByAReset() {
        sendMaps(3);
        List<RingState> taken = new ArrayList<>();
        d.device.handover().take(REQUESTQ, taken::add);

        late.isLate = false;
        d.device.writeStatus(0);
        d.start(d.type.features());
        while (!late.owed.isEmpty()) {
            late.owed.remove().ok();
        }
        d.turn();

        assertThat(taken).isEmpty();
        assertThat(d.status(attach(1, 7, 0))).as("it is not held").isEqualTo(S_OK);
    }

    @Test
    void whatIsNoQueueIsNotGiven() {
        late.isLate = false;
        long desc = d.device.queueDesc(REQUESTQ);
        long driver = d.device.queueDriver(REQUESTQ);
        long used = d.device.queueDevice(REQUESTQ);
        RingState start = SplitState.at(0);
        int size = Driver.QUEUE_SIZE;
        long refused = d.device.refusedWrites();

        assertThat(d.device.handover().give(REQUESTQ, size, desc, driver, used, start, null))
                .isFalse();
        d.device.handover().take(REQUESTQ, _ -> {});
        assertThat(d.device.handover().give(2, size, desc, driver, used, start, null)).isFalse();
        assertThat(d.device.handover().give(REQUESTQ, 3, desc, driver, used, start, null))
                .isFalse();
        assertThat(d.device.handover().give(REQUESTQ, size, desc + 1, driver, used, start, null))
                .isFalse();
        RingState packed = PackedState.at(0, true);
        assertThat(d.device.handover().give(REQUESTQ, size, desc, driver, used, packed, null))
                .isFalse();
        RingState nowhere = SplitState.at(0x10000);
        assertThat(d.device.handover().give(REQUESTQ, size, desc, driver, used, nowhere, null))
                .isFalse();
        assertThat(d.device.refusedWrites()).isEqualTo(refused + 6);
        d.device.writeStatus(0);
        assertThat(d.device.handover().give(REQUESTQ, size, desc, driver, used, start, null))
                .isFalse();
    }

    @Test
    void aMachineResetIsSettledWhenTheListenerHasAnsweredIt() {
        boolean[] isSettled = {false};

        d.device.systemReset();
        d.device.whenSettled(() -> isSettled[0] = true);

        assertThat(isSettled[0]).isFalse();
        while (!late.owed.isEmpty()) {
            late.owed.remove().ok();
        }
        assertThat(isSettled[0]).isTrue();
    }

    @Test
    void aSecondResetDoesNotForgetWhoWaitsForTheFirst() {
        int[] settled = {0};
        d.device.systemReset();
        d.device.whenSettled(() -> settled[0]++);
        d.device.systemReset();
        d.device.whenSettled(() -> settled[0]++);

        late.owed.remove().ok(); // of the first, which means nothing any more
        assertThat(settled[0]).isZero();
        while (!late.owed.isEmpty()) {
            late.owed.remove().ok();
        }
        assertThat(settled[0]).isEqualTo(2);
    }

    @Test
    void bypassIsSettledWhenTheListenerHasAnsweredIt() {
        late.isLate = false;
        d.device.writeStatus(0);
        d.start(d.type.features());
        late.isLate = true;
        long before = d.device.readConfig(CONFIG_BYPASS, 1);
        boolean[] isSettled = {false};

        d.device.writeConfig(CONFIG_BYPASS, 1, 1 - before);
        d.device.whenSettled(() -> isSettled[0] = true);

        assertThat(isSettled[0]).isFalse();
        assertThat(late.owed).hasSize(1);
        late.owed.remove().ok();
        assertThat(isSettled[0]).isTrue();
    }

    @Test
    void whatTheDriverResetsHoldsUpNoWriteOfItsOwn() {
        boolean[] isSettled = {false};

        d.device.writeStatus(0);
        d.device.whenSettled(() -> isSettled[0] = true);

        assertThat(isSettled[0]).as("it looks at the status").isTrue();
        assertThat(d.device.status()).isNotZero();
    }

    @Test
    void theDriverSeesAResetWhenTheListenerHasAnsweredIt() {
        d.device.writeStatus(0);

        assertThat(d.device.status()).isNotZero();
        d.device.writeStatus(Virtio.STATUS_ACKNOWLEDGE | Virtio.STATUS_DRIVER);
        assertThat(d.device.refusedWrites()).isEqualTo(1);
        assertThat(late.owed).hasSize(1);
        late.isLate = false;
        late.owed.remove().ok();
        assertThat(d.device.status()).isZero();
        d.start(d.type.features());
        assertThat(d.status(attach(1, 7, 0))).isEqualTo(S_OK);
    }
}
