// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.spec.VirtioBlk.CONFIG_MAX_DISCARD_SECTORS;
import static org.ioasis.spec.VirtioBlk.F_DISCARD;
import static org.ioasis.spec.VirtioBlk.F_FLUSH;
import static org.ioasis.spec.VirtioBlk.F_WRITE_ZEROES;
import static org.ioasis.spec.VirtioBlk.SEGMENT_FLAG_UNMAP;
import static org.ioasis.spec.VirtioBlk.S_IOERR;
import static org.ioasis.spec.VirtioBlk.S_OK;
import static org.ioasis.spec.VirtioBlk.S_UNSUPP;
import static org.ioasis.spec.VirtioBlk.T_DISCARD;
import static org.ioasis.spec.VirtioBlk.T_FLUSH;
import static org.ioasis.spec.VirtioBlk.T_IN;
import static org.ioasis.spec.VirtioBlk.T_WRITE_ZEROES;

import java.util.Arrays;
import org.ioasis.memory.Outcome;
import org.ioasis.virtqueue.MockDriver.Used;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** DISCARD and WRITE_ZEROES: virtio 1.4, 5.2.6. */
class VirtioBlkEraseTest {
    private static final int SECTORS = 256;
    private static final BlkSettings SETTINGS =
            BlkRig.settings().serial("disk").erasing(new BlkErasing(4, 64, 2, 32)).build();

    private final BlkRig rig = rig(SETTINGS, false);
    private final byte[] before = rig.store.content.clone();

    private static BlkRig rig(BlkSettings settings, boolean isReadOnly) {
        BlkRig made = new BlkRig(settings, SECTORS * 512, isReadOnly);
        made.start();
        return made;
    }

    private void assertUntouched() {
        assertThat(rig.store.content).isEqualTo(before);
        assertThat(rig.store.discards + rig.store.zeroes).isZero();
    }

    private byte[] without(int sector, int sectors) {
        byte[] expected = before.clone();
        Arrays.fill(expected, sector * 512, (sector + sectors) * 512, (byte) 0);
        return expected;
    }

    // --- what is refused

    @Test
    void unknownFlagsAreUnsupportedAndNothingIsErased() {
        for (int flags : new int[] {2, 3, 4, 1 << 31, -1}) {
            assertThat(rig.erase(T_DISCARD, 0, 1, flags)).isEqualTo(S_UNSUPP);
            assertThat(rig.erase(T_WRITE_ZEROES, 0, 1, flags)).isEqualTo(S_UNSUPP);
        }
        assertThat(rig.erase(T_DISCARD, 0, 1, SEGMENT_FLAG_UNMAP)).isEqualTo(S_UNSUPP);
        assertUntouched();
        assertThat(rig.blk.counters().discards()).isEqualTo(new BlkCounters.Answers(0, 0, 6));
        assertThat(rig.blk.counters().zeroes()).isEqualTo(new BlkCounters.Answers(0, 0, 5));
    }

    @ParameterizedTest
    @ValueSource(ints = {T_DISCARD, T_WRITE_ZEROES})
    void flagsOfALaterSegmentCountBeforeAnythingIsErased(int type) {
        rig.segment(0, 0, 0, 1, 0);
        rig.segment(0, 1, 1, 1, 2);
        assertThat(rig.request(type, 0, 32)).isEqualTo(S_UNSUPP);
        // Also where an earlier one is out of range: the flags say that we may not understand it.
        rig.segment(0, 0, SECTORS, 1, 0);
        assertThat(rig.request(type, 0, 32)).isEqualTo(S_UNSUPP);
        assertUntouched();
    }

    @ParameterizedTest
    @ValueSource(ints = {T_DISCARD, T_WRITE_ZEROES})
    void rangesOutsideTheDiskAreRefused(int type) {
        assertThat(rig.erase(type, SECTORS, 1, 0)).isEqualTo(S_IOERR);
        assertThat(rig.erase(type, SECTORS - 1, 2, 0)).isEqualTo(S_IOERR);
        assertThat(rig.erase(type, -1L, 2, 0)).isEqualTo(S_IOERR);
        assertThat(rig.erase(type, Long.MIN_VALUE, 1, 0)).isEqualTo(S_IOERR);
        assertThat(rig.erase(type, 0, 0xffff_ffffL, 0)).isEqualTo(S_IOERR);
        rig.segment(0, 0, 0, 1, 0);
        rig.segment(0, 1, SECTORS, 1, 0);
        assertThat(rig.request(type, 0, 32)).isEqualTo(S_IOERR);
        assertUntouched();
        assertThat(rig.erase(type, SECTORS - 1, 1, 0)).isEqualTo(S_OK);
        assertThat(rig.erase(type, SECTORS, 0, 0)).as("nothing, at the end").isEqualTo(S_OK);
        assertThat(rig.store.content).isEqualTo(without(SECTORS - 1, 1));
    }

    @Test
    void moreSectorsThanTheLimitAreRefused() {
        assertThat(rig.erase(T_DISCARD, 0, 65, 0)).isEqualTo(S_IOERR);
        assertThat(rig.erase(T_WRITE_ZEROES, 0, 33, 0)).isEqualTo(S_IOERR);
        assertUntouched();
        assertThat(rig.erase(T_DISCARD, 0, 64, 0)).isEqualTo(S_OK);
        assertThat(rig.erase(T_WRITE_ZEROES, 64, 32, 0)).isEqualTo(S_OK);
        assertThat(rig.store.content).isEqualTo(without(0, 96));
    }

    @Test
    void moreSegmentsThanTheLimitAreRefused() {
        for (int i = 0; i < 5; i++) {
            rig.segment(0, i, i, 1, 0);
        }
        assertThat(rig.request(T_DISCARD, 0, 5 * 16)).isEqualTo(S_IOERR);
        assertThat(rig.request(T_WRITE_ZEROES, 0, 3 * 16)).isEqualTo(S_IOERR);
        assertUntouched();
        assertThat(rig.request(T_DISCARD, 0, 4 * 16)).isEqualTo(S_OK);
        assertThat(rig.store.discards).isEqualTo(4);
        assertThat(rig.request(T_WRITE_ZEROES, 0, 2 * 16)).isEqualTo(S_OK);
        assertThat(rig.store.zeroes).isEqualTo(2);
    }

    @ParameterizedTest
    @ValueSource(ints = {T_DISCARD, T_WRITE_ZEROES})
    void dataThatIsNoWholeNumberOfSegmentsIsRefused(int type) {
        rig.segment(0, 0, 0, 1, 0);
        for (int length : new int[] {0, 1, 15, 17, 31}) {
            assertThat(rig.request(type, 0, length)).as("%d bytes", length).isEqualTo(S_IOERR);
        }
        assertUntouched();
    }

    @Test
    void readOnlyDiskOffersNeitherAndRefusesBoth() {
        BlkRig readOnly = rig(SETTINGS, true);
        assertThat(readOnly.device.deviceFeatures() & (F_DISCARD | F_WRITE_ZEROES)).isZero();
        assertThat(readOnly.erase(T_DISCARD, 0, 1, 0)).isEqualTo(S_IOERR);
        assertThat(readOnly.erase(T_WRITE_ZEROES, 0, 1, 0)).isEqualTo(S_IOERR);
        assertThat(readOnly.store.content).isEqualTo(before);
        assertThat(readOnly.device.readConfig(36, 8)).isZero();
        assertThat(readOnly.device.readConfig(48, 8)).isZero();
    }

    @Test
    void whatWasNotNegotiatedIsUnsupported() {
        rig.start(rig.device.deviceFeatures() & ~F_DISCARD);
        assertThat(rig.erase(T_DISCARD, 0, 1, 0)).isEqualTo(S_UNSUPP);
        assertUntouched();
        assertThat(rig.erase(T_WRITE_ZEROES, 0, 1, 0)).isEqualTo(S_OK);
        rig.start(rig.device.deviceFeatures() & ~F_WRITE_ZEROES);
        assertThat(rig.erase(T_WRITE_ZEROES, 1, 1, 0)).isEqualTo(S_UNSUPP);
        assertThat(rig.store.content).isEqualTo(without(0, 1));
    }

    @ParameterizedTest
    @ValueSource(ints = {T_DISCARD, T_WRITE_ZEROES})
    void errorOfTheStoreIsAnErrorOfTheRequest(int type) {
        rig.store.fails = true;
        assertThat(rig.erase(type, 0, 1, 0)).isEqualTo(S_IOERR);
        rig.store.fails = false;
        assertThat(rig.erase(type, 0, 1, 0)).isEqualTo(S_OK);
    }

    @ParameterizedTest
    @ValueSource(ints = {T_DISCARD, T_WRITE_ZEROES})
    void segmentsThatMayNotBeReadEraseNothing(int type) {
        for (Outcome outcome : new Outcome[] {Outcome.FAULT, Outcome.REFUSED}) {
            rig.dma.trap(BlkRig.slot(0) + 512, BlkRig.slot(0) + 527, outcome);
            assertThat(rig.request(type, 0, 16)).isEqualTo(S_IOERR);
            rig.dma.clearTraps();
        }
        assertUntouched();
    }

    @ParameterizedTest
    @ValueSource(ints = {T_DISCARD, T_WRITE_ZEROES})
    void segmentsInAbsentMemoryAreWaitedFor(int type) {
        rig.segment(0, 0, 3, 2, 0);
        rig.dma.trap(BlkRig.slot(0) + 512, BlkRig.slot(0) + 527, Outcome.ABSENT);
        int head = rig.add(0, type, 0, 16);
        rig.expose();
        rig.settle();
        assertThat(rig.driver().poll()).isNull();
        assertUntouched();
        rig.dma.clearTraps();
        rig.device.memoryChanged();
        rig.settle();
        assertThat(rig.driver().poll()).isEqualTo(new Used(head, 1));
        assertThat(rig.store.content).isEqualTo(without(3, 2));
    }

    @Test
    void segmentsThatChangeAfterTheyWereReadDoNotMatter() {
        rig.segment(0, 0, 3, 2, 0);
        rig.add(0, T_DISCARD, 0, 16);
        rig.expose();
        rig.segment(0, 0, 100, 50, 0);
        rig.settle();
        assertThat(rig.store.content).isEqualTo(without(3, 2));
    }

    @Test
    void limitsOutOfRangeAreOurOwnMistake() {
        int[][] bad = {{-1, 8, 1, 8}, {257, 8, 1, 8}, {1, 8, 0, 8}, {1, 0, 1, 8}, {1, 8, 1, 9}};
        for (int[] b : bad) {
            assertThatThrownBy(() -> new BlkErasing(b[0], b[1], b[2], b[3]))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }

    @Test
    void discardThatIsNotOfferedIsUnknownAndWriteZeroesIsNot() {
        BlkSettings settings =
                BlkRig.settings().serial("disk").erasing(BlkErasing.NO_DISCARD).build();
        BlkRig without = new BlkRig(settings, 64 * 512, false);
        without.start();
        byte[] before = without.store.content.clone();

        assertThat(without.device.deviceFeatures() & (F_DISCARD | F_WRITE_ZEROES))
                .isEqualTo(F_WRITE_ZEROES);
        assertThat(without.blk.readConfig(CONFIG_MAX_DISCARD_SECTORS, 4)).isZero();
        assertThat(without.erase(T_DISCARD, 5, 3, 0)).isEqualTo(S_UNSUPP);
        assertThat(without.store.content).isEqualTo(before);
        assertThat(without.erase(T_WRITE_ZEROES, 5, 3, 0)).isEqualTo(S_OK);
    }

    // --- what is done

    @Test
    void zeroesAreReadBackWhateverUnmapSays() {
        assertThat(rig.erase(T_WRITE_ZEROES, 5, 3, 0)).isEqualTo(S_OK);
        assertThat(rig.store.deallocations).isZero();
        assertThat(rig.erase(T_WRITE_ZEROES, 20, 3, SEGMENT_FLAG_UNMAP)).isEqualTo(S_OK);
        assertThat(rig.store.deallocations).isEqualTo(1);
        byte[] expected = without(5, 3);
        Arrays.fill(expected, 20 * 512, 23 * 512, (byte) 0);
        assertThat(rig.store.content).isEqualTo(expected);
        assertThat(rig.request(T_IN, 5, 3 * 512)).isEqualTo(S_OK);
        assertThat(rig.dataBytes(0, 3 * 512)).containsOnly(0);
    }

    @Test
    void severalSegmentsAreAllErased() {
        rig.segment(0, 0, 5, 1, 0);
        rig.segment(0, 1, 0, 0, 0);
        rig.segment(0, 2, 100, 10, 0);
        assertThat(rig.request(T_DISCARD, 0, 48)).isEqualTo(S_OK);
        byte[] expected = without(5, 1);
        Arrays.fill(expected, 100 * 512, 110 * 512, (byte) 0);
        assertThat(rig.store.content).isEqualTo(expected);
        assertThat(rig.store.discards).as("nothing is no call").isEqualTo(2);
    }

    @ParameterizedTest
    @ValueSource(ints = {T_DISCARD, T_WRITE_ZEROES})
    void withoutFlushNegotiatedErasingIsStableWhenAnswered(int type) {
        rig.start(rig.device.deviceFeatures() & ~F_FLUSH);
        assertThat(rig.erase(type, 5, 3, 0)).isEqualTo(S_OK);
        assertThat(rig.store.flushes).isEqualTo(1);
        assertThat(rig.store.stable).isEqualTo(without(5, 3));
        assertThat(rig.request(T_FLUSH, 0, 0)).isEqualTo(S_OK);
    }

    @Test
    void configurationHasTheLimits() {
        assertThat(rig.device.readConfig(36, 4)).isEqualTo(64);
        assertThat(rig.device.readConfig(40, 4)).isEqualTo(4);
        assertThat(rig.device.readConfig(44, 4)).isEqualTo(1);
        assertThat(rig.device.readConfig(48, 4)).isEqualTo(32);
        assertThat(rig.device.readConfig(52, 4)).isEqualTo(2);
        assertThat(rig.device.readConfig(56, 4)).isEqualTo(1);
        assertThat(rig.device.configSize()).isEqualTo(60);
    }

    @Test
    void smallBounceBufferOffersFewerSegments() {
        BlkErasing many = new BlkErasing(256, 8, 256, 8);
        BlkRig small =
                rig(
                        BlkSettings.builder()
                                .queueSizeMax(64)
                                .requestLimit(1)
                                .chunkBytes(512)
                                .erasing(many)
                                .build(),
                        false);
        assertThat(small.device.readConfig(40, 4)).isEqualTo(32);
        for (int i = 0; i < 33; i++) {
            small.segment(0, i, 0, 1, 0);
        }
        assertThat(small.request(T_DISCARD, 0, 33 * 16)).isEqualTo(S_IOERR);
        assertThat(small.request(T_DISCARD, 0, 32 * 16)).isEqualTo(S_OK);
    }
}
