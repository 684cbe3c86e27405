// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.ioasis.topology.ViotReport;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** What a user reads who gives wrong arguments, and that nothing has been done then. */
class MainTest {
    @TempDir private Path folder;

    /** One call: FOLDER in an argument is the test's folder. */
    private record Result(int code, String errors) {}

    @BeforeEach
    void files() throws IOException {
        Files.createDirectory(folder.resolve("sub"));
        Files.write(folder.resolve("binary.toml"), new byte[] {(byte) 0xff, (byte) 0xfe});
        Files.createFile(folder.resolve("empty.img"));
        Files.writeString(folder.resolve("large.toml"), "#".repeat((1 << 20) + 1));
    }

    private Result call(String line) {
        StringWriter errors = new StringWriter();
        String[] words =
                Arrays.stream(line.split(" ", -1))
                        .map(word -> word.replace("FOLDER", folder.toString()))
                        .toArray(String[]::new);
        int code = Main.commandLine().setErr(new PrintWriter(errors, true)).execute(words);
        return new Result(code, errors.toString().replace(folder.toString(), "FOLDER"));
    }

    private static Stream<Arguments> wrongArguments() {
        String pci = "--output FOLDER/o --iommu 00:01.0 --bridge /pcie@10000000";
        return Stream.of(
                arguments("demo --seconds 0", "--seconds 0.0: more than 0, up to 3600"),
                arguments("demo --seconds NaN", "--seconds NaN: more than 0, up to 3600"),
                arguments("serve", "what to serve: --config FILE, or --iommu SOCKET"),
                arguments("serve --iommu a --trace FOLDER/sub", "--trace: FOLDER/sub is a folder"),
                arguments(
                        "serve --iommu a --trace FOLDER/no/t",
                        "--trace: there is no folder for FOLDER/no/t"),
                arguments(
                        "serve --iommu a --trace-limit 0",
                        "--trace-limit must be 1 to 1048576 MiB, not 0"),
                arguments(
                        "rogue read 0x1000-",
                        "ADDRESS must be FIRST or FIRST-LAST, not \"0x1000-\""),
                arguments(
                        "rogue --step 5 read 0-0xff",
                        "--step is for a single ADDRESS, not for 0-0xff"),
                arguments("rogue --device= read 0", "not one word: \"\""),
                arguments("inject map_nomem\n 1", "not one word: \"map_nomem\n\""),
                arguments("vm --json FOLDER/no/j", "--json: there is no folder for FOLDER/no/j"),
                arguments("vm --seed 1.5", "1.5 is not a number of 64 bits, as 0x1f or 31"),
                arguments("vm --net --run x", "--run and --net do not go together"),
                arguments("vm --net --scenario rescan", "--net and --scenario do not go together"),
                arguments("vm --arch arm64 --net", "the plain one of disks; leave out --net"),
                arguments(
                        "vm --arch arm64 --scenario hotplug",
                        "the plain one of disks; leave out --scenario"),
                arguments("vm --net --bytes 3", "--bytes must be 4 to 65536 MiB, not 3"),
                arguments("vm --memory 3", "--memory must be 256 to 65536 MiB, not 3"),
                arguments("vm --viommu", "--viommu needs --assigned iommufd or --assigned type1"),
                arguments(
                        "vm --assigned iommufd --net --iommus 2 --no-boot-bypass --print-qemu",
                        "leave out --net, --iommus, --no-boot-bypass, --print-qemu"),
                arguments(
                        "vm --assigned type1 --run x --trace FOLDER/o", "leave out --run, --trace"),
                arguments("vm --assigned type1 --strict", "has with --viommu or --nested only"),
                arguments("vm --nested vtd", "--nested needs --assigned iommufd"),
                arguments("vm --assigned type1 --nested vtd", "--nested needs --assigned iommufd"),
                arguments("vm --assigned iommufd --nested amd", "expected one of [vtd]"),
                arguments(
                        "vm --assigned iommufd --nested vtd --viommu",
                        "--nested and --viommu put two IOMMUs"),
                arguments(
                        "vm --assigned iommufd --nested vtd --passthrough",
                        "with --passthrough there is no table of the guest's for --nested"),
                arguments("viot --check FOLDER/sub", "--check: FOLDER/sub is a folder"),
                arguments("viot --check /dev/null", "--check: /dev/null is no regular file"),
                arguments("vm --memory 1e3", "'1e3' is no number here"),
                arguments("vm --accel fast", "expected one of [auto, kvm, tcg]"),
                arguments(
                        "vm --disk FOLDER/empty.img --print-qemu",
                        "--disk: FOLDER/empty.img has 0 bytes, less than a block of 512"),
                arguments(
                        "viot --output FOLDER/binary.toml --iommu 00:01.0",
                        "--output: FOLDER/binary.toml is there and is not a table of `ioasis viot`"),
                arguments(
                        "vm --json FOLDER/binary.toml",
                        "--json: FOLDER/binary.toml is there and is not a report of `ioasis vm`"),
                arguments(
                        "vm --trace FOLDER/binary.toml",
                        "--trace: FOLDER/binary.toml is there and is not a trace of Ioasis"),
                arguments("viot --json", "--json is for what --check finds"),
                arguments("vm --assigned type1 --gdb", "leave out --gdb"),
                arguments("vm --keep FOLDER/o", "--keep belongs to --print-qemu"),
                arguments(
                        "vm --print-qemu --keep FOLDER/sub", "--keep: FOLDER/sub is there already"),
                arguments("vm --print-qemu --keep FOLDER/o --net", "no --run, --net or"),
                arguments("vm --timeout 0", "--timeout must be at least 1 second, not 0"),
                arguments(
                        "viot --output FOLDER/o --iommu 1",
                        "--iommu: not [SEGMENT:]BUS:DEV.FN, as 00:01.0: 1"),
                arguments("viot --iommu 00:01.0", "--output FILE is needed"),
                arguments(
                        "viot --iommu 00:01.0 --output FOLDER/no/o",
                        "--output: there is no folder for FOLDER/no/o"),
                arguments(
                        "viot --output FOLDER/o --iommu 00:01.0 --range 00:02.0,endpoint=-1",
                        "--range endpoint= \"-1\" is not a number up to 4294967295"),
                arguments(
                        "viot --output FOLDER/o --iommu 00:01.0 --range 00:02.0 --pci-bridge 01",
                        "--pci-bridge 01: no --range has a function of that bus"),
                arguments(
                        "viot --output FOLDER/o --iommu 00:01.0 --pci-bridge 00:01.0",
                        "--pci-bridge: not [SEGMENT:]BUS, as 01: 00:01.0"),
                arguments("viot --check FOLDER/o --mmio-iommu 0x1", "--check reads a table"),
                arguments("viot --check FOLDER/o --device 0x1,endpoint=1", "--check reads a table"),
                arguments(
                        "viot --output FOLDER/o --mmio-iommu here",
                        "--mmio-iommu: \"here\" is not a number up to 18446744073709551615"),
                arguments(
                        "viot --output FOLDER/o --device 0x1,endpoint=1",
                        "--output FILE with --iommu or --mmio-iommu"),
                arguments(
                        "viot --output FOLDER/o --mmio-iommu 0x1 --device 0x2",
                        "--device: not BASE,endpoint=ID[,iommu=N]: 0x2"),
                arguments(
                        "viot --output FOLDER/o --mmio-iommu 0x1 --device 0x2,endpoint=0x100000000",
                        "--device endpoint= \"0x100000000\" is not a number up to 4294967295"),
                arguments(
                        "viot --output FOLDER/o --mmio-iommu 0x1 --device 0x2,endpoint=1,iommu=1",
                        "range at 0x2 is behind IOMMU 1 of 1"),
                arguments("vm --acpi", "--acpi needs --arch arm64"),
                arguments(
                        "vm --arch arm64 --acpi --memory 3073",
                        "--memory: with --acpi at most 3072 MiB, not 3073"),
                arguments(
                        "vm --arch arm64 --acpi --append a=\"b\"",
                        "--append: with --acpi no quotes or backslashes"),
                arguments("viot --check FOLDER/o --machine m", "--machine is one of --config FILE"),
                arguments("viot --config c", "--config and --machine are for what --check finds"),
                arguments("serve --config a --msi none", "--config describes everything"),
                arguments("devicetree --iommu 00:01.0", "--output FILE is needed"),
                arguments("devicetree --output FOLDER/o", "an --iommu or --mmio-iommu is needed"),
                arguments("devicetree " + pci + " --bridge x", "not --bridge [SEGMENT=]/NODE: x"),
                arguments(
                        "devicetree " + pci + " --bridge 0=/b",
                        "--bridge: PCI segment 0 has two nodes"),
                arguments(
                        "devicetree " + pci + " --mmio-iommu /m",
                        "not --mmio-iommu /NODE@ADDRESS: /m"),
                arguments(
                        "devicetree " + pci + " --device /d@1,endpoint=1 --device /e@1,endpoint=2",
                        "/d@1 and /e@1 are at one address"),
                arguments(
                        "devicetree " + pci + " --range 00:02.0,iommu=3",
                        "range 0000:00:02.0 is behind IOMMU 3 of 1"));
    }

    @ParameterizedTest
    @MethodSource("wrongArguments")
    void wrongArgumentsAreNamedWithTheUsage(String line, String reason) {
        Result result = call(line);

        assertThat(result.errors()).startsWith("Usage: ioasis ");
        String last = result.errors().substring(result.errors().lastIndexOf("\n\n") + 2);
        assertThat(last).startsWith("ioasis " + line.split(" ", 2)[0] + ": ").contains(reason);
        assertThat(result.code()).isEqualTo(2);
        assertThat(folder.resolve("o")).doesNotExist();
    }

    @ParameterizedTest
    @CsvSource({
        "serve --iomu a, 'did you mean --iommu?'",
        "serve --trace-fromat=text, 'did you mean --trace-format?'",
        "vn --print-qemu, 'did you mean vm?'",
        "dmup, 'did you mean dump?'",
        "viot --quux, --quux'",
        "nonsense, nonsense'"
    })
    void aMistypedWordIsNamedLastWithWhatIsNearToIt(String line, String end) {
        Result result = call(line);

        assertThat(result.errors()).endsWith(end + "\n");
        assertThat(result.code()).isEqualTo(2);
    }

    @Test
    void helpNamesTheOptionsOfACommand() {
        StringWriter said = new StringWriter();
        int code = Main.commandLine().setOut(new PrintWriter(said, true)).execute("help", "serve");

        assertThat(said.toString()).startsWith("Usage: ioasis serve ").contains("--iommu=SOCKET");
        assertThat(code).isZero();
        assertThat(call("help serv").errors()).contains("serv");
        assertThat(call("help serv").code()).isEqualTo(2);
    }

    @ParameterizedTest
    @MethodSource
    void filesThatCannotBeReadAreNamedInOneLine(String line, String reason) {
        assertThat(call(line)).isEqualTo(new Result(1, "ioasis: " + reason + "\n"));
    }

    private static Stream<Arguments> filesThatCannotBeReadAreNamedInOneLine() {
        return Stream.of(
                arguments(
                        "serve --config FOLDER/no.toml", "FOLDER/no.toml: no such file or folder"),
                arguments("serve --config FOLDER/sub", "FOLDER/sub is a folder"),
                arguments("serve --config /dev/null", "/dev/null is no regular file"),
                arguments(
                        "viot --output /dev/full --iommu 00:01.0",
                        "/dev/full cannot be written: No space left on device"),
                arguments(
                        "serve --config FOLDER/binary.toml",
                        "FOLDER/binary.toml is not text in UTF-8"),
                arguments(
                        "serve --config FOLDER/large.toml",
                        "FOLDER/large.toml is larger than 1 MiB"),
                arguments("viot --check FOLDER/no", "FOLDER/no: no such file or folder"),
                arguments(
                        "serve --iommu FOLDER/i.sock --viot FOLDER/no/t",
                        "FOLDER/no/t: no such file or folder"));
    }

    @Test
    void aSeedIsReadAsReportsShowIt() {
        SeedConverter converter = new SeedConverter();

        assertThat(converter.convert("0xfedcba9876543210")).isEqualTo(0xfedc_ba98_7654_3210L);
        assertThat(converter.convert("18446744073709551615")).isEqualTo(-1);
        // No octal numbers: what begins with a zero is as decimal as anything.
        assertThat(converter.convert("010")).isEqualTo(10);
    }

    @Test
    void aliasBehindABridgeIsAddedToTheTableAndSaid() throws IOException {
        String line =
                "viot --output FOLDER/o --iommu 00:01.0 --range 01:01.0-01:02.0,endpoint=0x508"
                        + " --pci-bridge 01";

        assertThat(call(line).code()).isZero();

        assertThat(ranges())
                .containsExactly(
                        new ViotReport.PciRange(0x40, 0x508, 0, 0, 0x108, 0x110, 0x30),
                        new ViotReport.PciRange(0x58, 0x500, 0, 0, 0x100, 0x100, 0x30));
        // One that is in the range already is not named twice.
        assertThat(
                        call("viot --output FOLDER/o --iommu 00:01.0 --range 01:00.0-01:02.0"
                                        + " --pci-bridge 01")
                                .code())
                .isZero();
        assertThat(ranges())
                .containsExactly(new ViotReport.PciRange(0x40, 0x100, 0, 0, 0x100, 0x110, 0x30));
    }

    /** The IOMMUs on PCI come first, however they are named. */
    @Test
    void platformDevicesAndIommusAreWrittenAsTheirAddresses() throws IOException {
        assertThat(
                        call(
                                "viot --output FOLDER/o --mmio-iommu 0xa000000"
                                        + " --device 0xffffffffffffffff,endpoint=0xffffffff,iommu=1"
                                        + " --iommu 00:01.0 --range 00:02.0"))
                .isEqualTo(new Result(0, ""));

        assertThat(ViotReport.of(Files.readAllBytes(folder.resolve("o"))).nodes())
                .containsExactly(
                        new ViotReport.PciIommu(0x30, 0, 8),
                        new ViotReport.MmioIommu(0x40, 0xa00_0000),
                        new ViotReport.PciRange(0x50, 0x10, 0, 0, 0x10, 0x10, 0x30),
                        new ViotReport.MmioEndpoint(0x68, 0xffff_ffffL, -1, 0x40));
    }

    private List<ViotReport.Node> ranges() throws IOException {
        return ViotReport.of(Files.readAllBytes(folder.resolve("o"))).nodes().stream()
                .filter(ViotReport.PciRange.class::isInstance)
                .toList();
    }

    @Test
    void endpointsOfATableAreDecimalOrHexadecimal() throws IOException {
        assertThat(call("viot --output FOLDER/o --iommu 00:01.0 --range 00:02.0,endpoint=010"))
                .isEqualTo(new Result(0, ""));
        List<ViotReport.Node> nodes =
                ViotReport.of(Files.readAllBytes(folder.resolve("o"))).nodes();
        assertThat(nodes)
                .filteredOn(ViotReport.PciRange.class::isInstance)
                .extracting(node -> ((ViotReport.PciRange) node).endpointStart())
                .containsExactly(10L);
    }
}
