// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.spec.VirtioBlk.F_FLUSH;
import static org.ioasis.spec.VirtioBlk.F_RO;
import static org.ioasis.spec.VirtioBlk.S_IOERR;
import static org.ioasis.spec.VirtioBlk.S_OK;
import static org.ioasis.spec.VirtioBlk.S_UNSUPP;
import static org.ioasis.spec.VirtioBlk.T_FLUSH;
import static org.ioasis.spec.VirtioBlk.T_GET_ID;
import static org.ioasis.spec.VirtioBlk.T_IN;
import static org.ioasis.spec.VirtioBlk.T_OUT;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.RejectedExecutionException;
import org.ioasis.memory.Access;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.SplitRing;
import org.ioasis.virtio.VirtioDevice;
import org.ioasis.virtqueue.Allocation;
import org.ioasis.virtqueue.BrokenReason;
import org.ioasis.virtqueue.MockDriver.Buffer;
import org.ioasis.virtqueue.MockDriver.Layout;
import org.ioasis.virtqueue.MockDriver.Used;
import org.junit.jupiter.api.Test;

/** The block device request by request: virtio 1.4, 5.2. */
class VirtioBlkTest {
    private static final int SECTORS = 64;
    private static final long UNMAPPED = 0x8000_0000L;

    private final BlkRig rig = BlkRig.small();

    // --- requests that are refused

    @Test
    void requestsBeyondTheCapacityAreRefused() {
        byte[] before = rig.store.content.clone();
        for (int type : new int[] {T_IN, T_OUT}) {
            assertThat(rig.request(type, SECTORS, 512)).isEqualTo(S_IOERR);
            assertThat(rig.request(type, SECTORS - 1, 1024)).isEqualTo(S_IOERR);
            assertThat(rig.request(type, -1L, 512)).isEqualTo(S_IOERR);
            assertThat(rig.request(type, Long.MIN_VALUE, 512)).isEqualTo(S_IOERR);
            assertThat(rig.request(type, 1L << 55, 512)).isEqualTo(S_IOERR);
            assertThat(rig.request(type, SECTORS + 1, 0)).isEqualTo(S_IOERR);
            assertThat(rig.request(type, SECTORS - 1, 512)).isEqualTo(S_OK);
            assertThat(rig.request(type, SECTORS, 0)).isEqualTo(S_OK);
        }
        assertThat(Arrays.mismatch(before, 0, 63 * 512, rig.store.content, 0, 63 * 512))
                .isEqualTo(-1);
        assertThat(rig.blk.counters().reads()).isEqualTo(new BlkCounters.Answers(2, 6, 0));
        assertThat(rig.blk.counters().writes()).isEqualTo(new BlkCounters.Answers(2, 6, 0));
        assertThat(rig.store.reads).isEqualTo(1);
        assertThat(rig.store.writes).isEqualTo(1);
    }

    @Test
    void lengthsThatAreNoMultipleOfASectorAreRefused() {
        assertThat(rig.request(T_IN, 0, 511)).isEqualTo(S_IOERR);
        assertThat(rig.request(T_IN, 0, 513)).isEqualTo(S_IOERR);
        assertThat(rig.request(T_OUT, 0, 1)).isEqualTo(S_IOERR);
        assertThat(rig.store.reads + rig.store.writes).isZero();
    }

    @Test
    void writesToAReadOnlyDiskAreRefused() {
        BlkRig readOnly = new BlkRig(BlkRig.settings().serial("ro").build(), SECTORS * 512, true);
        readOnly.start();
        assertThat(readOnly.device.deviceFeatures() & F_RO).isNotZero();
        assertThat(rig.device.deviceFeatures() & F_RO).isZero();
        assertThat(readOnly.request(T_OUT, 0, 512)).isEqualTo(S_IOERR);
        assertThat(readOnly.store.writes).isZero();
        assertThat(readOnly.request(T_IN, 0, 512)).isEqualTo(S_OK);
        assertThat(readOnly.request(T_FLUSH, 0, 0)).isEqualTo(S_OK);
    }

    @Test
    void typesThatAreNotOfferedAreUnsupported() {
        for (int type : new int[] {2, 3, 5, 9, 10, 12, 14, 15, 16, 26, -1}) {
            assertThat(rig.request(type, 0, 512)).isEqualTo(S_UNSUPP);
        }
        assertThat(rig.blk.counters().others().unsupported()).isEqualTo(11);
    }

    @Test
    void aHeaderThatIsTooShortIsAnError() {
        rig.header(0, T_IN, 0);
        rig.driver()
                .add(
                        Layout.DIRECT,
                        List.of(
                                new Buffer(BlkRig.slot(0), 15, false),
                                new Buffer(BlkRig.slot(0) + 32, 1, true)));
        rig.expose();
        assertThat(rig.status(0)).isEqualTo(S_IOERR);
        assertThat(rig.blk.counters().others().ioErrors()).isEqualTo(1);
    }

    @Test
    void aChainWithoutRoomForAStatusComesBackEmpty() {
        rig.header(0, T_OUT, 0);
        int head = rig.driver().add(Layout.DIRECT, List.of(new Buffer(BlkRig.slot(0), 528, false)));
        rig.expose();
        rig.settle();
        assertThat(rig.driver().poll()).isEqualTo(new Used(head, 0));
        assertThat(rig.blk.counters().malformed()).isEqualTo(1);
        assertThat(rig.store.writes).isZero();
        assertThat(rig.request(T_IN, 0, 512)).isEqualTo(S_OK);
    }

    @Test
    void anErrorOfTheStoreIsAnErrorOfTheRequest() {
        rig.store.fails = true;
        byte[] before = rig.dataBytes(0, 512);
        assertThat(rig.request(T_IN, 0, 512)).isEqualTo(S_IOERR);
        assertThat(rig.dataBytes(0, 512)).isEqualTo(before);
        assertThat(rig.request(T_OUT, 0, 512)).isEqualTo(S_IOERR);
        assertThat(rig.request(T_FLUSH, 0, 0)).isEqualTo(S_IOERR);
        rig.store.fails = false;
        assertThat(rig.request(T_IN, 0, 512)).isEqualTo(S_OK);
    }

    @Test
    void aFullDiskIsAnErrorAndNothingIsAcknowledgedThatIsNotWritten() {
        rig.store.room = 512;
        rig.data(0, 1024).fill((byte) 7);
        assertThat(rig.request(T_OUT, 4, 1024)).isEqualTo(S_IOERR);
        assertThat(rig.request(T_OUT, 8, 512)).isEqualTo(S_IOERR);
        assertThat(rig.blk.counters().writes()).isEqualTo(new BlkCounters.Answers(0, 2, 0));
        assertThat(rig.blk.counters().bytesWritten()).isZero();
        assertThat(rig.request(T_IN, 8, 512)).isEqualTo(S_OK);
        rig.store.room = Long.MAX_VALUE;
        assertThat(rig.request(T_OUT, 8, 512)).isEqualTo(S_OK);
    }

    @Test
    void aFlushThatFailedFailsForGoodAlsoAfterAReset() {
        rig.store.flushFails = true;
        assertThat(rig.request(T_OUT, 0, 512)).isEqualTo(S_OK);
        assertThat(rig.request(T_FLUSH, 0, 0)).isEqualTo(S_IOERR);
        rig.store.flushFails = false;
        assertThat(rig.request(T_FLUSH, 0, 0)).isEqualTo(S_IOERR);
        rig.start(rig.device.deviceFeatures() & ~F_FLUSH);
        assertThat(rig.request(T_OUT, 0, 512)).as("written through").isEqualTo(S_IOERR);
        assertThat(rig.store.flushes).isZero();
        assertThat(rig.request(T_IN, 0, 512)).isEqualTo(S_OK);
    }

    @Test
    void aWriteThroughWhoseFlushFailsIsAnError() {
        rig.start(rig.device.deviceFeatures() & ~F_FLUSH);
        rig.store.flushFails = true;
        assertThat(rig.request(T_OUT, 0, 512)).isEqualTo(S_IOERR);
        assertThat(rig.blk.counters().writes()).isEqualTo(new BlkCounters.Answers(0, 1, 0));
    }

    @Test
    void aFlushIsNotAnsweredBeforeTheStoreHasFlushed() {
        rig.data(0, 512).fill((byte) 1);
        assertThat(rig.request(T_OUT, 0, 512)).isEqualTo(S_OK);
        rig.add(0, T_FLUSH, 0, 0);
        rig.expose();
        rig.runLoop();
        assertThat(rig.status(0)).isEqualTo(BlkRig.NO_STATUS);
        assertThat(rig.driver().poll()).isNull();
        assertThat(rig.store.flushes).isZero();
        rig.settle();
        assertThat(rig.status(0)).isEqualTo(S_OK);
        assertThat(rig.store.stable).isEqualTo(rig.store.content);
    }

    @Test
    void whatTheIoExecutorRejectsIsAnError() {
        BlkRig full =
                new BlkRig(
                        BlkRig.settings().build(),
                        4096,
                        false,
                        _ -> {
                            throw new RejectedExecutionException("full");
                        });
        full.start();
        full.add(0, T_IN, 0, 512);
        full.add(1, T_OUT, 0, 512);
        full.expose();
        assertThat(full.status(0)).isEqualTo(S_IOERR);
        assertThat(full.status(1)).isEqualTo(S_IOERR);
        assertThat(full.queueInterrupts).isEqualTo(1);
    }

    @Test
    void aBrokenRingNeedsAReset() {
        rig.driver().availIdx(65);
        rig.device.kick(0);
        assertThat(rig.device.brokenReason()).isEqualTo(BrokenReason.AVAIL_TOO_FAR);
        assertThat(rig.configInterrupts).isEqualTo(1);
        rig.start();
        assertThat(rig.request(T_IN, 0, 512)).isEqualTo(S_OK);
    }

    // --- what is done

    @Test
    void readGivesWhatTheStoreHas() {
        assertThat(rig.request(T_IN, 3, 1024)).isEqualTo(S_OK);
        assertThat(rig.dataBytes(0, 1024))
                .isEqualTo(Arrays.copyOfRange(rig.store.content, 3 * 512, 5 * 512));
        assertThat(rig.blk.counters().bytesRead()).isEqualTo(1024);
    }

    @Test
    void writeChangesExactlyItsSectors() {
        byte[] expected = rig.store.content.clone();
        rig.data(0, 1024).fill((byte) 0x5a);
        Arrays.fill(expected, 7 * 512, 9 * 512, (byte) 0x5a);
        assertThat(rig.request(T_OUT, 7, 1024)).isEqualTo(S_OK);
        assertThat(rig.store.content).isEqualTo(expected);
        assertThat(rig.blk.counters().bytesWritten()).isEqualTo(1024);
    }

    @Test
    void usedLengthsCountWhatWasWrittenWithoutAGap() {
        int[][] cases = {
            {T_IN, 0, 1024, 1025},
            {T_OUT, 0, 1024, 1},
            {T_FLUSH, 0, 0, 1},
            {T_IN, SECTORS, 1024, 0},
            {T_GET_ID, 0, 20, 21},
            {T_GET_ID, 0, 7, 8},
            {T_GET_ID, 0, 100, 20},
            {99, 0, 0, 1},
        };
        for (int[] c : cases) {
            rig.add(0, c[0], c[1], c[2]);
            rig.expose();
            rig.settle();
            Used used = rig.driver().poll();
            assertThat(used).isNotNull().extracting(Used::written).isEqualTo((long) c[3]);
        }
    }

    @Test
    void theIdIsPaddedAndCut() {
        assertThat(rig.request(T_GET_ID, 0, 20)).isEqualTo(S_OK);
        byte[] expected = Arrays.copyOf("disk".getBytes(StandardCharsets.US_ASCII), 20);
        assertThat(rig.dataBytes(0, 20)).isEqualTo(expected);
        rig.data(0, 20).fill((byte) 1);
        assertThat(rig.request(T_GET_ID, 0, 3)).isEqualTo(S_OK);
        assertThat(rig.dataBytes(0, 4)).containsExactly('d', 'i', 's', 1);
        assertThat(rig.request(T_GET_ID, 0, 0)).isEqualTo(S_OK);
    }

    @Test
    void anyLayoutOfDescriptorsWorks() {
        long s = BlkRig.slot(0);
        List<List<Buffer>> layouts =
                List.of(
                        // Header in three parts, status in one descriptor with the data.
                        List.of(
                                new Buffer(s, 1, false),
                                new Buffer(s + 1, 0, false),
                                new Buffer(s + 1, 10, false),
                                new Buffer(s + 11, 5, false),
                                new Buffer(s + 512, 513, true)),
                        // Data in uneven parts, status at the end of the last.
                        List.of(
                                new Buffer(s, 16, false),
                                new Buffer(s + 512, 1, true),
                                new Buffer(s + 513, 510, true),
                                new Buffer(s + 1023, 2, true)));
        for (List<Buffer> buffers : layouts) {
            for (Layout layout : Layout.values()) {
                rig.data(0, 513).fill((byte) 0xee);
                rig.header(0, T_IN, 5);
                rig.driver().add(layout, buffers);
                rig.expose();
                rig.settle();
                assertThat(rig.driver().poll()).isNotNull();
                assertThat(rig.dataBytes(0, 512))
                        .isEqualTo(Arrays.copyOfRange(rig.store.content, 5 * 512, 6 * 512));
                assertThat(rig.data(0, 513).get(JAVA_BYTE, 512)).isEqualTo((byte) S_OK);
            }
        }
        // A write whose header and data are one descriptor.
        rig.header(0, T_OUT, 5);
        rig.driver()
                .add(
                        Layout.INDIRECT,
                        List.of(new Buffer(s, 16 + 512, false), new Buffer(s + 600, 1, true)));
        byte[] expected = rig.dma.memory(s + 16, 512).toArray(JAVA_BYTE);
        rig.expose();
        rig.settle();
        assertThat(Arrays.copyOfRange(rig.store.content, 5 * 512, 6 * 512)).isEqualTo(expected);
    }

    @Test
    void requestsLongerThanABufferAreDonePieceByPiece() {
        int length = 24 * 512;
        assertThat(rig.request(T_IN, 8, length)).isEqualTo(S_OK);
        assertThat(rig.dataBytes(0, length))
                .isEqualTo(Arrays.copyOfRange(rig.store.content, 8 * 512, 32 * 512));
        assertThat(rig.store.reads).isEqualTo(3);
        rig.data(0, length).fill((byte) 9);
        assertThat(rig.request(T_OUT, 30, length)).isEqualTo(S_OK);
        byte[] nines = new byte[length];
        Arrays.fill(nines, (byte) 9);
        assertThat(Arrays.copyOfRange(rig.store.content, 30 * 512, 54 * 512)).isEqualTo(nines);
        assertThat(rig.store.writes).isEqualTo(3);
    }

    @Test
    void anErrorInALaterPieceIsAnErrorOfTheWholeRequest() {
        rig.add(0, T_IN, 0, 8192);
        rig.expose();
        rig.runIo();
        rig.store.fails = true;
        rig.settle();
        assertThat(rig.status(0)).isEqualTo(S_IOERR);
        assertThat(rig.driver().poll()).isEqualTo(new Used(0, 4096));
    }

    @Test
    void flushMakesAnsweredWritesStable() {
        rig.data(0, 512).fill((byte) 1);
        assertThat(rig.request(T_OUT, 0, 512)).isEqualTo(S_OK);
        assertThat(rig.store.flushes).isZero();
        assertThat(rig.request(T_FLUSH, 0, 0)).isEqualTo(S_OK);
        assertThat(rig.store.stable).isEqualTo(rig.store.content);
    }

    @Test
    void withoutFlushNegotiatedEachWriteIsStableWhenAnswered() {
        rig.start(rig.device.deviceFeatures() & ~F_FLUSH);
        rig.data(0, 8192).fill((byte) 1);
        assertThat(rig.request(T_OUT, 0, 8192)).isEqualTo(S_OK);
        assertThat(rig.store.stable).isEqualTo(rig.store.content);
        assertThat(rig.store.flushes).isEqualTo(1);
    }

    @Test
    void theConfigurationHasTheOfferedFields() {
        assertThat(rig.device.readConfig(0, 8)).isEqualTo(SECTORS);
        assertThat(rig.device.readConfig(0, 4)).isEqualTo(SECTORS);
        assertThat(rig.device.readConfig(12, 4)).isEqualTo(62);
        assertThat(rig.device.readConfig(20, 4)).isEqualTo(512);
        assertThat(rig.device.readConfig(21, 1)).isEqualTo(2);
        rig.device.writeConfig(0, 4, 1);
        assertThat(rig.device.readConfig(0, 8)).isEqualTo(SECTORS);
    }

    @Test
    void settingsOutOfRangeAreOurOwnMistake() {
        assertThatThrownBy(() ->
                        BlkSettings.builder()
                                .serial("123456789012345678901")
                                .queueSizeMax(64)
                                .requestLimit(8)
                                .chunkBytes(512)
                                .build())
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() ->
                        BlkSettings.builder()
                                .serial("\u00e4")
                                .queueSizeMax(64)
                                .requestLimit(8)
                                .chunkBytes(512)
                                .build())
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() ->
                        BlkSettings.builder()
                                .queueSizeMax(2048)
                                .requestLimit(8)
                                .chunkBytes(512)
                                .build())
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() ->
                        BlkSettings.builder()
                                .queueSizeMax(2)
                                .requestLimit(8)
                                .chunkBytes(512)
                                .build())
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() ->
                        BlkSettings.builder()
                                .queueSizeMax(64)
                                .requestLimit(0)
                                .chunkBytes(512)
                                .build())
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() ->
                        BlkSettings.builder()
                                .queueSizeMax(64)
                                .requestLimit(8)
                                .chunkBytes(100)
                                .build())
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() ->
                        BlkSettings.builder()
                                .queueSizeMax(64)
                                .requestLimit(8)
                                .chunkBytes(2 << 20)
                                .build())
                .isInstanceOf(IllegalArgumentException.class);
    }

    // --- batches and bounds

    @Test
    void aBatchIsAnsweredWithOneInterrupt() {
        for (int i = 0; i < 6; i++) {
            rig.add(i, T_IN, i, 512);
        }
        rig.expose();
        rig.settle();
        for (int i = 0; i < 6; i++) {
            assertThat(rig.status(i)).isEqualTo(S_OK);
        }
        assertThat(rig.queueInterrupts).isEqualTo(1);
    }

    @Test
    void chainsBeyondTheRequestLimitStayInTheRingAndComeLater() {
        for (int i = 0; i < 20; i++) {
            rig.add(i, T_IN, i, 512);
        }
        rig.expose();
        assertThat(rig.io).hasSize(8);
        assertThat(rig.device.queue(0).inFlight()).isEqualTo(8);
        assertThat(rig.blk.counters().poolExhausted()).isEqualTo(1);
        rig.settle();
        for (int i = 0; i < 20; i++) {
            assertThat(rig.status(i)).isEqualTo(S_OK);
        }
        assertThat(rig.blk.counters().reads().ok()).isEqualTo(20);
        assertThat(rig.device.queue(0).inFlight()).isZero();
    }

    @Test
    void oneSectionDoesNotCopyWithoutBound() {
        BlkRig large =
                new BlkRig(BlkSettings.builder().chunkBytes(32 << 10).build(), 1 << 20, false);
        large.start();
        for (int i = 0; i < 64; i++) {
            large.add(i, T_OUT, 0, 31 << 10);
        }
        large.expose();
        assertThat(large.io).hasSize(64);
        assertThat(large.dma.longestSection()).isLessThan((256 + 64) << 10);
    }

    /**
     * A ring of requests each of which is a section's worth of work that fails: what is longer than
     * a turn.
     */
    private static BlkRig withMoreThanATurn() {
        BlkRig rig = new BlkRig(BlkSettings.builder().build(), 1 << 20, false);
        rig.start();
        rig.header(0, T_OUT, 0);
        List<Buffer> buffers =
                List.of(
                        new Buffer(BlkRig.slot(0), 16, false),
                        new Buffer(UNMAPPED, 256 << 10, false),
                        new Buffer(BlkRig.slot(0) + 32, 1, true));
        for (int i = 0; i < 256; i++) {
            rig.driver().add(Layout.INDIRECT, buffers);
        }
        assertThat(rig.driver().expose()).isTrue();
        return rig;
    }

    @Test
    void kicksWhileWorkIsPutOffPostNoSecondTask() {
        BlkRig rig = withMoreThanATurn();
        for (int kicks = 0; kicks < 10; kicks++) {
            rig.device.kick(0);
        }
        assertThat(rig.loop).hasSize(1);
        rig.settle();
        assertThat(rig.blk.counters().writes()).isEqualTo(new BlkCounters.Answers(0, 256, 0));
    }

    @Test
    void workThatCouldNotBePutOffIsDoneAtTheNextEvent() {
        BlkRig rig = withMoreThanATurn();
        rig.refusesTasks = true;
        rig.device.kick(0);
        long first = rig.blk.counters().writes().ioErrors();
        assertThat(first).isBetween(1L, 255L);
        rig.device.kick(0);
        assertThat(rig.blk.counters().writes().ioErrors()).isGreaterThan(first);

        rig.refusesTasks = false;
        rig.device.kick(0);
        assertThat(rig.loop).hasSize(1);
        rig.settle();
        assertThat(rig.blk.counters().writes().ioErrors()).isEqualTo(256);
    }

    @Test
    void completionThatCouldNotBePostedIsSeenAtTheNextEvent() {
        rig.add(0, T_IN, 0, 512);
        rig.expose();
        rig.refusesTasks = true;
        rig.runIo();
        rig.refusesTasks = false;
        rig.add(1, T_IN, 1, 512);
        rig.expose();
        rig.settle();
        assertThat(rig.status(0)).isEqualTo(S_OK);
        assertThat(rig.status(1)).isEqualTo(S_OK);
    }

    // --- reads that take no waiting

    private static BlkRig cached(int chunkBytes) {
        BlkRig rig =
                new BlkRig(BlkSettings.builder().chunkBytes(chunkBytes).build(), 1 << 20, false);
        rig.start();
        rig.store.isCached = true;
        return rig;
    }

    @Test
    void readThatTakesNoWaitingIsAnsweredInTheTurnThatTookIt() {
        BlkRig rig = cached(4096);
        for (int i = 0; i < 3; i++) {
            rig.add(i, T_IN, 3L * i, 1536);
        }

        rig.expose();

        assertThat(rig.io).isEmpty();
        assertThat(rig.loop).isEmpty();
        for (int i = 0; i < 3; i++) {
            assertThat(rig.status(i)).isEqualTo(S_OK);
            assertThat(rig.dataBytes(i, 1536))
                    .isEqualTo(Arrays.copyOfRange(rig.store.content, i * 1536, (i + 1) * 1536));
        }
        assertThat(rig.queueInterrupts).as("one for all").isEqualTo(1);
        assertThat(rig.blk.counters().cached()).isEqualTo(3);
        assertThat(rig.blk.counters().reads().ok()).isEqualTo(3);
        assertThat(rig.store.reads).isZero();
    }

    @Test
    void whatWouldHaveToWaitOrFailsOrIsNoReadGoesToAnIoThread() {
        BlkRig rig = cached(4096);
        rig.store.isCached = false;
        assertThat(rig.request(T_IN, 0, 512)).isEqualTo(S_OK);
        assertThat(rig.store.reads).isEqualTo(1);

        rig.store.isCached = true;
        rig.store.fails = true;
        assertThat(rig.request(T_IN, 0, 512)).isEqualTo(S_IOERR);
        rig.store.fails = false;
        assertThat(rig.request(T_OUT, 0, 512)).isEqualTo(S_OK);
        assertThat(rig.store.writes).isEqualTo(1);
        assertThat(rig.blk.counters().cached()).isZero();
    }

    @Test
    void readsUpToTheLimitAreTriedOnTheDevicesThreadAndLongerOnesAreNot() {
        BlkRig rig = cached(128 << 10);
        List<Buffer> buffers = new ArrayList<>();
        buffers.add(new Buffer(BlkRig.slot(0), 16, false));
        for (int i = 0; i < 4; i++) {
            buffers.add(new Buffer(BlkRig.slot(1 + i), 16 << 10, true));
        }
        Buffer status = new Buffer(BlkRig.slot(0) + 32, 1, true);
        buffers.add(status);
        rig.header(0, T_IN, 1);
        rig.driver().add(Layout.INDIRECT, buffers);
        rig.expose();
        assertThat(rig.io).isEmpty();
        assertThat(rig.status(0)).isEqualTo(S_OK);
        assertThat(rig.store.cachedReads).isEqualTo(1);

        buffers.removeLast();
        buffers.add(new Buffer(BlkRig.slot(6), 512, true));
        buffers.add(status);
        rig.header(0, T_IN, 1);
        rig.driver().add(Layout.INDIRECT, buffers);
        rig.expose();
        assertThat(rig.io).hasSize(1);
        rig.settle();
        assertThat(rig.status(0)).isEqualTo(S_OK);
        assertThat(rig.store.cachedReads).isEqualTo(1);
        assertThat(rig.store.reads).isEqualTo(1);
        for (int i = 0; i < 4; i++) {
            int at = 512 + i * (16 << 10);
            assertThat(rig.dma.memory(BlkRig.slot(1 + i), 16 << 10).toArray(JAVA_BYTE))
                    .isEqualTo(Arrays.copyOfRange(rig.store.content, at, at + (16 << 10)));
        }
    }

    @Test
    void readsOnTheDevicesThreadHaveTheBoundsOfATurn() {
        BlkRig rig = cached(16 << 10);
        for (int i = 0; i < 200; i++) {
            rig.header(0, T_IN, 0);
            rig.driver().add(Layout.INDIRECT, BlkRig.plain(0, 16 << 10, true));
        }

        rig.expose();

        // Read and copied: of 256 KiB in a section, sixteen in a row.
        assertThat(rig.store.cachedReads).isBetween(64, 128);
        assertThat(rig.blk.counters().work().putOff()).isEqualTo(1);
        assertThat(rig.loop).hasSize(1);
        rig.settle();
        assertThat(rig.store.cachedReads).isEqualTo(200);
        assertThat(rig.blk.counters().reads().ok()).isEqualTo(200);
        assertThat(rig.dma.longestSection()).isLessThan((256 + 64) << 10);
    }

    // --- a device that may do no DMA (COMMAND.MASTER)

    @Test
    void readThatComesBackWhileTheDeviceIsSuspendedWritesNoByteUntilItGoesOn() {
        rig.data(0, 512).fill((byte) 0x11);
        rig.add(0, T_IN, 3, 512);
        rig.expose();
        byte[] before = rig.dma.memory(BlkRig.slot(0), BlkRig.SLOT).toArray(JAVA_BYTE);

        rig.device.suspend();
        rig.settle();

        assertThat(rig.store.reads).as("the I/O itself is over").isEqualTo(1);
        assertThat(rig.dma.memory(BlkRig.slot(0), BlkRig.SLOT).toArray(JAVA_BYTE))
                .isEqualTo(before);
        assertThat(rig.driver().poll()).isNull();
        rig.device.resume();
        rig.settle();
        assertThat(rig.status(0)).isEqualTo(S_OK);
        assertThat(rig.dataBytes(0, 512))
                .isEqualTo(Arrays.copyOfRange(rig.store.content, 3 * 512, 4 * 512));
    }

    // --- absent memory

    @Test
    void aRequestInAbsentMemoryIsKeptAtEveryStepAndDoneWhenItComesBack() {
        long s = BlkRig.slot(0);
        long[][] places = {{s, s + 15}, {s + 512, s + 1023}, {s + 32, s + 32}};
        for (int type : new int[] {T_IN, T_OUT, T_GET_ID}) {
            for (long[] place : places) {
                rig.data(0, 512).fill((byte) (type + 3));
                rig.dma.trap(place[0], place[1], Outcome.ABSENT);
                int head = rig.add(0, type, 1, 512);
                rig.expose();
                rig.settle();
                assertThat(rig.driver().poll()).isNull();
                assertThat(rig.device.needsTick()).isTrue();
                rig.device.memoryChanged();
                rig.settle();
                assertThat(rig.driver().poll()).as("still absent").isNull();
                rig.dma.clearTraps();
                rig.device.memoryChanged();
                rig.settle();
                assertThat(rig.driver().poll()).isNotNull().extracting(Used::head).isEqualTo(head);
                assertThat(rig.status(0)).isEqualTo(S_OK);
                assertThat(rig.device.needsTick()).isFalse();
            }
        }
        assertThat(rig.dma.faults()).isZero();
        assertThat(rig.blk.counters().work().keptAbsent()).isEqualTo(18);
        assertThat(rig.blk.counters().work().faults()).isZero();
    }

    @Test
    void othersGoOnWhileOneIsKept() {
        rig.dma.trap(BlkRig.slot(0), BlkRig.slot(1) - 1, Outcome.ABSENT);
        rig.add(0, T_IN, 0, 512);
        rig.add(1, T_IN, 1, 512);
        rig.expose();
        rig.settle();
        assertThat(rig.status(1)).isEqualTo(S_OK);
        assertThat(rig.status(0)).isEqualTo(BlkRig.NO_STATUS);
        rig.dma.clearTraps();
        rig.device.memoryChanged();
        rig.settle();
        assertThat(rig.status(0)).isEqualTo(S_OK);
    }

    @Test
    void anAbsentRingIsTriedAgain() {
        long[][] rings = {
            {rig.driver().driverAddress(), rig.driver().driverAddress() + 3},
            {rig.driver().descAddress(), rig.driver().descAddress() + 1023},
            {rig.driver().deviceAddress(), rig.driver().deviceAddress() + 3},
        };
        for (long[] ring : rings) {
            rig.add(0, T_IN, 0, 512);
            boolean kick = rig.driver().expose();
            assertThat(kick).isTrue();
            rig.dma.trap(ring[0], ring[1], Outcome.ABSENT);
            rig.device.kick(0);
            rig.settle();
            assertThat(rig.driver().poll()).isNull();
            assertThat(rig.device.needsTick()).isTrue();
            rig.dma.clearTraps();
            rig.device.memoryChanged();
            rig.settle();
            assertThat(rig.driver().poll()).isNotNull();
            assertThat(rig.device.needsTick()).isFalse();
            assertThat(rig.device.brokenReason()).isNull();
        }
    }

    @Test
    void memoryThatDoesNotComeBackBreaksTheDevice() {
        rig.dma.trap(BlkRig.slot(0), BlkRig.slot(0), Outcome.ABSENT);
        rig.add(0, T_IN, 0, 512);
        rig.expose();
        rig.device.tick(1);
        rig.device.memoryChanged();
        rig.device.tick(1 + VirtioDevice.ABSENT_LIMIT_NANOS);
        assertThat(rig.device.brokenReason()).isEqualTo(VirtioDevice.ABSENT_TOO_LONG);
        rig.dma.clearTraps();
        rig.device.memoryChanged();
        rig.settle();
        assertThat(rig.driver().poll()).isNull();
        rig.start();
        assertThat(rig.request(T_IN, 0, 512)).isEqualTo(S_OK);
    }

    // --- faults

    @Test
    void aFaultOnABufferIsAnErrorOfThatRequestAlone() {
        long s = BlkRig.slot(0);
        for (Outcome outcome : List.of(Outcome.FAULT, Outcome.REFUSED)) {
            for (int type : new int[] {T_IN, T_OUT, T_GET_ID}) {
                for (long at : new long[] {s + 8, s + 600}) {
                    if (type == T_GET_ID && at == s + 600) {
                        continue;
                    }
                    rig.dma.trap(at, at, outcome);
                    assertThat(rig.request(type, 0, 512)).isEqualTo(S_IOERR);
                    rig.dma.clearTraps();
                    assertThat(rig.request(type, 0, 512)).isEqualTo(S_OK);
                }
            }
        }
        assertThat(rig.blk.counters().work().faults()).isEqualTo(5);
        assertThat(rig.blk.counters().work().refusals()).isEqualTo(5);
    }

    @Test
    void aFaultOnTheStatusGivesTheChainBackAllTheSame() {
        rig.dma.trap(BlkRig.slot(0) + 32, BlkRig.slot(0) + 32, Outcome.FAULT);
        assertThat(rig.request(T_OUT, 0, 512)).isEqualTo(BlkRig.NO_STATUS);
        assertThat(rig.blk.counters().work().faults()).isEqualTo(1);
        assertThat(rig.device.brokenReason()).isNull();
    }

    @Test
    void aWriteThatMayNotBeReadWritesNothing() {
        byte[] before = rig.store.content.clone();
        rig.dma.trap(BlkRig.slot(0) + 512, BlkRig.slot(0) + 1023, Access.READ, Outcome.FAULT);
        assertThat(rig.request(T_OUT, 0, 512)).isEqualTo(S_IOERR);
        assertThat(rig.store.content).isEqualTo(before);
    }

    @Test
    void aFaultOnARingNeedsAResetAndTellsTheDriver() {
        long avail = rig.driver().driverAddress();
        rig.add(0, T_IN, 0, 512);
        assertThat(rig.driver().expose()).isTrue();
        rig.dma.trap(avail, avail + SplitRing.availBytes(64) - 1, Outcome.FAULT);
        for (int i = 0; i < 10; i++) {
            rig.device.kick(0);
            rig.device.memoryChanged();
        }
        assertThat(rig.dma.faults()).isEqualTo(1);
        assertThat(rig.blk.counters().work().ringFaults()).isEqualTo(1);
        assertThat(rig.device.brokenReason()).isEqualTo(BrokenReason.RING_FAULTED);
        assertThat(rig.configInterrupts).isEqualTo(1);
        assertThat(rig.device.needsTick()).isFalse();
        rig.dma.clearTraps();
        rig.device.kick(0);
        rig.settle();
        assertThat(rig.status(0)).isEqualTo(BlkRig.NO_STATUS);
        rig.start();
        assertThat(rig.request(T_IN, 0, 512)).isEqualTo(S_OK);
    }

    // --- reset

    @Test
    void afterResetNothingOfTheOldLifeReachesGuestMemory() {
        for (int i = 0; i < 20; i++) {
            rig.add(i, i % 2 == 0 ? T_IN : T_OUT, i, 512);
        }
        rig.dma.trap(BlkRig.slot(1), BlkRig.slot(1), Outcome.ABSENT);
        rig.expose();
        rig.dma.clearTraps();
        byte[] memory = rig.dma.memory(BlkRig.DATA, 20L * BlkRig.SLOT).toArray(JAVA_BYTE);
        byte[] rings = rig.dma.memory(BlkRig.BASE, 0x10000).toArray(JAVA_BYTE);
        List<Runnable> some = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            some.add(rig.io.remove());
        }
        some.forEach(Runnable::run);
        rig.device.writeStatus(0);
        int writes = rig.store.writes;
        rig.settle();
        assertThat(rig.dma.memory(BlkRig.DATA, 20L * BlkRig.SLOT).toArray(JAVA_BYTE))
                .isEqualTo(memory);
        assertThat(rig.dma.memory(BlkRig.BASE, 0x10000).toArray(JAVA_BYTE)).isEqualTo(rings);
        assertThat(rig.store.writes).as("writes begun after the reset").isEqualTo(writes);
        assertThat(rig.queueInterrupts).isZero();
        assertThat(rig.blk.counters().work().dropped()).isEqualTo(8);
        rig.start();
        for (int i = 0; i < 20; i++) {
            rig.add(i, T_IN, i, 512);
        }
        rig.expose();
        assertThat(rig.io).as("all buffers are back").hasSize(8);
        rig.settle();
        assertThat(rig.blk.counters().reads().ok()).isEqualTo(20);
    }

    @Test
    void theNextLifeWaitsForIoOfTheLast() {
        rig.data(0, 512).fill((byte) 1);
        rig.add(0, T_OUT, 0, 512);
        rig.expose();
        Runnable old = rig.io.remove();
        rig.start();
        rig.data(1, 512).fill((byte) 2);
        rig.add(1, T_OUT, 0, 512);
        rig.expose();
        assertThat(rig.io).isEmpty();
        old.run();
        rig.settle();
        assertThat(rig.status(1)).isEqualTo(S_OK);
        assertThat(rig.store.content[0]).isEqualTo((byte) 2);
        assertThat(rig.store.content[511]).isEqualTo((byte) 2);
    }

    @Test
    void severalResetsInARowDoNotLoseBuffers() {
        for (int round = 0; round < 5; round++) {
            rig.start();
            for (int i = 0; i < 8; i++) {
                rig.add(i, T_IN, i, 512);
            }
            rig.expose();
        }
        assertThat(rig.io).as("only the first life got to I/O").hasSize(8);
        rig.settle();
        for (int i = 0; i < 8; i++) {
            assertThat(rig.status(i)).isEqualTo(S_OK);
        }
        assertThat(rig.blk.counters().work().dropped()).isEqualTo(8);
        assertThat(rig.blk.counters().reads().ok()).isEqualTo(8);
        rig.device.systemReset();
        rig.start();
        assertThat(rig.request(T_IN, 0, 512)).isEqualTo(S_OK);
    }

    @Test
    void resultsAfterNeedsResetAreNotDelivered() {
        rig.add(0, T_IN, 0, 512);
        rig.expose();
        rig.device.needsReset("test");
        rig.settle();
        assertThat(rig.status(0)).isEqualTo(BlkRig.NO_STATUS);
        assertThat(rig.driver().poll()).isNull();
        rig.start();
        assertThat(rig.request(T_IN, 0, 512)).isEqualTo(S_OK);
    }

    @Test
    void nothingIsAllocatedInSteadyState() {
        rig.add(0, T_OUT, 0, 512);
        rig.expose();
        rig.settle();
        long allocated = new Allocation().leastOf(20, () -> cycle(5_000));
        // A byte per request would be 5,000.
        assertThat(allocated).isLessThan(5_000);
        assertThat(rig.blk.counters().writes().ok()).isEqualTo(100_001);
    }

    /** The same request again and again, without the parts of the rig that allocate. */
    private void cycle(int count) {
        for (int i = 0; i < count; i++) {
            int idx = rig.driver().usedIdx();
            rig.driver().availEntry(idx & 63, 0);
            rig.driver().availIdx(idx + 1);
            rig.device.kick(0);
            rig.settle();
        }
    }
}
