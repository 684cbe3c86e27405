// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep.job;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.apache.parquet.conf.PlainParquetConfiguration;
import org.apache.parquet.example.data.Group;
import org.apache.parquet.hadoop.ParquetReader;
import org.apache.parquet.hadoop.example.GroupReadSupport;
import org.apache.parquet.io.InputFile;
import org.apache.parquet.io.LocalInputFile;
import org.ioasis.record.Event;
import org.ioasis.record.Row;
import org.ioasis.record.RowFiles;
import org.ioasis.sweep.Answer;
import org.ioasis.sweep.Design;
import org.ioasis.sweep.ReportFolder;
import org.ioasis.sweep.Simulation;
import org.ioasis.sweep.SweepReport;
import org.ioasis.sweep.Trace;
import org.ioasis.sweep.TraceException;
import org.ioasis.sweep.TraceFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class SweepMainTest {
    private static final long PAGE = 4096;
    private static final long SPAN = 64 * PAGE;
    private static final List<String> DESIGNS =
            List.of(
                    "--granule",
                    "4k,64k",
                    "--flush",
                    "strict,lazy:16",
                    "--iotlb",
                    "64,none",
                    "--format",
                    "x86-64,arm64,amd");

    private static final Map<String, String> ABOUT = Map.of("ioasis.schema", "1");
    private static final List<Event> EVENTS = List.of(Event.MAP, Event.ACCESS, Event.UNMAP);

    @TempDir Path folder;

    /** What a command said, and its status. */
    private record Said(int status, String out, String err) {}

    private static Said sweep(List<String> arguments, String... more) {
        List<String> all = new ArrayList<>(arguments);
        all.addAll(List.of(more));
        PrintStream out = System.out;
        PrintStream err = System.err;
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        ByteArrayOutputStream complained = new ByteArrayOutputStream();
        System.setOut(new PrintStream(said, true, UTF_8));
        System.setErr(new PrintStream(complained, true, UTF_8));
        try {
            int status = SweepMain.run(all.toArray(String[]::new));
            return new Said(status, said.toString(UTF_8), complained.toString(UTF_8));
        } finally {
            System.setOut(out);
            System.setErr(err);
        }
    }

    private Path trace(String name, long seed, int count) throws IOException {
        Path file = Files.createFile(folder.resolve(name));
        Random random = new Random(seed);
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE);
                RowFiles.Writer writer = RowFiles.found().create(channel)) {
            Row row = new Row();
            row.begin(0, 0, Event.ATTACH, "m/i");
            row.endpoint(1);
            row.domain(7);
            row.status("OK");
            writer.add(row);
            for (int i = 1; i < count; i++) {
                long first = (i / 3 % 40 + 1) * SPAN;
                Event event = EVENTS.get((i - 1) % 3);
                row.begin(i, 1_000L * i, event, "m/i");
                row.domain(7);
                row.range((i - 1) / 3 * SPAN, (i - 1) / 3 * SPAN + 8 * PAGE - 1);
                if (event == Event.ACCESS) {
                    row.endpoint(1);
                    row.flags(1);
                } else {
                    row.status("OK");
                }
                if (event == Event.MAP) {
                    row.output(first + random.nextInt(4) * PAGE);
                    row.flags(3);
                }
                writer.add(row);
                if (writer.pending() == writer.pendingLimit()) {
                    assertThat(writer.flush(ABOUT, Long.MAX_VALUE)).isTrue();
                }
            }
            assertThat(writer.flush(ABOUT, Long.MAX_VALUE)).isTrue();
        }
        return file;
    }

    /** The figures of a report by trace and design, without the speed. */
    private static Map<String, String> figures(String json) throws IOException {
        Map<String, String> figures = new TreeMap<>();
        for (JsonNode one : new ObjectMapper().readTree(json).get("figures")) {
            StringBuilder text = new StringBuilder();
            one.properties()
                    .forEach(field -> {
                        if (!field.getKey().equals("translations_per_second")) {
                            text.append(field).append(' ');
                        }
                    });
            String key =
                    "%s %s %s %s %s"
                            .formatted(
                                    one.get("trace").asText(),
                                    one.get("format").asText(),
                                    one.get("granule").asText(),
                                    one.get("flush").asText(),
                                    one.get("iotlb").asText());
            assertThat(figures.put(key, text.toString())).isNull();
            assertThat(one.get("translations_per_second").asDouble()).isPositive();
        }
        return figures;
    }

    @Test
    void twoWorkersFindWhatOneFindsAndWhatIsFoundWithoutThem() throws IOException, TraceException {
        Path a = trace("a.parquet", 1, 4_000);
        Path b = trace("b.parquet", 2, 400);
        List<String> arguments = new ArrayList<>(List.of(a.toString(), b.toString()));
        arguments.addAll(DESIGNS);
        Path report = folder.resolve("report");
        Said one = sweep(arguments, "--master", "local[1]", "--json");
        Said two =
                sweep(arguments, "--master", "local[2]", "--json", "--report", report.toString());
        assertThat(one.status()).as(one.err()).isZero();
        assertThat(two.status()).as(two.err()).isZero();
        Map<String, String> figures = figures(two.out());
        assertThat(figures).hasSize(48).isEqualTo(figures(one.out()));
        // The other way to the same figures.
        List<Answer> plain = new ArrayList<>();
        for (Path file : List.of(a, b)) {
            Trace trace = TraceFile.read(file);
            for (Design design :
                    Design.all(
                            List.of("x86-64", "arm64", "amd"),
                            List.of("4k", "64k"),
                            List.of("strict", "lazy:16"),
                            List.of("64", "none"))) {
                plain.add(
                        new Answer(
                                file.getFileName().toString(),
                                trace.notes(),
                                trace.nanos(),
                                trace.accesses(),
                                design,
                                Simulation.run(trace, design)));
            }
        }
        assertThat(figures(new SweepReport(plain).json())).isEqualTo(figures);
        assertReport(report, two.out());
        // An earlier report may be replaced, somebody's file may not.
        assertThat(new ReportFolder(report).refusal()).isNull();
        Files.writeString(report.resolve("mine"), "x");
        Said refused = sweep(arguments, "--report", report.toString());
        assertThat(refused.status()).isEqualTo(2);
        assertThat(refused.err()).contains("has mine, which is of no report");
    }

    /** The page, and the same figures in both forms. */
    private static void assertReport(Path report, String json) throws IOException {
        assertThat(Files.readString(report.resolve("figures.json"))).isEqualTo(json);
        JsonNode figures = new ObjectMapper().readTree(json).get("figures");
        int rows = 0;
        InputFile file = new LocalInputFile(report.resolve("figures.parquet"));
        try (ParquetReader<Group> reader =
                new ParquetReader.Builder<Group>(file, new PlainParquetConfiguration()) {
                    @Override
                    protected GroupReadSupport getReadSupport() {
                        return new GroupReadSupport();
                    }
                }.build()) {
            for (Group row = reader.read(); row != null; row = reader.read()) {
                JsonNode wanted = figures.get(rows);
                for (int i = 0; i < row.getType().getFieldCount(); i++) {
                    String name = row.getType().getFieldName(i);
                    assertThat(row.getValueToString(i, 0)).isEqualTo(wanted.get(name).asText());
                }
                assertThat(row.getType().getFieldCount()).isEqualTo(wanted.size());
                rows++;
            }
        }
        assertThat(rows).isEqualTo(48).isEqualTo(figures.size());
        String page = Files.readString(report.resolve("index.html"));
        assertThat(page)
                .contains("<h2>a.parquet</h2>", "<h2>b.parquet</h2>", "<svg ", "</html>")
                .doesNotContain("<script", "src=");
        // The names of XML are no addresses that a browser would ask.
        assertThat(page.replace("http://www.w3.org/2000/svg", "")).doesNotContain("//");
    }

    @Test
    void whatIsNoTraceIsSaidWithItsNameBeforeAnythingStarts() throws IOException {
        Path file = trace("t.parquet", 3, 50);
        byte[] whole = Files.readAllBytes(file);
        Path cut = Files.write(folder.resolve("cut"), Arrays.copyOf(whole, 200));
        Path text = Files.writeString(folder.resolve("text"), "MAP 1 2 3\n".repeat(100));
        for (Path wrong : List.of(cut, text, folder, folder.resolve("none"))) {
            Said said = sweep(List.of(file.toString(), wrong.toString()));
            assertThat(said.status()).as(said.err()).isEqualTo(1);
            assertThat(said.out()).isEmpty();
            assertThat(said.err()).startsWith("ioasis sweep: " + wrong).hasLineCount(1);
        }
    }

    @Test
    void aRowThatCannotBeIsSaidWithFileAndRow() throws IOException {
        Path file = folder.resolve("reversed");
        Files.createFile(file);
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE);
                RowFiles.Writer writer = RowFiles.found().create(channel)) {
            Row row = new Row();
            for (int i = 0; i < 3; i++) {
                row.begin(i, 0, Event.MAP, "m/i");
                row.domain(1);
                row.status("OK");
                row.range(i == 2 ? 9 * PAGE : i * PAGE, i * PAGE + PAGE - 1);
                writer.add(row);
            }
            assertThat(writer.flush(ABOUT, Long.MAX_VALUE)).isTrue();
        }
        Said said = sweep(List.of(file.toString()), "--master", "local[1]");
        assertThat(said.status()).as(said.err()).isEqualTo(1);
        assertThat(said.err())
                .isEqualTo(
                        "ioasis sweep: %s: row 2: MAP of 0x9000..0x2fff, which is reversed%n"
                                .formatted(file));
    }
}
