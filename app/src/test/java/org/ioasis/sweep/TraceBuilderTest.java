// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import java.util.List;
import org.ioasis.record.Event;
import org.junit.jupiter.api.Test;

final class TraceBuilderTest {
    private static final long PAGE = 4096;

    private static void refused(Rows rows, String message) {
        assertThatExceptionOfType(TraceException.class)
                .isThrownBy(rows::trace)
                .withMessageContaining(message);
    }

    private static Rows mapped() {
        return new Rows().attach(1, 7).map(7, 2 * PAGE, 4 * PAGE - 1, 0, Rows.READ);
    }

    /** Operations as letters. */
    private static String operations(Trace trace) {
        StringBuilder text = new StringBuilder();
        for (byte kind : trace.operations().kinds) {
            text.append("MUurwE".charAt(kind));
        }
        return text.toString();
    }

    @Test
    void whatNoRecorderWritesIsRefusedWithItsRow() {
        refused(
                new Rows().attach(1, 7).map(7, 2 * PAGE, PAGE, 0, Rows.READ),
                "row 1: MAP of 0x2000..0x1000, which is reversed");
        refused(mapped().unmap(7, -1, 0), "row 2: UNMAP of 0xffffffffffffffff..0x0, which is");
        refused(
                mapped().access(7, 1, 0, Rows.READ),
                "row 2: ACCESS of 0x1..0x0, which is reversed");
        refused(
                mapped().map(7, 3 * PAGE, 5 * PAGE - 1, 0, Rows.READ),
                "row 2: MAP of 0x3000..0x4fff, where 0x2000..0x3fff is mapped already");
        refused(
                mapped().map(7, PAGE, 3 * PAGE - 1, 0, Rows.READ),
                "row 2: MAP of 0x1000..0x2fff, where");
        refused(
                mapped().map(7, 5 * PAGE, 6 * PAGE - 1, -1, Rows.READ),
                "row 2: MAP of 0x5000..0x5fff to 0xffffffffffffffff, which wraps around");
        refused(
                mapped().unmap(7, 3 * PAGE, 8 * PAGE - 1),
                "row 2: UNMAP of 0x3000..0x7fff, which splits 0x2000..0x3fff of domain 7");
        refused(mapped().unmap(7, 0, 3 * PAGE - 1), "row 2: UNMAP of 0x0..0x2fff, which splits");
        refused(mapped().access(7, 0, PAGE, 3), "row 2: ACCESS with flags 3");
        refused(
                mapped().access(7, 0, TraceBuilder.ACCESS_MAX, Rows.READ),
                "row 2: ACCESS to 0x0..0x100000000, which no descriptor can ask for");
        Rows back = mapped();
        back.after(-5);
        refused(back.access(7, 0, 1, Rows.READ), "row 2: time -5 ns follows 0");
    }

    @Test
    void machinesThatWereWrittenOneAfterTheOtherAreTakenAsFarAsEachHasCome() throws TraceException {
        Rows rows = new Rows();
        rows.after(10).attach(1, 7).map(7, 0, PAGE - 1, 0, Rows.READ);
        rows.after(20).unmap(7, 0, PAGE - 1);
        rows.after(-25).add(Event.FAULT, "other/iommu0", _ -> {});
        rows.after(30).access(7, 0, 1, Rows.READ);
        Trace trace = rows.trace();

        assertThat(operations(trace)).isEqualTo("MUu");
        assertThat(trace.operations().times).containsExactly(10, 30, 30);
        refused(
                new Rows()
                        .after(10)
                        .add(Event.FAULT, "other/iommu0", _ -> {})
                        .after(-5)
                        .add(Event.FAULT, "other/iommu0", _ -> {}),
                "row 1: time 5 ns follows 10");
    }

    @Test
    void aMillionRowsOfNonsenseAreRefusedAtTheFirst() {
        Rows rows = new Rows();
        for (int i = 0; i < 1_000_000; i++) {
            rows.access(i, -i, i, 5);
        }
        refused(rows, "row 0: ACCESS with flags 5");
    }

    @Test
    void whatChangesNothingIsCountedAndLeftOut() throws TraceException {
        Rows rows =
                mapped().request(Event.MAP, 7, row -> row.status("INVAL"))
                        .request(Event.UNMAP, 7, row -> row.status("RANGE"))
                        .add(Event.FAULT, row -> row.range(5, 3))
                        .add(Event.START, _ -> {})
                        .add(Event.BYPASS, row -> row.flags(1))
                        // Of a domain that is not there, or a part of nothing.
                        .access(-1, 0, 5, Rows.READ)
                        .access(7, 0, 5, Rows.READ)
                        // Some of it, and all of it without the right.
                        .access(7, 4 * PAGE - 8, 4 * PAGE, Rows.READ)
                        .access(7, 2 * PAGE, 2 * PAGE, Rows.WRITE)
                        .unmap(99, 0, -1);
        Trace trace = rows.trace();
        assertThat(trace.notes()).isEqualTo(new Trace.Notes(12, 2, 1, 4, 0));
        assertThat(operations(trace)).isEqualTo("Mr");
        assertThat(trace.operations().offsets[1]).isEqualTo(2 * PAGE - 8);
        assertThat(trace.operations().lengths[1]).isEqualTo(8);
    }

    @Test
    void anAccessGoesOnInTheNextBufferAndOneUnmapTakesSeveral() throws TraceException {
        Trace trace =
                mapped().map(7, 4 * PAGE, 5 * PAGE - 1, PAGE, Rows.READ)
                        .map(7, 6 * PAGE, -1, PAGE, Rows.READ)
                        .access(7, 3 * PAGE, 7 * PAGE, Rows.READ)
                        .unmap(7, 0, -1)
                        .unmap(7, 0, -1)
                        .trace();
        assertThat(operations(trace)).isEqualTo("MMMrrrUUUu");
        assertThat(trace.operations().subjects).startsWith(0, 1, 2, 0, 1, 2, 0, 1, 2);
        assertThat(trace.operations().lengths).contains(PAGE, PAGE, PAGE + 1);
        assertThat(trace.operations().rows[9]).isEqualTo(5);
    }

    @Test
    void aDomainEndsWithItsLastEndpoint() throws TraceException {
        Rows rows = mapped().attach(2, 7).detach(1, 7);
        assertThat(operations(rows.trace())).isEqualTo("M");
        rows.attach(2, 8);
        assertThat(operations(rows.trace())).isEqualTo("ME");
        // It is another one now, and so is the same number of another IOMMU.
        rows.attach(1, 7)
                .map(7, 2 * PAGE, 4 * PAGE - 1, 0, Rows.READ)
                .add(
                        Event.MAP,
                        "machine/iommu1",
                        row -> {
                            row.domain(7);
                            row.status("OK");
                            row.range(2 * PAGE, 4 * PAGE - 1);
                        });
        assertThat(operations(rows.trace())).isEqualTo("MEMM");
        // The domains of this IOMMU and not of the other.
        rows.add(Event.RESET, _ -> {});
        Trace trace = rows.trace();
        assertThat(operations(trace)).isEqualTo("MEMMEE");
        assertThat(trace.operations().subjects).containsExactly(0, 0, 1, 2, 1, 2);
        assertThat(trace.domains()).isEqualTo(4);
    }

    @Test
    void onceEventsWereLostWhatDoesNotFitIsNoError() throws TraceException {
        Rows rows =
                mapped().add(Event.LOST, row -> row.lost(12))
                        .map(7, 3 * PAGE, 5 * PAGE - 1, 0, Rows.READ)
                        .unmap(7, 4 * PAGE, 8 * PAGE);
        Trace trace = rows.trace();
        assertThat(operations(trace)).isEqualTo("MUuM");
        assertThat(trace.notes().lost()).isEqualTo(12);
    }

    @Test
    void operationsHaveALimit() throws TraceException {
        Rows rows = mapped().access(7, 2 * PAGE, 2 * PAGE, Rows.READ);
        assertThat(operations(rows.trace(new TraceBuilder(2, 1)))).isEqualTo("Mr");
        assertThatExceptionOfType(TraceException.class)
                .isThrownBy(() -> rows.trace(new TraceBuilder(1, 1)))
                .withMessage("row 2: more than 1 operations up to here");
    }

    @Test
    void buffersHaveALimit() throws TraceException {
        Rows rows = mapped().unmap(7, 2 * PAGE, 4 * PAGE - 1).map(7, 0, PAGE - 1, 0, Rows.READ);
        assertThat(operations(rows.trace(new TraceBuilder(9, 2)))).isEqualTo("MUuM");
        assertThatExceptionOfType(TraceException.class)
                .isThrownBy(() -> rows.trace(new TraceBuilder(9, 1)))
                .withMessage("row 3: more than 1 buffers up to here");
    }

    @Test
    void domainsAndEndpointsHaveALimit() throws TraceException {
        Rows rows = new Rows();
        for (int i = 0; i < TraceBuilder.DOMAINS_MAX; i++) {
            rows.attach(i, i);
        }
        assertThat(rows.trace().domains()).isEqualTo(TraceBuilder.DOMAINS_MAX);
        rows.detach(5, 5).attach(5, 5_000);
        assertThat(rows.trace().domains()).isEqualTo(TraceBuilder.DOMAINS_MAX + 1);
        refused(rows.attach(70_000, 70_000), "more than 1024 domains at a time");
        Rows endpoints = new Rows();
        for (int i = 0; i < TraceBuilder.ATTACHED_MAX; i++) {
            endpoints.attach(i, 1);
        }
        assertThat(endpoints.trace().domains()).isEqualTo(1);
        refused(
                endpoints.attach(-2, 1),
                "row %d: more than 65536 endpoints".formatted(TraceBuilder.ATTACHED_MAX));
    }

    @Test
    void designsAreEachWithEachAndWhatIsNoneIsSaidWithItsOption() {
        List<String> one = List.of("amd");
        assertThat(
                        Design.all(
                                List.of("x86-64", "arm64", "amd"),
                                List.of("4k", "16k", "64k"),
                                List.of("strict", "lazy:256", "lazy:256:10ms"),
                                List.of("64", "1024", "none")))
                .hasSize(81)
                .doesNotHaveDuplicates();
        assertThat(Design.all(one, List.of("64k", "64K"), List.of("lazy:1"), List.of("none")))
                .extracting(Design::toString)
                .containsExactly("amd 64k lazy:1 iotlb none");
        wrong(
                () -> Design.all(List.of("x86"), one, one, one),
                "--format is x86-64, arm64, amd, not");
        wrong(
                () -> Design.all(one, List.of("8k"), one, one),
                "--granule is 4k, 16k or 64k, not 8k");
        for (String flush :
                List.of("lazy", "lazy:0", "lazy:1048577", "lazy:5:0ms", "lazy:-1", "")) {
            wrong(
                    () -> Design.all(one, List.of("4k"), List.of(flush), one),
                    "--flush is strict, lazy:N");
        }
        for (String iotlb : List.of("8", "63", "2097152", "0", "-64", "all")) {
            wrong(
                    () -> Design.all(one, List.of("4k"), List.of("strict"), List.of(iotlb)),
                    "--iotlb is none or a power of two");
        }
    }

    private static void wrong(Runnable made, String message) {
        assertThatExceptionOfType(IllegalArgumentException.class)
                .isThrownBy(made::run)
                .withMessageContaining(message);
    }
}
