// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import java.util.List;
import java.util.stream.IntStream;
import org.ioasis.record.Event;
import org.ioasis.record.Row;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class SimulationTest {
    private static final List<Integer> X86_SIZES = List.of(12, 21, 30);
    private static final List<Integer> ARM_SIZES = List.of(12, 16, 21, 25, 30);
    private static final List<Integer> AMD_SIZES = IntStream.rangeClosed(12, 40).boxed().toList();
    private static final long PAGE = 4096;

    private static Design design(String format, String granule, String flush, String iotlb) {
        return Design.all(List.of(format), List.of(granule), List.of(flush), List.of(iotlb))
                .getFirst();
    }

    private static List<Integer> sizes(TableKind format) {
        return switch (format) {
            case X86_64 -> X86_SIZES;
            case ARM64 -> ARM_SIZES;
            case AMD -> AMD_SIZES;
        };
    }

    /** Where the plain program has no tables like these. */
    private static Figures withoutTables(Figures figures) {
        return new Figures(
                figures.translations(),
                figures.hits(),
                figures.evictions(),
                figures.pages(),
                0,
                figures.unmaps(),
                figures.invalidations(),
                figures.refusedMaps(),
                figures.skipped(),
                figures.reach(),
                0);
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2})
    void theFiguresAreThoseOfAPlainProgram(long seed) throws TraceException {
        Rows rows = RandomRows.of(seed, 500);
        Trace trace = rows.trace();
        List<Design> designs =
                Design.all(
                        List.of("x86-64", "arm64", "amd"),
                        List.of("4k", "64k"),
                        List.of("strict", "lazy:1", "lazy:16", "lazy:1000:1ms"),
                        List.of("none", "262144"));
        assertThat(designs).hasSize(48);
        for (Design design : designs) {
            if (design.format() == TableKind.ARM64 && design.granuleLg2() != 12) {
                continue;
            }
            Figures found = Simulation.run(trace, design).withSpeed(0);
            Figures plain = PlainSweep.run(rows, design, sizes(design.format()));
            assertThat(plain.hits() > 0).as("%s", design).isEqualTo(design.iotlb() > 0);
            assertThat(plain.unmaps()).isGreaterThan(50);
            if (design.format() == TableKind.AMD) {
                assertThat(found.tableBytesMax()).as("%s", design).isPositive();
                assertThat(withoutTables(found)).as("%s", design).isEqualTo(withoutTables(plain));
            } else {
                assertThat(found).as("%s", design).isEqualTo(plain);
            }
        }
    }

    @Test
    void aSmallIotlbDropsWhatALargeOneKeeps() throws TraceException {
        Trace trace = RandomRows.of(4, 2_000).trace();
        Figures none = Simulation.run(trace, design("amd", "4k", "strict", "none"));
        Figures small = Simulation.run(trace, design("amd", "4k", "strict", "16"));
        Figures large = Simulation.run(trace, design("amd", "4k", "strict", "65536"));
        assertThat(none.hits()).isZero();
        assertThat(small.hits()).isPositive();
        assertThat(large.hits()).isGreaterThan(small.hits());
        assertThat(small.evictions()).isPositive();
        assertThat(large.evictions()).isZero();
        assertThat(List.of(small.translations(), large.translations()))
                .containsOnly(none.translations());
    }

    @Test
    void aLazyBatchIsOneFlushForManyUnmapsAndKeepsWhatWasUsedReachable() throws TraceException {
        Rows rows = new Rows().attach(1, 7);
        for (int i = 0; i < 8; i++) {
            long first = (1 + i) * PAGE;
            rows.after(100).map(7, first, first + PAGE - 1, first, Rows.READ);
            if (i % 2 == 0) {
                rows.access(7, first, first + 63, Rows.READ);
            }
            rows.unmap(7, first, first + PAGE - 1);
        }
        rows.after(5).add(Event.FAULT, _ -> {});
        Figures lazy = Simulation.run(rows.trace(), design("x86-64", "4k", "lazy:4", "64"));
        assertThat(lazy.unmaps()).isEqualTo(8);
        assertThat(lazy.invalidations()).isEqualTo(2);
        // The first of a batch for three hundred, the third for one hundred, the others not.
        assertThat(lazy.reach()).isEqualTo(new Figures.Reach(8, 4, 0, 300, 300));
        Figures strict = Simulation.run(rows.trace(), design("x86-64", "4k", "strict", "64"));
        assertThat(strict.invalidations()).isEqualTo(8);
        assertThat(strict.reach()).isEqualTo(new Figures.Reach(8, 0, 0, 0, 0));
        Figures none = Simulation.run(rows.trace(), design("x86-64", "4k", "lazy:4", "none"));
        assertThat(none.reach()).isEqualTo(new Figures.Reach(8, 0, 0, 0, 0));
    }

    @Test
    void aTimerEndsAWaitAtItsTimeAndNotAtTheNextEvent() throws TraceException {
        Rows rows =
                new Rows()
                        .attach(1, 7)
                        .map(7, PAGE, 2 * PAGE - 1, PAGE, Rows.WRITE)
                        .access(7, PAGE, PAGE, Rows.WRITE)
                        .unmap(7, PAGE, 2 * PAGE - 1)
                        .after(90_000_000)
                        .map(7, PAGE, 2 * PAGE - 1, PAGE, Rows.WRITE);
        Figures timed = Simulation.run(rows.trace(), design("arm64", "64k", "lazy:256:10ms", "64"));
        assertThat(timed.reach())
                .isEqualTo(new Figures.Reach(1, 1, 10_000_000, 10_000_000, 10_000_000));
        assertThat(timed.invalidations()).isEqualTo(1);
        Figures untimed = Simulation.run(rows.trace(), design("arm64", "64k", "lazy:256", "64"));
        assertThat(untimed.reach().max()).isEqualTo(90_000_000);
        assertThat(untimed.invalidations()).isZero();
    }

    @Test
    void aBufferThatNoFormatReachesIsRefusedAndItsAccessesAreSkipped() throws TraceException {
        Rows rows =
                new Rows()
                        .attach(1, 7)
                        .map(7, 0, -1, 0, Rows.READ)
                        .access(7, -4096, -1, Rows.READ)
                        .unmap(7, 0, -1)
                        .map(7, PAGE, 2 * PAGE - 1, -PAGE, Rows.READ)
                        .access(7, PAGE, PAGE + 1, Rows.READ);
        for (String format : List.of("x86-64", "arm64", "amd")) {
            Figures figures = Simulation.run(rows.trace(), design(format, "4k", "strict", "16"));
            assertThat(figures.refusedMaps()).as(format).isEqualTo(2);
            assertThat(figures.skipped()).as(format).isEqualTo(2);
            assertThat(figures.translations()).as(format).isZero();
            assertThat(figures.invalidations()).as(format).isZero();
        }
    }

    @Test
    void theTablesHaveALimitAndWhatDoesNotFitIsRefused() throws TraceException {
        Rows rows = new Rows().attach(1, 7);
        for (int i = 0; i < 3; i++) {
            // Each has a table of its own at the lowest level, and shares those above.
            rows.map(7, (long) i << 21, ((long) i << 21) + (1 << 21) - 1, PAGE, Rows.READ);
        }
        Design design = design("x86-64", "4k", "strict", "none");
        Figures all = Simulation.run(rows.trace(), design);
        assertThat(all.refusedMaps()).isZero();
        long limit = all.tableBytesMax();
        Figures at = Simulation.run(rows.trace(), design, Work.MAX, limit);
        assertThat(at.withSpeed(0)).isEqualTo(all.withSpeed(0));
        Figures below = Simulation.run(rows.trace(), design, Work.MAX, limit - PAGE);
        assertThat(below.refusedMaps()).isEqualTo(1);
        assertThat(below.tableBytesMax()).isLessThan(limit);
    }

    /** In the heap of a test, which is half of what a sweep has for two designs at a time. */
    @Test
    void aTraceOfAsManyOperationsAndBuffersAsMayBeFitsIntoTheHeap() throws TraceException {
        int buffers = TraceBuilder.BUFFERS_MAX;
        long bytes = PAGE;
        TraceBuilder builder = new TraceBuilder();
        Row row = new Row();
        for (long i = 0; i < buffers; i++) {
            row.begin(i, 0, Event.MAP, "machine/iommu");
            row.domain(7);
            row.status("OK");
            row.range(i * bytes, i * bytes + bytes - 1);
            // Not in a row in memory, so that each page is one.
            row.output((i * 2 + 1) * bytes);
            row.flags(Rows.READ);
            builder.add(row);
        }
        int accesses = TraceBuilder.OPERATIONS_MAX - 2 * buffers - 1;
        for (long i = 0; i < accesses; i++) {
            row.begin(buffers + i, 1, Event.ACCESS, "machine/iommu");
            row.endpoint(1);
            row.domain(7);
            row.range(i % buffers * bytes, i % buffers * bytes);
            row.flags(Rows.READ);
            builder.add(row);
        }
        row.begin(buffers + (long) accesses, 2, Event.UNMAP, "machine/iommu");
        row.domain(7);
        row.status("OK");
        row.range(0, -1);
        builder.add(row);
        Trace trace = builder.build();
        assertThat(trace.operations().count()).isEqualTo(TraceBuilder.OPERATIONS_MAX);

        Design worst = design("x86-64", "4k", "lazy:1048576", "1048576");
        Figures figures = Simulation.run(trace, worst);

        assertThat(figures.refusedMaps()).isZero();
        assertThat(figures.pages()).isEqualTo(buffers);
        // All of them wait for a flush that comes no more.
        assertThat(figures.reach().buffers()).isEqualTo(buffers);
        assertThat(figures.translations()).isEqualTo(accesses);
    }

    @Test
    void asManyDesignsAreSimulatedAsTheHeapHasRoomFor() {
        long gib = 1L << 30;
        assertThat(Room.workers(2 * gib, 2)).isEqualTo(2);
        assertThat(Room.workers(2 * gib, 64)).isEqualTo(3);
        assertThat(Room.workers(gib / 2, 64)).isEqualTo(1);
        assertThat(Room.workers(64 * gib, 64)).isEqualTo(64);
        assertThat(Room.workers(64 * gib, 1)).isEqualTo(1);
    }

    @Test
    void aTraceThatAsksForTooMuchIsRefusedAtTheRowWhereItDoes() throws TraceException {
        Rows rows = new Rows().attach(1, 7).map(7, PAGE, 9 * PAGE - 1, PAGE, Rows.READ);
        rows.access(7, PAGE, 9 * PAGE - 1, Rows.READ);
        Trace trace = rows.trace();
        Design design = design("x86-64", "4k", "strict", "none");
        assertThat(Simulation.run(trace, design, 16, Simulation.TABLES_MAX).translations())
                .isEqualTo(8);
        assertThatExceptionOfType(TraceException.class)
                .isThrownBy(() -> Simulation.run(trace, design, 15, Simulation.TABLES_MAX))
                .withMessageMatching("row 2: a sweep translates, .* 15 pages .*");
    }

    @Test
    void anEmptyTraceHasFiguresThatAreAllNothing() throws TraceException {
        Figures figures =
                Simulation.run(new Rows().trace(), design("amd", "64k", "lazy:256", "1024"));
        assertThat(figures)
                .isEqualTo(
                        new Figures(
                                0, 0, 0, 0, 0, 0, 0, 0, 0, new Figures.Reach(0, 0, 0, 0, 0), 0));
    }

    @Test
    void theSpeedIsMeasured() throws TraceException {
        Trace trace = RandomRows.of(5, 500).trace();
        for (String iotlb : List.of("none", "64")) {
            assertThat(
                            Simulation.run(trace, design("x86-64", "4k", "strict", iotlb))
                                    .translationsPerSecond())
                    .isPositive();
        }
    }
}
