// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VirtioIommu.ATTACH_F_BYPASS;
import static org.ioasis.spec.VirtioIommu.CONFIG_BYPASS;
import static org.ioasis.spec.VirtioIommu.MAP_F_READ;
import static org.ioasis.spec.VirtioIommu.MAP_F_WRITE;
import static org.ioasis.spec.VirtioIommu.S_INVAL;
import static org.ioasis.spec.VirtioIommu.S_NOMEM;
import static org.ioasis.spec.VirtioIommu.S_OK;
import static org.ioasis.spec.VirtioIommu.TAIL_SIZE;
import static org.ioasis.virtio.iommu.Driver.attach;
import static org.ioasis.virtio.iommu.Driver.detach;
import static org.ioasis.virtio.iommu.Driver.map;
import static org.ioasis.virtio.iommu.Driver.probe;
import static org.ioasis.virtio.iommu.Driver.unmap;
import static org.ioasis.virtio.iommu.StateRecords.CAPACITY_MIN;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.ioasis.iommu.DomainListener;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.ReservedWindows;
import org.ioasis.iommu.StateText;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.virtqueue.RingFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A process ends in the midst of its driver's requests, and the next one goes on. */
class KeptStateTest {
    private static final int RW = MAP_F_READ | MAP_F_WRITE;
    private static final IommuOptions ROOMY = Driver.OPTIONS.toBuilder().mappingLimit(4096).build();

    private static Outcome touch(Dma dma, long iova) {
        dma.enter();
        try {
            return dma.resolve(iova, 1, Access.READ);
        } finally {
            dma.leave();
        }
    }

    private static int answer(KeptDriver k) {
        return requireNonNull(k.d.answer()).status();
    }

    // What it is for.

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void whatIsMappedIsReachedAfterTheEndAndWhatIsUnmappedIsNot(RingFormat format) {
        KeptDriver k = new KeptDriver(format);
        k.d.plug(1);
        k.d.plug(2);
        k.d.type.writeConfig(CONFIG_BYPASS, 1, 1);
        k.d.status(attach(1, 7, 0));
        k.d.status(attach(2, 8, ATTACH_F_BYPASS));
        k.d.status(map(7, 0x1000, 0x1fff, Driver.DMA, MAP_F_READ));
        k.d.status(map(7, 0x2000, 0x3fff, Driver.DMA, RW));
        k.d.status(unmap(7, 0x1000, 0x1fff));
        String before = k.state();

        assertThat(k.end()).isNull();
        assertThat(k.state()).isEqualTo(before).contains("bypass=1");
        Dma dma = k.d.dma(1);
        assertThat(touch(dma, 0x2000)).isEqualTo(Outcome.OK);
        assertThat(touch(dma, 0x1000)).isEqualTo(Outcome.FAULT);
        assertThat(k.d.status(map(7, 0x1000, 0x2fff, Driver.DMA, RW))).isEqualTo(S_INVAL);
        assertThat(k.d.status(unmap(7, 0, -1L))).isEqualTo(S_OK);
        assertThat(touch(dma, 0x2000)).isEqualTo(Outcome.FAULT);

        assertThat(k.end()).isNull();
        assertThat(k.d.iommu.mappingCount()).isZero();
        assertThat(k.d.iommu.domainCount()).isEqualTo(2);
    }

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void aRequestThatIsTakenAgainIsAnsweredAsItWasAndNotCarriedOutAgain(RingFormat format) {
        KeptDriver k = new KeptDriver(format);
        k.d.plug(1);
        k.d.plug(2);
        k.d.status(attach(1, 7, 0));
        k.d.status(attach(2, 8, 0));
        k.d.status(map(7, 0x1000, 0x1fff, 0x5000, RW));
        // No answer can be written: all of them are carried out, and in flight at the end.
        k.d.take(Driver.OUT);
        k.d.send(map(7, 0x8000, 0x8fff, 0x5000, RW), TAIL_SIZE);
        k.d.send(map(7, 0x8000, 0x8fff, 0x6000, RW), TAIL_SIZE);
        k.d.send(unmap(7, 0x8000, 0x8fff), TAIL_SIZE);
        k.d.send(map(7, 0x8000, 0x8fff, 0x7000, RW), TAIL_SIZE);
        k.d.send(detach(2, 8), TAIL_SIZE);
        k.d.send(unmap(7, 0x1000, 0x1fff), TAIL_SIZE);
        k.d.kick();
        String before = k.state();
        assertThat(k.d.answer()).isNull();
        assertThat(before).contains("0x8000..0x8fff -> 0x7000").doesNotContain("domain 0x8:");

        for (int ends = 0; ends < 3; ends++) {
            assertThat(k.end()).isNull();
            assertThat(k.state()).as("after end %d", ends).isEqualTo(before);
        }
        k.d.giveBack(Driver.OUT);
        assertThat(List.of(answer(k), answer(k), answer(k), answer(k), answer(k), answer(k)))
                .containsExactly(S_OK, S_INVAL, S_OK, S_OK, S_OK, S_OK);
        assertThat(k.state()).isEqualTo(before);
        // The entries of the log are used again, for requests that nobody has carried out.
        assertThat(k.d.status(map(7, 0x8000, 0x8fff, 0x6000, RW))).isEqualTo(S_INVAL);
        assertThat(k.d.status(detach(2, 8))).isEqualTo(S_INVAL);
        assertThat(k.d.status(unmap(7, 0, -1L))).isEqualTo(S_OK);
        assertThat(k.d.iommu.mappingCount()).isZero();
    }

    @Test
    void aChangeIsWrittenDownBeforeItsAnswerCanBeSeen() {
        KeptDriver k = new KeptDriver(RingFormat.SPLIT);
        k.d.plug(1);
        k.d.status(attach(1, 7, 0));
        long before = count(k.region);
        k.d.take(Driver.OUT);
        k.d.send(map(7, 0x8000, 0x8fff, 0x5000, RW), TAIL_SIZE);
        k.d.kick();

        assertThat(k.d.answer()).isNull();
        assertThat(count(k.region)).isEqualTo(before + 1);
    }

    /** What a guest may do to a chain that is in flight while its device is not there. */
    enum Change {
        NO_ROOM_FOR_AN_ANSWER,
        A_PROBE,
        A_PROBE_WITHOUT_ROOM
    }

    @ParameterizedTest
    @EnumSource(Change.class)
    void aRequestThatIsAnotherOneWhenItIsTakenAgainIsWhatItIsNow(Change change) {
        KeptDriver k = new KeptDriver(RingFormat.SPLIT);
        k.d.plug(1);
        k.d.status(attach(1, 7, 0));
        k.d.take(Driver.OUT);
        int head = k.d.send(map(7, 0x8000, 0x8fff, 0x5000, RW), TAIL_SIZE);
        k.d.kick();
        assertThat(k.d.answer()).isNull();
        if (change != Change.NO_ROOM_FOR_AN_ANSWER) {
            k.becomes(head, probe(1));
        }
        if (change != Change.A_PROBE) {
            k.hasRoom(head, 2);
        }

        assertThat(k.end()).isNull();
        k.d.giveBack(Driver.OUT);
        Driver.Answer answer = requireNonNull(k.d.answer());
        if (change == Change.A_PROBE) {
            assertThat(answer.status()).isEqualTo(S_INVAL);
        } else {
            assertThat(answer.written()).isZero();
        }
        assertThat(k.d.iommu.mappingCount()).isOne();
        assertThat(k.d.status(unmap(7, 0x8000, 0x8fff))).isEqualTo(S_OK);
    }

    @Test
    void aLimitThatWasReachedBeforeHasAReasonOfItsOwn() {
        IommuOptions one = Driver.OPTIONS.toBuilder().mappingLimit(1).build();
        KeptDriver k = new KeptDriver(one, RingFormat.SPLIT, StateRecords.bytes(CAPACITY_MIN));
        k.d.plug(1);
        k.d.status(attach(1, 7, 0));
        k.d.status(map(7, 0x1000, 0x1fff, 0x5000, RW));
        k.d.take(Driver.OUT);
        k.d.send(map(7, 0x8000, 0x8fff, 0x5000, RW), TAIL_SIZE);
        k.d.kick();
        k.d.take(Driver.IN); // not yet
        assertThat(k.end()).isNull();
        List<String> limits = new ArrayList<>();
        k.d.type.onLimit(() -> limits.add(k.d.type.limit()));
        k.d.giveBack(Driver.IN);
        k.d.giveBack(Driver.OUT);

        assertThat(answer(k)).isEqualTo(S_NOMEM);
        assertThat(limits).hasSize(1);
        assertThat(limits.getFirst()).endsWith("NOMEM: as it was answered before this process");
    }

    private static long count(MemorySegment region) {
        long half = region.get(ValueLayout.JAVA_LONG, StateRecords.ACTIVE_AT);
        return region.get(ValueLayout.JAVA_LONG, StateRecords.countAt((int) half));
    }

    @Test
    void aResetLeavesNothingToGoOnWith() {
        KeptDriver k = new KeptDriver(RingFormat.SPLIT);
        k.d.plug(1);
        k.d.status(attach(1, 7, 0));
        k.d.status(map(7, 0x1000, 0x1fff, 0x5000, RW));
        k.d.device.writeStatus(0);
        String reset = k.state();

        Driver next = new Driver(Driver.OPTIONS);
        next.plug(1);
        next.start(next.type.features());
        assertThat(requireNonNull(next.type.keptState()).goOn(k.region, new long[0]))
                .contains("no state was kept");
        assertThat(StateText.of(next.iommu)).isEqualTo(reset).contains("detached");
    }

    @Test
    void theGranuleOfMappingsStaysWhenWhoAskedForItHasLeft() {
        EndpointProperties coarse = new EndpointProperties(0x10000, 0, -1L, ReservedWindows.NONE);
        IommuOptions manyPages = Driver.OPTIONS.toBuilder().pageSizeMask(-0x1000L).build();
        KeptDriver k =
                new KeptDriver(manyPages, RingFormat.SPLIT, StateRecords.bytes(CAPACITY_MIN));
        k.d.plug(1);
        k.d.plug(2, coarse);
        k.d.status(attach(1, 7, 0));
        k.d.status(attach(2, 7, 0));
        k.d.status(map(7, 0x10000, 0x1ffff, 0, RW));
        k.d.status(detach(2, 7));
        String before = k.state();
        assertThat(before).contains("granule 0x10000");

        assertThat(k.end()).isNull();
        assertThat(k.state()).isEqualTo(before);
        k.kept().moveTo(k.region); // all of it written anew
        assertThat(k.end()).isNull();
        assertThat(k.state()).isEqualTo(before);
    }

    // A long life in a short memory.

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void thousandsOfRequestsInLittleMemoryCanEndAnywhere(RingFormat format) {
        KeptDriver k = new KeptDriver(format);
        Random random = new Random(16);
        for (int id = 1; id <= 4; id++) {
            k.d.plug(id);
        }
        long most = 0;
        int ends = 0;
        for (int i = 0; i < 6000; i++) {
            int domain = 1 + random.nextInt(3);
            long first = 0x1000L * random.nextInt(64);
            long last = first + 0x1000L * random.nextInt(4) + 0xfff;
            k.d.send(
                    switch (random.nextInt(20)) {
                        case 0 -> attach(1 + random.nextInt(4), domain, 0);
                        case 1 -> detach(1 + random.nextInt(4), domain);
                        case 2, 3, 4, 5, 6, 7 -> unmap(domain, first, last);
                        default -> map(domain, first, last, first, RW);
                    },
                    TAIL_SIZE);
            if (random.nextInt(5) == 0) {
                k.d.kick();
                while (k.d.answer() != null) {
                    most = Math.max(most, k.d.iommu.mappingCount());
                }
            }
            if (random.nextInt(60) == 0) {
                k.d.kick();
                String before = k.state();
                assertThat(k.end()).isNull();
                assertThat(k.state()).as("end %d", ends).isEqualTo(before);
                ends++;
            }
        }
        assertThat(ends).isPositive();
        assertThat(most).as("mappings").isGreaterThan(20);
        assertThat(k.d.type.lostStates()).isZero();
    }

    @Test
    void aStateThatJustFitsIsKeptAndOneThatDoesNotIsLostUntilItFitsAgain() {
        KeptDriver most = full(0);
        assertThat(most.d.type.lostStates()).isZero();
        String before = most.state();
        assertThat(most.end()).isNull();
        assertThat(most.state()).isEqualTo(before);

        KeptDriver oneMore = full(1);
        assertThat(oneMore.d.type.lostStates()).isOne();
        assertThat(oneMore.end()).contains("more of it than there is room for");
        assertThat(oneMore.d.iommu.domainCount()).isZero();
        assertThat(oneMore.d.iommu.isBypassing()).isFalse();
    }

    /** One whose memory has been full, with so many mappings more than can be written anew. */
    private static KeptDriver full(int more) {
        KeptDriver k = new KeptDriver(ROOMY, RingFormat.SPLIT, StateRecords.bytes(CAPACITY_MIN));
        k.d.plug(1);
        k.d.status(attach(1, 7, 0));
        churn(k);
        k.kept().moveTo(k.region);
        // Now there are bypass, the attachment, and answers; the granule comes with mappings.
        int fitting = CAPACITY_MIN / 2 - (int) count(k.region) - 1;
        assertThat(fitting).isPositive();
        for (int i = 0; i < fitting + more; i++) {
            assertThat(k.d.status(map(7, page(i), page(i) + 0xfff, 0, RW))).isEqualTo(S_OK);
        }
        churn(k);
        return k;
    }

    @Test
    void aStateThatFitsAgainIsKeptAgain() {
        KeptDriver k = new KeptDriver(ROOMY, RingFormat.SPLIT, StateRecords.bytes(CAPACITY_MIN));
        k.d.plug(1);
        k.d.status(attach(1, 7, 0));
        int[] told = new int[1];
        k.d.type.onLostState(() -> told[0]++);
        for (int i = 0; i < CAPACITY_MIN; i++) {
            assertThat(k.d.status(map(7, page(i), page(i) + 0xfff, 0, RW))).isEqualTo(S_OK);
        }
        assertThat(k.d.type.lostStates()).isOne();
        assertThat(told[0]).isOne();
        k.d.status(unmap(7, page(10), -1L));
        String before = k.state();

        assertThat(k.end()).isNull();
        assertThat(k.state()).isEqualTo(before).contains("10 mappings");
    }

    private static long page(int i) {
        return 0x1000L * i;
    }

    /** Enough requests that change nothing in the end for the memory to be full. */
    private static void churn(KeptDriver k) {
        long far = page(1 << 20);
        for (int i = 0; i < CAPACITY_MIN; i++) {
            assertThat(k.d.status(map(7, far, far - 1, 0, RW))).isNotEqualTo(S_OK);
        }
    }

    @Test
    void whatIsHandedOverOnceMoreIsWrittenBesideWhatIsThere() {
        KeptDriver k = new KeptDriver(RingFormat.SPLIT);
        k.d.plug(1);
        k.d.status(attach(1, 7, 0));
        k.d.status(map(7, 0x1000, 0x1fff, 0x5000, RW));
        String before = k.state();
        for (long half = 0; half < 4; half++) {
            assertThat(k.region.get(ValueLayout.JAVA_LONG, StateRecords.ACTIVE_AT))
                    .isEqualTo(half & 1);
            k.kept().moveTo(k.region);
        }

        assertThat(k.end()).isNull();
        assertThat(k.state()).isEqualTo(before);
    }

    @Test
    void bypassThatIsWrittenWithoutEndIsWrittenAnewInTime() {
        KeptDriver k = new KeptDriver(RingFormat.SPLIT);
        for (int i = 0; i <= 2 * CAPACITY_MIN; i++) {
            k.d.type.writeConfig(CONFIG_BYPASS, 1, i & 1);
        }
        assertThat(k.d.type.lostStates()).isZero();
        k.d.type.writeConfig(CONFIG_BYPASS, 1, 1);

        assertThat(k.end()).isNull();
        assertThat(k.state()).contains("bypass=1");
    }

    @Test
    void memoryThatIsTooShortForAnythingIsLeftAlone() {
        KeptDriver k = new KeptDriver(RingFormat.SPLIT);
        MemorySegment few = k.region.asSlice(0, StateRecords.bytes(CAPACITY_MIN) - 8);
        k.kept().begin(few);

        assertThat(k.kept().isWriting()).isFalse();
        assertThat(k.kept().goOn(few, new long[0])).contains("no state was kept");
    }

    @Test
    void writingDownAllocatesNothing() {
        KeptDriver k = new KeptDriver(RingFormat.SPLIT);
        k.d.plug(1);
        k.d.status(attach(1, 7, 0));
        List<byte[]> requests =
                List.of(map(7, 0x1000, 0x1fff, 0x5000, RW), unmap(7, 0x1000, 0x1fff));

        assertThat(k.d.leastAllocation(requests, TAIL_SIZE)).as("bytes for 60 requests").isZero();
    }

    // What is there is not believed.

    @Test
    void eachWordOfWhatIsThereCanBeAnythingAndNothingIsHalfTakenOver() {
        KeptDriver k = new KeptDriver(RingFormat.SPLIT);
        k.d.plug(1);
        k.d.plug(2);
        k.d.status(attach(1, 7, 0));
        k.d.status(attach(2, 8, ATTACH_F_BYPASS));
        k.d.status(map(7, 0x1000, 0x1fff, 0x5000, RW));
        k.d.status(map(7, 0x2000, 0x2fff, 0x5000, RW));
        k.d.status(unmap(7, 0x1000, 0x1fff));
        byte[] good = k.region.toArray(ValueLayout.JAVA_BYTE);
        int words = (int) (StateRecords.HEAD_SIZE + 8 * StateRecords.RECORD_SIZE) / Long.BYTES;
        int refused = 0;
        int taken = 0;
        for (int word = 0; word < words; word++) {
            for (long value : new long[] {0, 1, 2, 6, 7, 0xff, 0x1001, -1L, Long.MIN_VALUE}) {
                k.region.copyFrom(MemorySegment.ofArray(good));
                k.region.setAtIndex(ValueLayout.JAVA_LONG, word, value);
                if (k.end() == null) {
                    taken++;
                } else {
                    refused++;
                    assertThat(k.d.iommu.domainCount()).as("word %d: %d", word, value).isZero();
                    assertThat(k.d.iommu.mappingCount()).isZero();
                    assertThat(k.d.iommu.isBypassing()).isFalse();
                }
            }
        }
        assertThat(taken).isPositive();
        assertThat(refused).isGreaterThan(words);
    }

    @Test
    void whatTheConfigurationOfTodayDoesNotAllowIsNotTakenOver() {
        List<String> problems = new ArrayList<>();
        for (IommuOptions other :
                List.of(
                        Driver.OPTIONS.toBuilder().pageSizeMask(0x10000).build(),
                        Driver.OPTIONS.toBuilder().mappingLimit(1).build(),
                        Driver.OPTIONS.toBuilder().domainRange(8, 100).build())) {
            KeptDriver k = new KeptDriver(RingFormat.SPLIT);
            k.d.plug(1);
            k.d.status(attach(1, 7, 0));
            k.d.status(map(7, 0x1000, 0x1fff, 0x5000, RW));
            k.d.status(map(7, 0x2000, 0x2fff, 0x5000, RW));
            problems.add(requireNonNull(k.end(other)));
        }

        assertThat(problems.get(0)).contains("not possible here");
        assertThat(problems.get(1)).contains("more mappings than the limit");
        assertThat(problems.get(2)).contains("outside of the domain range");
    }

    @Test
    void nothingIsTakenOverWhereSomebodyListens() {
        KeptDriver k = new KeptDriver(RingFormat.SPLIT);
        k.d.plug(1);
        k.d.status(attach(1, 7, 0));
        Driver next = new Driver(Driver.OPTIONS);
        next.plug(1);
        next.plug(2);
        next.iommu.listen(
                requireNonNull(next.iommu.endpoint(2)).attachment(),
                new DomainListener() {
                    @Override
                    public void begin() {
                        // Nothing of it matters.
                    }

                    @Override
                    public void translation(Kind kind) {
                        // Likewise.
                    }

                    @Override
                    public void mapped(long first, long last, long output, int flags) {
                        // Likewise.
                    }

                    @Override
                    public void unmapped(long first, long last) {
                        // Likewise.
                    }

                    @Override
                    public void commit(Answer answer) {
                        answer.ok();
                    }
                });
        next.start(next.type.features());

        assertThat(requireNonNull(next.type.keptState()).goOn(k.region, new long[0]))
                .contains("has a listener");
    }
}
