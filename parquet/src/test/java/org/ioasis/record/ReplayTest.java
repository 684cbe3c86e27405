// SPDX-License-Identifier: Apache-2.0
package org.ioasis.record;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Consumer;
import org.ioasis.iommu.Completion;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.Refusal;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommu.Status;
import org.ioasis.machine.LocalIommu;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.virtio.iommu.DomainTable;
import org.ioasis.virtio.iommu.RequestType;
import org.ioasis.virtio.iommu.StateObserver;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What was recorded is answered again, and what is answered otherwise is found. */
final class ReplayTest {
    private static final int STEPS = 4000;
    private static final long PAGE = 0x1000;
    private static final int PAGES = 24;
    private static final long MIB = 1 << 20;

    @TempDir private Path folder;

    /** A machine to which anything happens, refused or not. */
    private static final class Churn {
        private final Random random;
        private final LocalIommu iommu;
        private final DomainTable requests;
        private final StateObserver told;
        private final List<Dma> ways = new ArrayList<>();
        private final MemorySegment bytes = Arena.ofAuto().allocate(4 * PAGE);

        Churn(long seed, Recorder recorder) throws IOException {
            random = new Random(seed);
            IommuOptions options =
                    IommuOptions.builder()
                            .bypassAtStart(random.nextBoolean())
                            .detachByEndpoint(random.nextBoolean())
                            .domainLimit(3)
                            .mappingLimit(PAGES / 2)
                            .domainRange(0, 4)
                            .build();
            iommu =
                    new LocalIommu(
                            options, Arena.ofAuto().allocate(MIB, PAGE), 0, System::nanoTime);
            told = recorder.watch("m", "i", iommu.engine());
            requests = new DomainTable(iommu.engine());
            ReservedRegion.Kind kind =
                    random.nextBoolean() ? ReservedRegion.Kind.MSI : ReservedRegion.Kind.RESERVED;
            ways.add(
                    iommu.plug(
                            1,
                            EndpointProperties.reserving(
                                    List.of(new ReservedRegion(3 * PAGE, 4 * PAGE - 1, kind)))));
            ways.add(iommu.plug(2, EndpointProperties.UNLIMITED));
        }

        void step() {
            switch (random.nextInt(20)) {
                case 0, 1 -> attach();
                case 2 -> detach();
                case 3, 4, 5, 6, 7 -> map();
                case 8, 9, 10 -> unmap();
                case 11 -> rare();
                default -> access();
            }
        }

        private Completion answer(
                RequestType type,
                int endpoint,
                int domain,
                long first,
                long last,
                long output,
                int flags) {
            return new Completion() {
                @Override
                public void complete(Status status) {
                    told.decided(type, endpoint, domain, first, last, output, flags, status, null);
                }

                @Override
                public void refused(Refusal refusal) {
                    told.decided(
                            type,
                            endpoint,
                            domain,
                            first,
                            last,
                            output,
                            flags,
                            refusal.status(),
                            refusal);
                }
            };
        }

        private int domain() {
            return random.nextInt(6);
        }

        /** Near the beginning or the end of the address space, mostly aligned. */
        private long address() {
            long page = random.nextInt(PAGES) * PAGE;
            long at = random.nextInt(8) == 0 ? -page : page;
            return random.nextInt(50) == 0 ? at + 8 : at;
        }

        private void attach() {
            int endpoint = random.nextInt(1, 4);
            int domain = domain();
            int bypass = random.nextInt(6) == 0 ? 1 : 0;
            requests.attach(
                    endpoint,
                    domain,
                    bypass == 1,
                    answer(RequestType.ATTACH, endpoint, domain, 0, 0, 0, bypass));
        }

        private void detach() {
            int endpoint = random.nextInt(1, 4);
            int domain = domain();
            requests.detach(
                    endpoint, domain, answer(RequestType.DETACH, endpoint, domain, 0, 0, 0, 0));
        }

        private void map() {
            int domain = domain();
            long first = address();
            long last = first + PAGE * random.nextInt(1, 4) - 1;
            long output = random.nextInt(40) == 0 ? -PAGE : PAGE * random.nextInt(200);
            int flags = random.nextInt(1, 4);
            requests.map(
                    domain,
                    first,
                    last,
                    output,
                    flags,
                    answer(RequestType.MAP, 0, domain, first, last, output, flags));
        }

        private void unmap() {
            int domain = domain();
            long first = address();
            long last =
                    random.nextInt(10) == 0 ? first - 1 : first + PAGE * random.nextInt(1, 12) - 1;
            requests.unmap(
                    domain, first, last, answer(RequestType.UNMAP, 0, domain, first, last, 0, 0));
        }

        private void rare() {
            Dma way = ways.get(random.nextInt(ways.size()));
            switch (random.nextInt(6)) {
                case 0 -> {
                    boolean isBypassing = random.nextBoolean();
                    iommu.engine().bypass(isBypassing);
                    told.bypass(isBypassing);
                }
                case 1 -> {
                    requests.forget();
                    iommu.engine().reset(() -> {});
                    told.reset(false);
                }
                case 2 -> {
                    requests.forget();
                    iommu.engine().systemReset(() -> {});
                    told.reset(true);
                }
                case 3 -> way.deviceReset();
                default -> way.deviceStarted();
            }
        }

        private void access() {
            Dma way = ways.get(random.nextInt(ways.size()));
            long address = address() + random.nextInt((int) PAGE);
            int length = random.nextInt(1, (int) (3 * PAGE));
            way.enter();
            try {
                switch (random.nextInt(4)) {
                    case 0 -> {
                        var _ = way.read(address, bytes, 0, length);
                    }
                    case 1 -> {
                        var _ = way.write(address, bytes, 0, length);
                    }
                    case 2 -> {
                        boolean _ = way.resolveWhole(address, length);
                    }
                    default -> {
                        var _ = way.resolve(address, length, Access.WRITE);
                    }
                }
            } finally {
                way.leave();
            }
        }
    }

    @SuppressWarnings("try") // closed early: then its figures are complete
    private Path recorded(long seed, Map<Event, Integer> seen) throws IOException {
        Path file = folder.resolve("churn.parquet");
        try (Recorder recorder = Recorder.create(RecordConfig.of(file, 64, "a test"))) {
            Churn churn = new Churn(seed, recorder);
            recorder.begin();
            for (int i = 0; i < STEPS; i++) {
                churn.step();
            }
            recorder.close();
            assertThat(recorder.figures().lost()).isZero();
            churn.iommu.close();
        }
        each(file, row -> seen.merge(row.event(), 1, Integer::sum));
        return file;
    }

    private static void each(Path file, Consumer<Row> told) throws IOException {
        try (RowFiles.Reader reader = RowFiles.found().open(file)) {
            Row row = new Row();
            while (reader.next(row)) {
                told.accept(row);
            }
        }
    }

    /** The same recording with rows changed on their way. */
    private Path changed(Path file, Consumer<Row> change) throws IOException {
        Path other = folder.resolve("changed.parquet");
        try (RowFiles.Reader reader = RowFiles.found().open(file);
                FileChannel channel =
                        FileChannel.open(
                                other,
                                StandardOpenOption.CREATE,
                                StandardOpenOption.TRUNCATE_EXISTING,
                                StandardOpenOption.WRITE);
                RowFiles.Writer writer = RowFiles.found().create(channel)) {
            Row row = new Row();
            while (reader.next(row)) {
                change.accept(row);
                writer.add(row);
            }
            assertThat(writer.flush(reader.about(), Long.MAX_VALUE)).isTrue();
        }
        return other;
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void whateverHappensIsAnsweredAgainAsItWas(long seed) throws IOException {
        Map<Event, Integer> seen = new EnumMap<>(Event.class);
        Path file = recorded(seed, seen);

        Replay.Result result = Replay.of(file);
        assertThat(result.difference()).isNull();
        assertThat(result.isExact()).isTrue();
        assertThat(result.elsewhere()).isZero();
        assertThat(result.requests() + result.accesses() + result.faults() + result.others())
                .isEqualTo(result.rows());
        assertThat(seen)
                .containsKeys(
                        Event.MAP,
                        Event.UNMAP,
                        Event.ATTACH,
                        Event.DETACH,
                        Event.BYPASS,
                        Event.RESET,
                        Event.START,
                        Event.STOP,
                        Event.ACCESS,
                        Event.FAULT);
        assertThat(result.accesses()).isEqualTo(requireNonNull(seen.get(Event.ACCESS)).longValue());
        assertThat(result.faults()).isEqualTo(requireNonNull(seen.get(Event.FAULT)).longValue());
    }

    private static long sequenceOf(Path file, Event event, @Nullable String status)
            throws IOException {
        long[] found = {-1};
        each(
                file,
                row -> {
                    boolean isOne =
                            row.event() == event && (status == null || status.equals(row.status()));
                    // Not one of the first, so that there are rows before it.
                    if (found[0] < 0 && isOne && row.sequence() > 50) {
                        found[0] = row.sequence();
                    }
                });
        assertThat(found[0]).isNotNegative();
        return found[0];
    }

    private void assertFound(Path file, long sequence, Consumer<Row> change, String replayed)
            throws IOException {
        Path other =
                changed(
                        file,
                        row -> {
                            if (row.sequence() == sequence) {
                                change.accept(row);
                            }
                        });
        Replay.Difference difference = requireNonNull(Replay.of(other).difference());
        assertThat(difference.sequence()).isEqualTo(sequence);
        assertThat(difference.replayed()).contains(replayed);
        assertThat(difference.around()).hasSize(11);
        assertThat(difference.around().get(5)).isEqualTo(sequence + " " + difference.recorded());
    }

    @Test
    void anAnswerThatIsAnotherOneIsFoundWithTheRowsAroundIt() throws IOException {
        Path file = recorded(1, new EnumMap<>(Event.class));
        long map = sequenceOf(file, Event.MAP, "OK");
        long refused = sequenceOf(file, Event.MAP, "INVAL");
        long access = sequenceOf(file, Event.ACCESS, null);
        long fault = sequenceOf(file, Event.FAULT, "MAPPING");

        assertFound(
                file,
                refused,
                row -> {
                    row.status("OK");
                    row.refusal(null);
                },
                "INVAL");
        assertFound(file, refused, row -> row.refusal("BACKWARD"), "INVAL (");
        assertFound(
                file,
                map,
                row -> {
                    row.status("NOMEM");
                    row.refusal("MAPPING_LIMIT");
                },
                "OK");
        assertFound(file, access, row -> row.output(row.output() + 1), "reaches 0x");
        assertFound(file, fault, row -> row.status("DOMAIN"), "is refused (MAPPING)");
    }

    @Test
    void whereRowsAreMissingTheReplayEnds() throws IOException {
        Path file = recorded(2, new EnumMap<>(Event.class));
        Path other =
                changed(
                        file,
                        row -> {
                            if (row.sequence() == 1000) {
                                row.begin(1000, row.time(), Event.LOST, row.iommu());
                                row.lost(5);
                            }
                        });

        Replay.Result result = Replay.of(other);
        assertThat(result.lostAt()).isEqualTo(1000);
        assertThat(result.isExact()).isFalse();
        assertThat(result.difference()).isNull();
        assertThat(result.requests() + result.accesses() + result.faults() + result.others())
                .isEqualTo(1000);
    }

    /** Two IOMMUs, each with the same mappings far from each other. */
    private Path twins(int mappings) throws IOException {
        Path one = recorded(1, new EnumMap<>(Event.class));
        Map<String, String> about = new HashMap<>();
        try (RowFiles.Reader reader = RowFiles.found().open(one)) {
            about.putAll(reader.about());
        }
        String words = requireNonNull(about.get("ioasis.iommu.0"));
        about.put("ioasis.iommu.1", words.replace("m/i", "m/j"));
        about.put(
                "ioasis.iommu.1.endpoint.1",
                requireNonNull(about.get("ioasis.iommu.0.endpoint.1")));
        Path file = folder.resolve("twins.parquet");
        try (FileChannel channel =
                        FileChannel.open(
                                file,
                                StandardOpenOption.CREATE,
                                StandardOpenOption.TRUNCATE_EXISTING,
                                StandardOpenOption.WRITE);
                RowFiles.Writer writer = RowFiles.found().create(channel)) {
            Row row = new Row();
            int sequence = 0;
            for (String iommu : List.of("m/i", "m/j")) {
                row.begin(sequence++, 0, Event.ATTACH, iommu);
                row.endpoint(1);
                row.domain(1);
                row.status("OK");
                writer.add(row);
                for (int i = 0; i < mappings; i++) {
                    row.begin(sequence++, 0, Event.MAP, iommu);
                    row.domain(1);
                    long first = (i + 1L) << 40;
                    row.range(first, first + PAGE - 1);
                    row.flags(1);
                    row.status("OK");
                    writer.add(row);
                }
            }
            assertThat(writer.flush(about, Long.MAX_VALUE)).isTrue();
        }
        return file;
    }

    @Test
    void theTablesOfAllIommusTogetherHaveALimit() throws IOException {
        Path file = twins(5);
        // Of each a root, and for each mapping three tables below it.
        long all = 2 * (1 + 5 * 3) * PAGE;
        assertThat(Replay.of(file, all).isExact()).isTrue();
        assertThatThrownBy(() -> Replay.of(file, all - 1))
                .isInstanceOf(IOException.class)
                .hasMessageContaining(
                        "at row 11 its IOMMUs have %d bytes of tables, more than a replay"
                                .formatted(all));
    }

    @Test
    void whatAReplayCannotDoIsSaid() throws IOException {
        Path file = recorded(3, new EnumMap<>(Event.class));
        assertThatThrownBy(() ->
                        Replay.of(
                                changed(
                                        file,
                                        row -> {
                                            if (row.event() == Event.ACCESS) {
                                                row.endpoint(77);
                                            }
                                        })))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("is of endpoint 0x4d, which the recording does not describe");
        assertThatThrownBy(() ->
                        Replay.of(
                                changed(
                                        file,
                                        row -> {
                                            if (row.event() == Event.MAP) {
                                                row.flags(-1);
                                            }
                                        })))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("maps with flags -1, which the engine does not know");
        assertThatThrownBy(() ->
                        Replay.of(
                                changed(
                                        file,
                                        row -> {
                                            if (row.sequence() == 9) {
                                                row.begin(9, 0, Event.TABLE, row.iommu());
                                                row.endpoint(1);
                                                row.status("OK");
                                            }
                                        })))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("at row 9 the driver hands over page tables of its own");
    }
}
