// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.ioasis.guestkit.KernelTests;
import org.ioasis.output.OutputFile;
import org.ioasis.output.OutputKind;
import org.ioasis.program.CallTrace;
import org.ioasis.selftests.SelftestReport;
import org.ioasis.sweep.SweepReport;
import org.ioasis.topology.DeviceTree;
import org.ioasis.topology.Viot;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What is there and is not ours stays; what is ours is replaced, but not under its writer. */
class OutputFileTest {
    private static final byte[] NEW = {1, 2, 3};

    @TempDir Path folder;
    private Path path;

    @BeforeEach
    void choosePath() {
        path = folder.resolve("file");
    }

    private static byte[] viot(Viot.Oem oem) {
        return Viot.table(
                oem,
                List.of(new Viot.Iommu(0, 8)),
                List.of(new Viot.PciRange(0, 0, 0x10, 0x10, 0x10)),
                Viot.OwnFunction.REFUSED);
    }

    /** As the command of this kind writes it. */
    private static byte[] sample(OutputKind kind) throws IOException {
        return switch (kind) {
            case TRACE ->
                    "2026-01-02T03:04:05.000006Z trace begun\n".getBytes(StandardCharsets.US_ASCII);
            case JSON_TRACE ->
                    "{\"time\":\"2026-01-02T03:04:05Z\",\"iommu\":\"trace\",\"kind\":\"begun\"}\n"
                            .getBytes(StandardCharsets.US_ASCII);
            case RECORDING -> "PAR1ioasis recording\n".getBytes(StandardCharsets.US_ASCII);
            case RUN_REPORT ->
                    "{\n  \"report\" : \"ioasis vm\",\n".getBytes(StandardCharsets.US_ASCII);
            case CALLS ->
                    (CallTrace.HEADER + "\n12 open(/dev/iommu) = 700\n")
                            .getBytes(StandardCharsets.US_ASCII);
            case SELFTESTS ->
                    new SelftestReport(KernelTests.Suite.IOMMUFD, "7.3", List.of())
                            .json()
                            .getBytes(StandardCharsets.US_ASCII);
            case SELFTESTS_DOCUMENT ->
                    new SelftestReport(KernelTests.Suite.IOMMUFD, "7.3", List.of())
                            .document()
                            .getBytes(StandardCharsets.US_ASCII);
            case COMPARISON ->
                    "{\n  \"report\" : \"ioasis compare\",\n".getBytes(StandardCharsets.US_ASCII);
            case TABLES ->
                    "ioasis compare tables: a recording\n\u001f\b"
                            .getBytes(StandardCharsets.US_ASCII);
            case BENCH ->
                    "{\n  \"report\" : \"ioasis bench\",\n".getBytes(StandardCharsets.US_ASCII);
            case GUEST_BENCH ->
                    "{\n  \"report\" : \"ioasis bench guest\",\n"
                            .getBytes(StandardCharsets.US_ASCII);
            case PLOT ->
                    "<svg width=\"1\">\n<title>ioasis bench trackers</title>\n"
                            .getBytes(StandardCharsets.US_ASCII);
            case SWEEP -> new SweepReport(List.of()).json().getBytes(StandardCharsets.UTF_8);
            case SWEEP_FIGURES -> "PAR1ioasis sweep\n".getBytes(StandardCharsets.US_ASCII);
            case SWEEP_PAGE -> new SweepReport(List.of()).page().getBytes(StandardCharsets.UTF_8);
            case VIOT -> viot(Viot.Oem.IOASIS);
            case SERVED_VIOT -> viot(Viot.Oem.SERVED);
            case OVERLAY ->
                    DeviceTree.overlay(
                            List.of(new Viot.MmioIommu(0x1000)),
                            List.of(),
                            new DeviceTree.Places(Map.of(), Map.of(0x1000L, "/m@1000")));
        };
    }

    @ParameterizedTest
    @EnumSource
    void fileOfSomebodyElsesStays(OutputKind kind) throws Exception {
        List<byte[]> theirs =
                List.of(
                        new byte[1],
                        "notes of mine\n".getBytes(StandardCharsets.US_ASCII),
                        "2026-01-02T03:04:05Z a log of another program\n"
                                .getBytes(StandardCharsets.US_ASCII),
                        "{ \"ok\" : true }".getBytes(StandardCharsets.US_ASCII),
                        viot(new Viot.Oem("BOCHS", "BXPCVIOT", "BXPC")),
                        new byte[] {(byte) 0xd0, 0x0d, (byte) 0xfe, (byte) 0xed, 0, 0, 0, 0});
        for (byte[] content : theirs) {
            Files.write(path, content);

            assertThat(OutputFile.refusal(path, kind)).contains(path + " is there and is not ");
            assertThatThrownBy(() -> OutputFile.write(path, kind, NEW))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining(path + " is there and is not ");
            assertThat(Files.readAllBytes(path)).isEqualTo(content);
        }
    }

    @ParameterizedTest
    @EnumSource
    void fileOfAnotherKindStays(OutputKind kind) throws Exception {
        for (OutputKind other : OutputKind.values()) {
            if (other != kind) {
                Files.write(path, sample(other));

                assertThat(OutputFile.refusal(path, kind)).as("%s", other).isNotNull();
                assertThatThrownBy(() -> OutputFile.write(path, kind, NEW))
                        .isInstanceOf(IOException.class);
                assertThat(Files.readAllBytes(path)).isEqualTo(sample(other));
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void earlierFileOfTheSameKindAndAnEmptyOneAreReplaced(OutputKind kind) throws Exception {
        for (byte[] earlier : List.of(sample(kind), new byte[0])) {
            Files.write(path, earlier);

            assertThat(OutputFile.refusal(path, kind)).isNull();
            OutputFile.write(path, kind, NEW);
            assertThat(Files.readAllBytes(path)).isEqualTo(NEW);
        }
    }

    @Test
    void whatSomebodyIsWritingNowIsNotReplaced() throws Exception {
        try (OutputFile first = OutputFile.open(path, OutputKind.TRACE);
                OutputStream out = first.stream()) {
            out.write(sample(OutputKind.TRACE));
            out.flush();

            assertThatThrownBy(() -> OutputFile.open(path, OutputKind.TRACE))
                    .isInstanceOf(IOException.class)
                    .hasMessage(path + " is being written by this process");
            assertThat(Files.readAllBytes(path)).isEqualTo(sample(OutputKind.TRACE));
        }
        OutputFile.write(path, OutputKind.TRACE, NEW);
        assertThat(Files.readAllBytes(path)).isEqualTo(NEW);
    }

    @Test
    void whatHasComeIntoThePlaceOfAFileIsNotRemoved() throws Exception {
        try (OutputFile file = OutputFile.open(path, OutputKind.SERVED_VIOT)) {
            file.write(sample(OutputKind.SERVED_VIOT));
            Files.delete(path);
            Files.write(path, NEW);

            file.remove();

            assertThat(Files.readAllBytes(path)).isEqualTo(NEW);
            Files.delete(path);
            file.remove();
        }
        try (OutputFile file = OutputFile.open(path, OutputKind.SERVED_VIOT)) {
            file.write(sample(OutputKind.SERVED_VIOT));

            file.remove();

            assertThat(path).doesNotExist();
        }
    }

    @Test
    void whatIsNoRegularFileIsWrittenTo() throws Exception {
        Path device = Path.of("/dev/null");

        assertThat(OutputFile.refusal(device, OutputKind.TRACE)).isNull();
        OutputFile.write(device, OutputKind.TRACE, NEW);
        try (OutputFile file = OutputFile.open(device, OutputKind.TRACE)) {
            file.remove();
        }
        assertThat(device).exists();
        assertThatThrownBy(() -> OutputFile.open(folder, OutputKind.TRACE))
                .hasMessage(folder + " is a folder");
        assertThat(OutputFile.refusal(folder.resolve("no/file"), OutputKind.TRACE))
                .isEqualTo("there is no folder for " + folder.resolve("no/file"));
    }
}
