// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.BitSet;
import java.util.List;
import java.util.Objects;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.iommu.iotlb.WalkedTranslation;
import org.ioasis.iommu.mapping.Extent;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.iommu.mapping.Translation;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.iommu.pagetable.AddressSpace;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.Root;
import org.ioasis.iommu.pagetable.Stage;
import org.ioasis.iommu.pagetable.TwoStageFault;
import org.ioasis.iommu.pagetable.WalkFault;
import org.ioasis.iommu.pagetable.format.VtdSecondStageFormat;
import org.ioasis.iommu.pagetable.format.X86Format;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Outcome;
import org.ioasis.memory.Ram;
import org.ioasis.memory.Region;
import org.ioasis.memory.WriteLog;
import org.ioasis.virtqueue.Allocation;
import org.junit.jupiter.api.Test;

/** Accesses of an endpoint through a table that its guest wrote, one stage and two. */
class WalkedTranslationTest {
    private static final ValueLayout.OfLong LE64 =
            ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final long RAM = Machine.RAM;
    private static final long TOP = RAM;
    private static final long MIDDLE = RAM + 0x1000;
    private static final long LOW = RAM + 0x2000;
    private static final long PAGE = RAM + 0x8000;
    private static final int DOMAIN = 5;
    private static final int PASID = 9;

    private final Machine machine = new Machine(Machine.STRICT);
    private final Iotlb tlb = new Iotlb(64);
    private final Endpoint endpoint = machine.plug(1);
    private final Dma dma = machine.dma(endpoint);
    private final MemorySegment ram = Objects.requireNonNull(machine.ram.segment());

    private void write(long gpa, long word) {
        ram.set(LE64, gpa - RAM, word);
    }

    private long word(long gpa) {
        return ram.get(LE64, gpa - RAM);
    }

    private void clear(long table) {
        ram.asSlice(table - RAM, 0x1000).fill((byte) 0);
    }

    /** Tables of x86-64 with three levels, so that 39 bits are enough. */
    private static AddressSpace space(boolean marks) {
        X86Format format = new X86Format(39, false, 46);
        Stage first = new Stage(format, Root.of(TOP, 2), marks, Rights.USER);
        return new AddressSpace(first, null, DOMAIN, PASID, Rights.ALL);
    }

    /** {@code iova} leads to {@code output}, with the flags of the leaf. */
    private void map(long iova, long output, long flags) {
        for (long table : new long[] {TOP, MIDDLE, LOW}) {
            if (word(table + 8 * 511) != 0) {
                clear(table);
            }
        }
        write(TOP, MIDDLE | 7);
        write(MIDDLE, LOW | 7);
        write(LOW + (iova >>> 12) * 8, output | flags);
    }

    private void attach(Translation translation) {
        Domain domain = machine.iommu.domain(77, translation);
        Replies.One reply = new Replies.One();
        machine.iommu.attach(endpoint.attachment(), domain, reply);
        assertThat(reply.status()).isEqualTo(Status.OK);
    }

    private Outcome access(long iova, Access access) {
        return machine.access(dma, iova, access);
    }

    @Test
    void anAccessIsWalkedOnceAndThenFoundUntilItIsInvalidated() {
        map(0x5000, PAGE, 7);
        attach(WalkedTranslation.of(space(false), machine.memory, tlb));
        assertThat(machine.read(dma, 0x5123)).isEqualTo(Machine.byteAt(PAGE + 0x123));
        assertThat(tlb.filled()).isEqualTo(1);
        map(0x5000, PAGE + 0x1000, 7);
        assertThat(machine.read(dma, 0x5124)).as("kept").isEqualTo(Machine.byteAt(PAGE + 0x124));
        assertThat(tlb.filled()).isEqualTo(1);
        assertThat(tlb.range(DOMAIN, PASID, 0x5000, 0x5fff, 0)).isEqualTo(1);
        assertThat(machine.read(dma, 0x5125)).isEqualTo(Machine.byteAt(PAGE + 0x1125));
        assertThat(tlb.filled()).isEqualTo(2);
        assertThat(endpoint.counts().translations()).isEqualTo(3);
    }

    @Test
    void anAccessOverSeveralPagesGoesOnInEach() {
        map(0x5000, PAGE + 0x3000, 7);
        map(0x6000, PAGE, 7);
        attach(WalkedTranslation.of(space(false), machine.memory, tlb));
        byte[] bytes = new byte[0x20];
        dma.enter();
        assertThat(dma.read(0x5ff0, MemorySegment.ofArray(bytes), 0, 0x20)).isEqualTo(Outcome.OK);
        dma.leave();
        assertThat(bytes[0xf]).isEqualTo(Machine.byteAt(PAGE + 0x3fff));
        assertThat(bytes[0x10]).isEqualTo(Machine.byteAt(PAGE));
    }

    @Test
    void aRefusedAccessIsAFaultWithStageLevelAndReason() {
        map(0x5000, PAGE, 5);
        attach(WalkedTranslation.of(space(false), machine.memory, tlb));
        assertThat(access(0x5000, Access.WRITE)).isEqualTo(Outcome.FAULT);
        assertThat(access(0x7000, Access.READ)).isEqualTo(Outcome.FAULT);
        assertThat(access(0x4000_0000L, Access.READ)).isEqualTo(Outcome.FAULT);
        Fault write = Objects.requireNonNull(machine.faults.poll());
        assertThat(write.kind()).isEqualTo(Kind.WALKED);
        assertThat(write.table())
                .isEqualTo(new Fault.Table(TwoStageFault.FIRST, WalkFault.PERMISSION, 0, 0x5000));
        assertThat(write.explanation()).contains("FIRST at level 0 for 0x5000: PERMISSION");
        assertThat(Objects.requireNonNull(machine.faults.poll()).table())
                .isEqualTo(new Fault.Table(TwoStageFault.FIRST, WalkFault.TRANSLATION, 0, 0x7000));
        assertThat(Objects.requireNonNull(machine.faults.poll()).table())
                .isEqualTo(
                        new Fault.Table(
                                TwoStageFault.FIRST, WalkFault.TRANSLATION, 2, 0x4000_0000L));
        assertThat(tlb.size()).as("what is refused is not kept").isZero();
    }

    @Test
    void aPageIsMarkedAsWrittenByTheFirstWriteThoughAReadWasKept() {
        map(0x5000, PAGE, 7);
        attach(WalkedTranslation.of(space(true), machine.memory, tlb));
        assertThat(access(0x5000, Access.READ)).isEqualTo(Outcome.OK);
        assertThat(word(LOW + 5 * 8)).isEqualTo(PAGE | 0x27);
        assertThat(word(TOP)).isEqualTo(MIDDLE | 0x27);
        assertThat(access(0x5008, Access.WRITE)).isEqualTo(Outcome.OK);
        assertThat(word(LOW + 5 * 8)).isEqualTo(PAGE | 0x67);
        assertThat(tlb.filled()).isEqualTo(2);
        assertThat(access(0x5010, Access.WRITE)).isEqualTo(Outcome.OK);
        assertThat(access(0x5010, Access.READ)).isEqualTo(Outcome.OK);
        assertThat(tlb.filled()).isEqualTo(2);
    }

    private static List<Long> written(WriteLog log) {
        long[] bitmap = new long[1];
        log.report(RAM, RAM + 0xffff, 0x1000, bitmap, () -> {});
        return BitSet.valueOf(bitmap).stream().mapToObj(page -> RAM + page * 0x1000L).toList();
    }

    /** Each of two sessions tells of what its own memory was written through. */
    @Test
    void marksAreToldByTheLogOfTheTablesMemoryAndNotByThatOfTheDeviceThatSetThem() {
        GuestMemory own = new GuestMemory(machine.guards, 16);
        assertThat(
                        own.add(
                                new Region(
                                        RAM,
                                        RAM + (Machine.RAM_SIZE - 1),
                                        ram,
                                        true,
                                        Ram.lender(ram))))
                .isEqualTo(GuestMemory.Change.DONE);
        map(0x5000, PAGE, 7);
        attach(WalkedTranslation.of(space(true), machine.memory, tlb));
        WriteLog ofTables = new WriteLog(machine.memory, 0x1000);
        WriteLog ofDevice = new WriteLog(own, 0x1000);
        ofTables.start(() -> {});
        ofDevice.start(() -> {});
        Dma device = machine.iommu.dma(endpoint, own, machine.guard);
        device.enter();
        assertThat(device.write(0x5000, MemorySegment.ofArray(new byte[1]), 0, 1))
                .isEqualTo(Outcome.OK);
        device.leave();
        assertThat(written(ofTables)).containsExactly(TOP, MIDDLE, LOW);
        assertThat(written(ofDevice)).containsExactly(PAGE);
    }

    @Test
    void aLookOfNoConsequenceMarksAndKeepsNothing() {
        map(0x5000, PAGE, 7);
        attach(WalkedTranslation.of(space(true), machine.memory, tlb));
        dma.enter();
        assertThat(dma.peek(0x5000, 8)).isEqualTo(Outcome.OK);
        assertThat(dma.peek(0x7000, 8)).isEqualTo(Outcome.FAULT);
        dma.leave();
        assertThat(word(LOW + 5 * 8)).isEqualTo(PAGE | 7);
        assertThat(tlb.size()).isZero();
        assertThat(machine.faults.isEmpty()).isTrue();
    }

    @Test
    void tablesInMemoryThatIsAbsentAreNoFault() {
        map(0x5000, PAGE, 7);
        write(MIDDLE, 0x9000_0007L);
        attach(WalkedTranslation.of(space(false), machine.memory, tlb));
        assertThat(access(0x5000, Access.READ)).isEqualTo(Outcome.ABSENT);
        assertThat(machine.faults.isEmpty()).isTrue();
        machine.memory.add(Ram.ram(0x9000_0000L, 0x1000));
        assertThat(access(0x5000, Access.READ)).isEqualTo(Outcome.FAULT);
        assertThat(Objects.requireNonNull(machine.faults.poll()).table())
                .isEqualTo(new Fault.Table(TwoStageFault.FIRST, WalkFault.TRANSLATION, 0, 0x5000));
    }

    @Test
    void markingATableThatIsReadOnlyMemoryIsAFault() {
        GuestMemory memory = new GuestMemory(machine.guards, 4);
        memory.add(Ram.readOnly(RAM, ram.byteSize()));
        attach(WalkedTranslation.of(space(true), memory, tlb));
        map(0x5000, PAGE, 7);
        MemorySegment rom =
                Objects.requireNonNull(Objects.requireNonNull(region(memory)).segment());
        MemorySegment.copy(ram, 0, rom, 0, ram.byteSize());
        assertThat(access(0x5000, Access.READ)).isEqualTo(Outcome.FAULT);
        assertThat(Objects.requireNonNull(machine.faults.poll()).table())
                .isEqualTo(new Fault.Table(TwoStageFault.FIRST, WalkFault.TABLE, 2, 0x5000));
    }

    private static org.ioasis.memory.Region region(GuestMemory memory) {
        org.ioasis.memory.Region[] found = new org.ioasis.memory.Region[1];
        memory.forEachRegion(region -> found[0] = region);
        return found[0];
    }

    // Behind mappings
    // ---------------------------------------------------------------------------------------------

    /** Where the guest thinks that its tables and pages are, less where they are. */
    private static final long GUEST = 0x4000_0000L;

    /** The guest's tables, at its own addresses, with a mapping store behind them. */
    private PagingDomain nested(boolean marks, int flags) {
        PagingDomain parent = machine.iommu.pagingDomain(50);
        Replies.One reply = new Replies.One();
        parent.map(GUEST, GUEST + 0x3fff, RAM, flags, reply);
        assertThat(reply.status()).isEqualTo(Status.OK);
        for (long table : new long[] {TOP, MIDDLE, LOW}) {
            clear(table);
        }
        write(TOP, GUEST + 0x1000 | 7);
        write(MIDDLE, GUEST + 0x2000 | 7);
        X86Format format = new X86Format(39, false, 46);
        Stage first = new Stage(format, Root.of(GUEST, 2), marks, Rights.USER);
        AddressSpace space = new AddressSpace(first, null, DOMAIN, PASID, Rights.ALL);
        attach(WalkedTranslation.behind(parent.translation(), space, machine.memory, tlb));
        return parent;
    }

    private void mapBehind(PagingDomain parent, long from, long to, int flags) {
        Replies.One reply = new Replies.One();
        parent.map(from, from + 0xfff, to, flags, reply);
        assertThat(reply.status()).isEqualTo(Status.OK);
    }

    @Test
    void eachEntryAndThePageLieBehindTheParentsMappings() {
        PagingDomain parent = nested(false, MapFlags.READ | MapFlags.WRITE);
        write(LOW + 5 * 8, GUEST + 0x9000 | 7);
        assertThat(access(0x5000, Access.READ)).isEqualTo(Outcome.FAULT);
        assertThat(Objects.requireNonNull(machine.faults.poll()).table())
                .isEqualTo(
                        new Fault.Table(
                                TwoStageFault.SECOND_FOR_INPUT,
                                WalkFault.TRANSLATION,
                                0,
                                GUEST + 0x9000));
        mapBehind(parent, GUEST + 0x9000, PAGE, MapFlags.READ);
        assertThat(machine.read(dma, 0x5123)).isEqualTo(Machine.byteAt(PAGE + 0x123));
        assertThat(access(0x5123, Access.WRITE)).isEqualTo(Outcome.FAULT);
        write(MIDDLE, GUEST + 0xa000 | 7);
        tlb.domain(DOMAIN);
        assertThat(access(0x5123, Access.READ)).isEqualTo(Outcome.FAULT);
        machine.faults.poll();
        assertThat(Objects.requireNonNull(machine.faults.poll()).table())
                .isEqualTo(
                        new Fault.Table(
                                TwoStageFault.SECOND_FOR_TABLE,
                                WalkFault.TRANSLATION,
                                0,
                                GUEST + 0xa000 + 5 * 8));
    }

    @Test
    void aTableThatTheParentLetsOnlyBeReadCannotBeMarked() {
        PagingDomain parent = nested(true, MapFlags.READ);
        write(LOW + 5 * 8, GUEST + 0x9000 | 7);
        mapBehind(parent, GUEST + 0x9000, PAGE, MapFlags.READ);
        assertThat(access(0x5000, Access.READ)).isEqualTo(Outcome.FAULT);
        assertThat(Objects.requireNonNull(machine.faults.poll()).table())
                .isEqualTo(
                        new Fault.Table(
                                TwoStageFault.SECOND_FOR_TABLE, WalkFault.PERMISSION, 0, GUEST));
        // All there: nothing has to be written.
        write(TOP, GUEST + 0x1000 | 0x27);
        write(MIDDLE, GUEST + 0x2000 | 0x27);
        write(LOW + 5 * 8, GUEST + 0x9000 | 0x67);
        assertThat(access(0x5000, Access.READ)).isEqualTo(Outcome.OK);
    }

    @Test
    void anEntryIsAsLargeAsWhatBothStagesTranslateAlike() {
        PagingDomain parent = nested(false, MapFlags.READ | MapFlags.WRITE);
        // A page of 2 MiB, of which the parent maps 64 KiB in one piece and a page elsewhere.
        write(MIDDLE + 8, GUEST + 0x20_0000 | 0x87);
        Replies.One reply = new Replies.One();
        long base = GUEST + 0x20_0000;
        parent.map(base, base + 0xffff, RAM + 0x1_0000, MapFlags.READ, reply);
        mapBehind(parent, base + 0x1_1000, PAGE, MapFlags.READ);
        Extent extent = new Extent();
        Translation walked = Objects.requireNonNull(endpoint.attachment().domain()).translation();
        machine.guard.enter();
        assertThat(walked.access(0x20_3123, 1, 1, extent)).isEqualTo(Outcome.OK);
        assertThat(extent.last()).isEqualTo(0x20_ffffL);
        assertThat(walked.access(0x21_1123, 1, 1, extent)).isEqualTo(Outcome.OK);
        assertThat(extent.last()).isEqualTo(0x21_1fffL);
        machine.guard.leave();
        assertThat(tlb.size()).isEqualTo(2);
        // Both were made from the same page of the first stage.
        assertThat(tlb.range(DOMAIN, PASID, 0x3f_f000, 0x3f_ffff, 0)).isEqualTo(2);
    }

    @Test
    void twoTablesAreWalkedAndEachIsFoundByItself() {
        for (long table = TOP; table < RAM + 0x8000; table += 0x1000) {
            clear(table);
        }
        // The second stage maps 2 MiB of the guest's addresses to where RAM begins.
        long base = 0;
        VtdSecondStageFormat format = new VtdSecondStageFormat(39, 46, false);
        write(RAM + 0x4000 + (GUEST >>> 30) * 8, RAM + 0x5000 | 3);
        write(RAM + 0x5000, base | 0x83);
        Stage second = Stage.of(format, Root.of(RAM + 0x4000, 2));
        long top = GUEST + (TOP - base);
        X86Format x86 = new X86Format(39, false, 46);
        Stage first = new Stage(x86, Root.of(top, 2), true, Rights.USER);
        write(TOP, top + 0x1000 | 7);
        write(MIDDLE, top + 0x2000 | 7);
        write(LOW + 5 * 8, GUEST + (PAGE - base) | 7);
        AddressSpace space = new AddressSpace(first, second, DOMAIN, PASID, Rights.ALL);
        attach(WalkedTranslation.of(space, machine.memory, tlb));
        assertThat(machine.read(dma, 0x5123)).isEqualTo(Machine.byteAt(PAGE + 0x123));
        // One of both stages, and one of the second for everything.
        assertThat(tlb.size()).isEqualTo(2);
        assertThat(tlb.firstStage(DOMAIN)).isEqualTo(1);
        write(RAM + 0x5000, 0);
        assertThat(machine.read(dma, 0x5124)).isEqualTo(Machine.byteAt(PAGE + 0x124));
        assertThat(tlb.domain(DOMAIN)).isEqualTo(2);
        assertThat(access(0x5123, Access.READ)).isEqualTo(Outcome.FAULT);
        assertThat(Objects.requireNonNull(machine.faults.poll()).table())
                .isEqualTo(
                        new Fault.Table(
                                TwoStageFault.SECOND_FOR_TABLE, WalkFault.TRANSLATION, 1, top));
    }

    @Test
    void walksAndHitsMakeNoGarbage() {
        PagingDomain parent = nested(true, MapFlags.READ | MapFlags.WRITE);
        for (int page = 0; page < 512; page++) {
            write(LOW + page * 8L, GUEST + 0x9000 | 7);
        }
        mapBehind(parent, GUEST + 0x9000, PAGE, MapFlags.READ | MapFlags.WRITE);
        int times = 20_000;
        long least =
                new Allocation()
                        .leastOf(
                                20,
                                () -> {
                                    for (int i = 0; i < times; i++) {
                                        dma.enter();
                                        dma.resolve((i & 511L) << 12, 8, Access.WRITE);
                                        dma.resolve((i & 511L) << 12, 8, Access.READ);
                                        dma.leave();
                                    }
                                });
        assertThat(least).isLessThan(times);
        assertThat(tlb.evicted()).isPositive();
    }
}
