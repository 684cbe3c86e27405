// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import static org.ioasis.bench.Workload.BASE;
import static org.ioasis.bench.Workload.PAGE;
import static org.ioasis.bench.Workload.SEED_A;
import static org.ioasis.bench.Workload.check;
import static org.ioasis.bench.Workload.index;
import static org.ioasis.bench.Workload.next;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.concurrent.TimeUnit;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.iommu.iotlb.WalkedTranslation;
import org.ioasis.iommu.mapping.Extent;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.iommu.mapping.MappingStore.MapResult;
import org.ioasis.iommu.mapping.RadixStore;
import org.ioasis.iommu.mapping.TablePool;
import org.ioasis.iommu.mapping.Translation;
import org.ioasis.iommu.mapping.Untranslated;
import org.ioasis.iommu.pagetable.AddressSpace;
import org.ioasis.iommu.pagetable.Cell;
import org.ioasis.iommu.pagetable.Gather;
import org.ioasis.iommu.pagetable.Half;
import org.ioasis.iommu.pagetable.PageTable;
import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.iommu.pagetable.PageTableStatus;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.Stage;
import org.ioasis.iommu.pagetable.TableAccess;
import org.ioasis.iommu.pagetable.TableArena;
import org.ioasis.iommu.pagetable.TwoStageWalk;
import org.ioasis.iommu.pagetable.format.Amdv1Format;
import org.ioasis.iommu.pagetable.format.ArmFormat;
import org.ioasis.iommu.pagetable.format.VtdSecondStageFormat;
import org.ioasis.iommu.pagetable.format.X86Format;
import org.ioasis.machine.EngineTables;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Outcome;
import org.ioasis.memory.Region;
import org.ioasis.sys.EngineMemory;
import org.ioasis.sys.ErrnoException;
import org.jspecify.annotations.Nullable;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/**
 * Walks of a guest's tables, of one stage and of two, as they are and with an IOTLB in front, over
 * 65,536 pages in no order or over sixteen. The same numbers as in {@code peers/walker.c}. One
 * thread.
 */
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@State(Scope.Benchmark)
public class WalkBenchmarks {
    private static final int OPERATIONS = 2_000_000;
    private static final int PAGES = 65_536;
    private static final int ENTRIES = 4096;
    private static final long TABLES = 0x4000_0000L;
    private static final int TABLE_BYTES = 16 << 20;
    private static final long DATA = 0x1_0000_0000L;
    private static final long BEHIND = 0x2_0000_0000L;
    private static final long SMALLEST = PAGE;
    private static final int PAGE_LG2 = 12;
    private static final int READ_WRITE = Rights.READ | Rights.WRITE;
    private static final ValueLayout.OfLong LE64 =
            ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** {@code vtd2-1}, {@code vtd1-1}, {@code amd-1}, {@code arm-1}, or with two stages. */
    @Param("vtd1-1")
    public String form = "";

    /** Pages that are gone to. */
    @Param("65536")
    public int n;

    private final Guards guards = new Guards(() -> 0, lease -> {});
    private final TableArena tables =
            new TableArena(new long[TABLE_BYTES / Long.BYTES], TABLES, TABLE_BYTES);
    private final TwoStageWalk walk = new TwoStageWalk();
    private final Extent extent = new Extent();
    private final Iotlb tlb = new Iotlb(ENTRIES);
    private AddressSpace space = new AddressSpace(null, null, 1, 2, Rights.ALL);
    private TableAccess memory = tables;
    private Translation walked = Untranslated.IDENTITY;
    private boolean hasTwo;

    @Setup(Level.Trial)
    public void build() {
        hasTwo = form.endsWith("-2");
        PageTableFormat format =
                switch (form) {
                    case "vtd2-1" -> new VtdSecondStageFormat(48, 52, false);
                    case "amd-1" -> Amdv1Format.ofMode(4, false);
                    case "arm-1", "arm-2" -> ArmFormat.stage1(12, 48, 48, Half.LOWER);
                    case "vtd1-1", "vtd-2", "amd-2" -> new X86Format(48, true, 52);
                    default -> throw new IllegalArgumentException(form);
                };
        PageTable first = PageTable.create(format, tables, SMALLEST);
        int user = format.attributes(Rights.ALL) == PageTableFormat.NO_ATTRIBUTES ? 0 : Rights.USER;
        for (int i = 0; i < PAGES; i++) {
            map(first, BASE + i * PAGE, DATA + scatter(i), READ_WRITE | user);
        }
        Stage second = hasTwo ? behind() : null;
        Stage one = new Stage(format, first.root(), false, 0);
        // A table of one stage that a driver of the host has written stands as the second.
        space = new AddressSpace(one, second, 1, 2, Rights.ALL);
        MemorySegment copy = Arena.global().allocate(TABLE_BYTES, PAGE);
        Cell cell = new Cell();
        for (long at = 0; at < TABLE_BYTES; at += Long.BYTES) {
            if (tables.load(TABLES + at, cell) != Outcome.OK) {
                throw new IllegalStateException("no table at " + at);
            }
            copy.set(LE64, at, cell.word());
        }
        GuestMemory guest = new GuestMemory(guards, 4);
        guest.add(new Region(TABLES, TABLES + TABLE_BYTES - 1, copy, true, null));
        memory = new Words(copy);
        walked = WalkedTranslation.of(space, guest, tlb);
    }

    private @Nullable Stage behind() {
        PageTableFormat format =
                switch (form) {
                    case "vtd-2" -> new VtdSecondStageFormat(48, 52, false);
                    case "amd-2" -> Amdv1Format.ofMode(4, false);
                    default -> ArmFormat.stage2(12, 48, 48, 3, ArmFormat.MARKS_DIRTY);
                };
        PageTable second = PageTable.create(format, tables, SMALLEST);
        for (long at = TABLES; at < TABLES + TABLE_BYTES; at += PAGE) {
            map(second, at, at, READ_WRITE);
        }
        for (int i = 0; i < PAGES; i++) {
            map(second, DATA + i * PAGE, BEHIND + i * PAGE, READ_WRITE);
        }
        return Stage.of(format, second.root());
    }

    private void map(PageTable table, long from, long to, int rights) {
        Gather gather = new Gather();
        if (table.map(from, from + PAGE - 1, to, rights, gather) != PageTableStatus.OK) {
            throw new IllegalStateException("not mapped: 0x%x".formatted(from));
        }
        gather.release(tables);
    }

    private static long scatter(long i) {
        return (i * 0x9E3779B1L & 0xffff) << 12;
    }

    private long expected() {
        long x = SEED_A;
        long sum = 0;
        for (int i = 0; i < OPERATIONS; i++) {
            x = next(x);
            sum += (hasTwo ? BEHIND : DATA) + scatter(index(x, n)) + (x & 0xff8);
        }
        return sum;
    }

    /** Each access is a walk. */
    @Benchmark
    public void walk(Meter meter) {
        long x = SEED_A;
        long sum = 0;
        meter.begin();
        for (int i = 0; i < OPERATIONS; i++) {
            x = next(x);
            long iova = BASE + (index(x, n) << 12) + (x & 0xff8);
            if (!space.translate(memory, iova, Rights.READ, false, walk)) {
                throw new IllegalStateException("fault " + walk.fault());
            }
            sum += walk.output();
        }
        meter.end(OPERATIONS);
        check(sum, expected());
    }

    /** The IOTLB is asked first. */
    @Benchmark
    public void cached(Meter meter) {
        long x = SEED_A;
        long sum = 0;
        meter.begin();
        for (int i = 0; i < OPERATIONS; i++) {
            x = next(x);
            long iova = BASE + (index(x, n) << 12) + (x & 0xff8);
            long output = walked.translate(iova, Long.BYTES, Rights.READ);
            if (output == Translation.UNCLEAR) {
                if (walked.access(iova, Long.BYTES, Rights.READ, extent) != Outcome.OK) {
                    throw new IllegalStateException("fault");
                }
                output = iova + extent.delta();
            }
            sum += output;
        }
        meter.end(OPERATIONS);
        check(sum, expected());
    }

    /** A look-up of mappings that are the same, for which nothing is walked. */
    @Benchmark
    public void plain(Meter meter) throws ErrnoException {
        try (EngineMemory room = EngineMemory.reserve(TABLE_BYTES)) {
            TablePool pool = new TablePool(new EngineTables(room), TABLE_BYTES, guards);
            RadixStore store = new RadixStore(pool, PAGE_LG2);
            for (int i = 0; i < PAGES; i++) {
                long first = BASE + i * PAGE;
                long output = (hasTwo ? BEHIND : DATA) + scatter(i);
                if (store.map(first, first + PAGE - 1, output, MapFlags.READ) != MapResult.DONE) {
                    throw new IllegalStateException("not mapped");
                }
            }
            plain(meter, store);
        }
    }

    private void plain(Meter meter, RadixStore store) {
        long x = SEED_A;
        long sum = 0;
        meter.begin();
        for (int i = 0; i < OPERATIONS; i++) {
            x = next(x);
            long iova = BASE + (index(x, n) << 12) + (x & 0xff8);
            sum += store.translate(iova, Long.BYTES, Rights.READ);
        }
        meter.end(OPERATIONS);
        check(sum, expected());
    }

    /** Guest memory in one piece, as the peer has it. */
    private record Words(MemorySegment bytes) implements TableAccess {
        private static final VarHandle WORD = LE64.varHandle();

        @Override
        public Outcome load(long address, Cell into) {
            long at = address - TABLES;
            if (Long.compareUnsigned(at, TABLE_BYTES - Long.BYTES) > 0 || (at & 7) != 0) {
                return Outcome.ABSENT;
            }
            into.set((long) WORD.getAcquire(bytes, at));
            return Outcome.OK;
        }

        @Override
        public Outcome exchange(long address, long expected, long word, Cell witness) {
            return Outcome.REFUSED;
        }
    }
}
