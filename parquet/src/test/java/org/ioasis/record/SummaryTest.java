// SPDX-License-Identifier: Apache-2.0
package org.ioasis.record;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is told of a recording. */
final class SummaryTest {
    @TempDir private Path folder;

    /** Maps of 4 KiB, one of all addresses, reads and writes, faults, a refusal, over 200 ms. */
    private Path written() throws IOException {
        Path file = folder.resolve("r.parquet");
        try (FileChannel channel =
                        FileChannel.open(
                                file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                RowFiles.Writer writer = RowFiles.found().create(channel)) {
            Row row = new Row();
            for (int i = 0; i < 200; i++) {
                row.begin(i, i * 1_000_000L, Event.MAP, "m/i");
                row.domain(i % 2);
                row.range(0x1000L * i, 0x1000L * i + 0xfff);
                row.status("OK");
                switch (i) {
                    case 7 -> row.range(0, -1);
                    case 8 -> row.status("NOMEM");
                    case 50, 51, 52 -> {
                        row.begin(i, i * 1_000_000L, Event.ACCESS, "m/i");
                        row.endpoint(i == 52 ? 9 : 8);
                        row.range(0x1000, 0x17ff);
                        row.flags(i == 51 ? 2 : 1);
                    }
                    case 90 -> {
                        row.begin(i, i * 1_000_000L, Event.FAULT, "m/i");
                        row.endpoint(8);
                        row.status("MAPPING");
                    }
                    case 91 -> {
                        row.begin(i, i * 1_000_000L, Event.LOST, "m/i");
                        row.lost(12);
                    }
                    default -> {
                        // A MAP like most.
                    }
                }
                writer.add(row);
            }
            assertThat(
                            writer.flush(
                                    Map.of("ioasis.schema", "1", "ioasis.command", "ioasis vm"),
                                    Long.MAX_VALUE))
                    .isTrue();
        }
        return file;
    }

    @Test
    void whatIsInARecordingIsCounted() throws IOException {
        Summary summary = Summary.of(written());

        assertThat(summary.rows()).isEqualTo(200);
        assertThat(summary.lost()).isEqualTo(12);
        assertThat(summary.count(Event.MAP)).isEqualTo(195);
        assertThat(summary.refusals()).isEqualTo(Map.of("MAP NOMEM", 1L));
        assertThat(summary.domains()).isEqualTo(2);
        assertThat(summary.sizes()[12]).isEqualTo(193);
        assertThat(summary.sizes()[64]).isEqualTo(1);
        // Each number is of four milliseconds: of fewer there would be more than fit.
        assertThat(summary.curveNanos()).isEqualTo(1L << 22);
        long[] requests = summary.curve(Summary.Curve.REQUESTS);
        assertThat(Arrays.stream(requests).sum()).isEqualTo(195);
        assertThat(requests).hasSize(48);
        long[] faults = summary.curve(Summary.Curve.FAULTS);
        assertThat(faults[90_000_000 >> 22]).isEqualTo(1);
        assertThat(Arrays.stream(faults).sum()).isEqualTo(1);
    }

    @Test
    void peopleSeeItWithPlots() throws IOException {
        assertThat(SummaryText.of(Summary.of(written())))
                .contains(": 200 rows in 0.199 s, recorded by ioasis vm\n")
                .contains("\n12 rows are missing, which could not be written\n")
                .contains("\n  MAP               195\n")
                .contains("\n  MAP NOMEM            1\n")
                .contains(
                        "\n  m/i 0x8                                 1      2.0 KiB            1      2.0"
                                + " KiB          1\n")
                .contains("\n     4 KiB          193 " + "█".repeat(40) + "\n")
                .contains("\n    16 EiB            1 █\n")
                .contains("\n  accesses          477/s |           ▄█ ");
    }

    @Test
    void programsSeeTheSame() throws IOException {
        assertThat(RecordJson.of(Summary.of(written())))
                .contains("\"rows\" : 200")
                .contains("\"lost\" : 12")
                .contains("\"MAP NOMEM\" : 1")
                .contains("\"name\" : \"m/i 0x8\"")
                .contains("\"writtenBytes\" : 2048");
    }

    @Test
    void endpointsBeyondTheLimitAreCountedTogether() throws IOException {
        Path file = folder.resolve("many.parquet");
        try (FileChannel channel =
                        FileChannel.open(
                                file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                RowFiles.Writer writer = RowFiles.found().create(channel)) {
            Row row = new Row();
            for (int i = 0; i < 1030; i++) {
                row.begin(i, 0, Event.FAULT, "m/i");
                row.endpoint(i);
                row.status("MAPPING");
                writer.add(row);
            }
            assertThat(writer.flush(Map.of("ioasis.schema", "1"), Long.MAX_VALUE)).isTrue();
        }
        Map<String, Summary.Endpoint> endpoints = Summary.of(file).endpoints();
        assertThat(endpoints).hasSize(1025).containsKey("others");
        assertThat(requireNonNull(endpoints.get("others")).faults()).isEqualTo(6);
    }
}
