// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VirtioIommu.*;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.function.Function;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.Machine;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What holds is seen to hold, and what does not is seen not to. */
class ConformTest {
    @TempDir private Path folder;

    private static final int PROBE_SIZE = 64;

    /** A device that has an answer for each request, and no memory of any. */
    private static final class Parrot implements Candidate, Seat {
        private final long offered;
        private final Function<Request, Answer> answers;
        private final int probeSize;
        private List<Request> sent = List.of();

        Parrot(long offered, Function<Request, Answer> answers) {
            this(offered, answers, PROBE_SIZE);
        }

        Parrot(long offered, Function<Request, Answer> answers, int probeSize) {
            this.offered = offered;
            this.answers = answers;
            this.probeSize = probeSize;
        }

        @Override
        public long offered() {
            return offered;
        }

        @Override
        public Seat seat() {
            return this;
        }

        @Override
        public List<Integer> endpoints() {
            return List.of(1, 2);
        }

        @Override
        public List<Integer> absent() {
            return List.of(3);
        }

        @Override
        public @Nullable Effect access(Step.Access access) {
            return null;
        }

        @Override
        public void start(long features) {}

        @Override
        public byte[] config() {
            return ByteBuffer.allocate(CONFIG_SIZE)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putLong(CONFIG_PAGE_SIZE_MASK, 4096)
                    .putLong(CONFIG_INPUT_END, (1L << 39) - 1)
                    .putInt(CONFIG_DOMAIN_END, 7)
                    .putInt(CONFIG_PROBE_SIZE, probeSize)
                    .put(CONFIG_BYPASS, (byte) 2)
                    .array();
        }

        @Override
        public boolean configure(Step.Configure step) {
            return false;
        }

        @Override
        public void send(List<Request> batch) {
            sent = batch;
        }

        @Override
        public List<Answer> collect() {
            return sent.stream().map(answers).toList();
        }

        @Override
        public Effect.@Nullable Event event() {
            return null;
        }

        @Override
        public void close() {}
    }

    private static List<String> ids(List<Check.Result> results, Check.Outcome outcome) {
        return results.stream()
                .filter(each -> each.outcome() == outcome)
                .map(each -> each.check().id())
                .toList();
    }

    @Test
    void nothingIsWrongWithOurs() throws Exception {
        ConformanceReport report = Conformance.ours();

        assertThat(ids(report.results(), Check.Outcome.VIOLATED)).as(report.text()).isEmpty();
        // PROBE is offered, so what a device does that does not is not seen.
        assertThat(ids(report.results(), Check.Outcome.NOT_SEEN)).containsExactly("D-48");
        assertThat(report.isOk()).isTrue();
        assertThat(report.results()).hasSize(Checks.all().size());
        assertThat(Checks.all()).extracting(Check::id).doesNotHaveDuplicates();
        assertThat(report.json()).contains("\"ok\" : true", "\"id\" : \"D-16\"");
    }

    /** Through a socket, as a VMM has it. */
    @Test
    void nothingIsWrongWithOursOverVfioUser() throws Exception {
        Path socket = folder.resolve("iommu.sock");
        try (Machine machine =
                new Machine(
                        "ours",
                        IommuOptions.builder().detachByEndpoint(false).build(),
                        IdlePolicy.EVENT_DRIVEN,
                        socket)) {
            for (int endpoint : new int[] {8, 9}) {
                machine.iommus().getFirst().engine().plug(endpoint, Machine.X86_ENDPOINT);
            }
            machine.start();

            ConformanceReport report =
                    Conformance.vfioUser(socket, List.of(8, 9), List.of(10, 0x10008));

            assertThat(ids(report.results(), Check.Outcome.VIOLATED)).as(report.text()).isEmpty();
            assertThat(ids(report.results(), Check.Outcome.NOT_SEEN))
                    .containsExactly(
                            "D-15", "D-31", "D-37", "D-48", "D-60", "D-61", "D-62", "D-64", "P-03",
                            "P-04", "P-11");
        }
    }

    @Test
    void aDeviceThatAgreesWithEverythingIsSeenThrough() throws Exception {
        List<Check.Result> results =
                Conformance.ask(
                        new Parrot(
                                Requests.EVERYTHING | F_BYPASS,
                                request ->
                                        Answer.tail(
                                                request,
                                                S_OK,
                                                Math.max(0, request.writable() - TAIL_SIZE))));

        assertThat(ids(results, Check.Outcome.VIOLATED))
                .containsExactly(
                        "D-02", "D-03", "D-07", "D-09", "D-11", "D-12", "D-16", "D-17", "D-18",
                        "D-21", "D-23", "D-29", "D-32", "D-33", "D-34", "D-35", "D-36", "D-41",
                        "D-42", "D-43", "D-44", "D-47", "D-53", "P-01", "P-02", "P-03", "P-04",
                        "P-05", "P-09", "P-12", "P-13");
        assertThat(results)
                .filteredOn(each -> each.outcome() == Check.Outcome.VIOLATED)
                .allSatisfy(each -> assertThat(each.reason()).isNotEmpty());
    }

    @Test
    void aDeviceThatRefusesEverythingIsSeenThrough() throws Exception {
        for (int status : new int[] {S_IOERR, S_DEVERR, 99}) {
            List<Check.Result> results =
                    Conformance.ask(
                            new Parrot(
                                    Requests.EVERYTHING,
                                    request ->
                                            Answer.tail(
                                                    request,
                                                    status,
                                                    Math.max(0, request.writable() - TAIL_SIZE))));

            assertThat(ids(results, Check.Outcome.VIOLATED))
                    .contains("D-10", "D-13", "D-16", "D-17", "D-18", "D-46", "P-12");
            // The domain that it must be done in cannot be had.
            assertThat(ids(results, Check.Outcome.NOT_SEEN)).contains("D-22", "D-32", "P-13");
        }
    }

    @Test
    void aDeviceThatAsksForTooLargeAListIsAskedToTheEnd() throws Exception {
        for (int size :
                new int[] {
                    -1, Integer.MIN_VALUE, Integer.MAX_VALUE, Request.WRITABLE - TAIL_SIZE + 1
                }) {
            List<Check.Result> results =
                    Conformance.ask(
                            new Parrot(
                                    Requests.EVERYTHING,
                                    request -> Answer.tail(request, S_OK, 0),
                                    size));

            assertThat(results).hasSize(Checks.all().size());
            assertThat(results)
                    .filteredOn(each -> each.check().id().equals("D-51"))
                    .extracting(Check.Result::reason)
                    .containsExactly("probe_size is " + Integer.toUnsignedString(size));
        }
    }

    /**
     * A device whose list has one reserved region, at some byte of it, and that asks for a reset
     * where a list is too small.
     */
    private static List<Check.Result> withRegionAt(int at) throws Exception {
        ByteBuffer list =
                ByteBuffer.allocate(PROBE_SIZE + TAIL_SIZE).order(ByteOrder.LITTLE_ENDIAN);
        if (at > 0) {
            list.putShort(PROPERTY_TYPE, (short) 7);
            list.putShort(PROPERTY_LENGTH, (short) (at - PROPERTY_HEAD_SIZE));
        }
        list.putShort(at + PROPERTY_TYPE, (short) PROBE_T_RESV_MEM);
        list.putShort(at + PROPERTY_LENGTH, (short) (RESV_MEM_SIZE - PROPERTY_HEAD_SIZE));
        return Conformance.ask(
                new Parrot(
                        Requests.EVERYTHING,
                        request -> {
                            if (!request.is(T_PROBE)) {
                                return Answer.tail(request, S_OK, 0);
                            }
                            return request.writable() == PROBE_SIZE + TAIL_SIZE
                                    ? new Answer(PROBE_SIZE + TAIL_SIZE, list.array())
                                    : Answer.NEEDS_RESET;
                        }));
    }

    @Test
    void aRegionThatEndsBehindTheListIsAskedNothing() throws Exception {
        for (int at = PROBE_SIZE - RESV_MEM_SIZE + 1; at <= PROBE_SIZE - PROPERTY_HEAD_SIZE; at++) {
            List<Check.Result> results = withRegionAt(at);

            assertThat(results).hasSize(Checks.all().size());
            assertThat(ids(results, Check.Outcome.VIOLATED)).contains("D-51");
            assertThat(ids(results, Check.Outcome.NOT_SEEN))
                    .contains("D-55", "D-56", "D-57", "D-58");
        }
        assertThat(ids(withRegionAt(PROBE_SIZE - RESV_MEM_SIZE), Check.Outcome.HOLDS))
                .contains("D-55", "D-56", "D-57");
    }

    @Test
    void aDeviceThatAsksForAResetHasWrittenNoProperty() throws Exception {
        List<Check.Result> results = withRegionAt(0);

        assertThat(ids(results, Check.Outcome.HOLDS)).contains("D-50", "D-51", "D-52");
        assertThat(ids(results, Check.Outcome.VIOLATED)).contains("D-53");
    }

    @Test
    void aViolationComesWithTheWayToSeeIt() throws Exception {
        Check.Result result =
                Checks.all().stream()
                        .filter(each -> each.id().equals("D-16"))
                        .findFirst()
                        .orElseThrow()
                        .ask(
                                new Parrot(
                                        Requests.EVERYTHING,
                                        request -> Answer.tail(request, S_OK, 0)),
                                new LinkedHashSet<>());

        assertThat(result.reason()).isEqualTo("OK, not INVAL");
        assertThat(result.steps()).hasSize(2);
        assertThat(result.steps().getLast()).startsWith("ATTACH endpoint=0x1").endsWith(": OK");
        assertThat(new ConformanceReport("it", List.of(result)).text())
                .contains("D-16  MUST       does not hold")
                .endsWith("it: 0 of 1 statements hold, 1 do not, 0 cannot be seen\n");
    }
}
