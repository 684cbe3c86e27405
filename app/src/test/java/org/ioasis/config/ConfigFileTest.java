package org.ioasis.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.ioasis.config.ServeConfig.IommuConfig;
import org.ioasis.config.ServeConfig.MachineConfig;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.machine.Machine;
import org.ioasis.topology.ViotReport;
import org.ioasis.virtio.iommu.Injection;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Configurations with mistakes, then good ones. */
class ConfigFileTest {
    @TempDir Path folder;

    @BeforeEach
    void makeDisks() throws IOException {
        for (String name : List.of("a.img", "b.img", "c.img")) {
            Files.write(folder.resolve(name), new byte[4096]);
        }
    }

    private ServeConfig read(String text) throws Exception {
        return ConfigFile.read(Files.writeString(folder.resolve("serve.toml"), text));
    }

    /** What is said about a text, each as {@code line:column: reason}. */
    private List<String> problems(String text) {
        ConfigException refused = catchThrowableOfType(ConfigException.class, () -> read(text));
        assertThat(refused).as("%s", text).isNotNull();
        assertThat(refused.getMessage()).contains("serve.toml:");
        return refused.problems().stream()
                .map(p -> p.place().line() + ":" + p.place().column() + ": " + p.text())
                .toList();
    }

    private static String machine(String iommu, String disk) {
        return """
        [[machine]]
        [[machine.iommu]]
        socket = "i.sock"
        %s
        [[machine.iommu.blk]]
        socket = "a.sock"
        file = "a.img"
        %s
        """
                .formatted(iommu, disk);
    }

    @Test
    void allProblemsAreToldAtOnceWithTheirPlaces() {
        assertThat(
                        problems(
                                """
                                colour = "red"
                                [[machine]]
                                  poll_us = "fast"
                                [[machine.iommu]]
                                socket = "i.sock"
                                  pagesize = 4096
                                domain_range = { start = 5, end = 4 }
                                [[machine.iommu.blk]]
                                file = "missing.img"
                                endpoint = -1
                                """))
                .containsExactly(
                        "1:1: colour: not known here; known are control, machine, trace, trace_format",
                        "3:3: poll_us: must be an integer, not a string",
                        "6:3: pagesize: not known here; known are address, blk, bypass,"
                                + " detach_by_endpoint, domain_range, domains_max, endpoint_mappings_max,"
                                + " endpoint_tables_max, endpoints_max, identity_beside_none,"
                                + " inject, input_range, mappings_max, name, page_size_mask,"
                                + " socket, tables_max",
                        "7:29: end: is before start (both are inclusive)",
                        "8:1: socket is missing",
                        "8:1: there is no file " + folder.resolve("missing.img"),
                        "10:1: endpoint: must be a number of 32 bits, as 4096, 0x1000 or"
                                + " \"0xffffffff\", not -1");
    }

    @Test
    void textThatIsNoTomlIsToldWithItsPlace() {
        assertThat(problems("[[machine]\nname = \"x\"\n"))
                .isNotEmpty()
                .allMatch(p -> p.startsWith("1:"));
        assertThat(problems("[[machine]]\nname = \"x\"\nname = \"y\"\n"))
                .singleElement()
                .asString()
                .startsWith("3:1: ")
                .contains("name");
        assertThat(problems("[[machine]]\npoll_us = 99999999999999999999\n"))
                .isNotEmpty()
                .allMatch(p -> p.startsWith("2:"));
    }

    @Test
    void numbersOutsideOfTheirRangeAreRefused() {
        for (String line :
                List.of(
                        "page_size_mask = 0",
                        "page_size_mask = \"0x10000000000000000\"",
                        "page_size_mask = 1.5",
                        "domain_range = { start = 0, end = 0x100000000 }",
                        "domain_range = 5",
                        "mappings_max = 0",
                        "endpoint_tables_max = 4096",
                        "bypass = 1",
                        "address = \"00:00.0\"",
                        "address = \"00:1f.0\"",
                        "address = \"01:02.0\"",
                        "address = \"00:02.1\"",
                        "inject = { map_nomem = 0 }",
                        "inject = { unmap_delay_ms = 60001 }",
                        "inject = { colour = 1 }",
                        "inject = 5")) {
            assertThat(problems(machine(line, "")))
                    .as(line)
                    .singleElement()
                    .asString()
                    .startsWith("4:");
        }
        for (String line :
                List.of(
                        "endpoint = \"0x100000000\"",
                        "serial = \"123456789012345678901\"",
                        "name = \"a/b\"",
                        "readonly = \"yes\"",
                        "page_size_mask = 0x2000",
                        "resv_mem = [{ subtype = \"MSI\" }]",
                        "resv_mem = [{ subtype = \"ROM\", start = 0, end = 1 }]",
                        "resv_mem = [{ start = 2, end = 1 }]",
                        "resv_mem = { start = 2, end = 1 }",
                        "resv_mem = [{subtype=\"MSI\",start=0,end=1},{subtype=\"MSI\",start=4,end=5}]")) {
            assertThat(problems(machine("", line))).as(line).hasSize(1);
        }
    }

    @Test
    void whatMustBeUniqueIs() {
        String two =
                machine("", "")
                        + """
                        [[machine.iommu.blk]]
                        name = "disk0"
                        socket = "a.sock"
                        file = "b.img"
                        endpoint = 0x10
                        address = "00:01.0"
                        [[machine.iommu.blk]]
                        socket = "b.sock"
                        file = "b.img"
                        address = "00:01.0"
                        [[machine]]
                        name = "machine0"
                        [[machine.iommu]]
                        socket = "j.sock"
                        """;

        assertThat(
                        problems(two).stream()
                                .map(p -> p.replaceFirst("^[0-9:]+ ", ""))
                                .collect(Collectors.joining("\n")))
                .contains("two functions at 00:01.0")
                .contains("a second device of the machine is called disk0")
                .contains("a second socket at " + folder.resolve("a.sock"))
                .contains("a second machine is called machine0")
                .contains("two machines write their table");
    }

    @Test
    void twoDisksWithOneEndpointBehindOneIommuAreRefused() {
        assertThat(
                        problems(
                                machine("", "endpoint = 0x30")
                                        + """
                                        [[machine.iommu.blk]]
                                        socket = "b.sock"
                                        file = "b.img"
                                        endpoint = 0x30
                                        """))
                .containsExactly("9:1: disk0 and disk1 have the same endpoint 0x30 behind iommu0");
    }

    @Test
    void fileWithoutMachineOrIommuIsRefused() {
        assertThat(problems("")).containsExactly("1:1: there is no [[machine]]");
        assertThat(problems("[[machine]]\n")).containsExactly("1:1: machine machine0 has no IOMMU");
    }

    @Test
    void moreDevicesThanSlotsAreRefused() throws Exception {
        StringBuilder text = new StringBuilder(machine("", ""));
        for (int i = 1; i < 30; i++) {
            text.append(
                    "[[machine.iommu.blk]]\nsocket = \"%d.sock\"\nfile = \"a.img\"\n".formatted(i));
        }
        assertThat(problems(text.toString()))
                .singleElement()
                .asString()
                .contains("no slot of the root bus is free: at most 30 devices");
    }

    @Test
    void whatIsLeftOutIsAsUsual() throws Exception {
        MachineConfig machine = read(machine("", "")).machines().getFirst();
        IommuConfig iommu = machine.iommus().getFirst();

        assertThat(iommu.options()).isEqualTo(IommuOptions.DEFAULT);
        assertThat(iommu.bdf()).isEqualTo(0x08);
        assertThat(iommu.disks().getFirst().bdf()).isEqualTo(0x10);
        assertThat(iommu.disks().getFirst().options().endpoint()).isEqualTo(0x10);
        assertThat(iommu.disks().getFirst().options().properties()).isEqualTo(Machine.X86_ENDPOINT);
        assertThat(machine.viot()).isEqualTo(folder.resolve("machine0.viot"));
        assertThat(read(machine("", "")).controlSocket())
                .isEqualTo(folder.resolve("ioasis-control.sock"));
    }

    @Test
    void everyOptionReachesItsPlace() throws Exception {
        ServeConfig config =
                read(
                        """
                        control = "c.sock"
                        trace = "trace.log"
                        trace_format = "json"
                        """
                                + machine(
                                        """
                                        name = "first"
                                        address = "00:1e.0"
                                        page_size_mask = 0x11000
                                        input_range = { start = 0x1000, end = "0xffffffffffffffff" }
                                        domain_range = { start = 1, end = 64 }
                                        bypass = false
                                        detach_by_endpoint = false
                                        identity_beside_none = true
                                        endpoints_max = 7
                                        domains_max = 8
                                        mappings_max = 9
                                        tables_max = 131072
                                        endpoint_mappings_max = 5
                                        endpoint_tables_max = 65536
                                        """,
                                        """
                                        name = "root"
                                        serial = "S1"
                                        readonly = true
                                        endpoint = "0xffffffff"
                                        address = "00:02.0"
                                        page_size_mask = 0x10000
                                        input_range = { end = 0xffffffff }
                                        resv_mem = [{ subtype = "RESERVED", start = 0, end = 0xfff }]
                                        """));

        IommuConfig iommu = config.machines().getFirst().iommus().getFirst();
        assertThat(iommu.name()).isEqualTo("first");
        assertThat(iommu.bdf()).isEqualTo(0xf0);
        assertThat(iommu.options())
                .isEqualTo(
                        new IommuOptions(0x11000, 0x1000, -1L, 1, 64, false, false, true, 7, 8, 9)
                                .withLimits(131072, 5, 65536));
        var disk = iommu.disks().getFirst().options();
        assertThat(disk.name()).isEqualTo("root");
        assertThat(disk.serial()).isEqualTo("S1");
        assertThat(disk.isWritable()).isFalse();
        assertThat(disk.endpoint()).isEqualTo(-1);
        assertThat(disk.properties().pageSizeMask()).isEqualTo(0x10000);
        assertThat(disk.properties().inputLast()).isEqualTo(0xffff_ffffL);
        assertThat(disk.properties().reserved().regions())
                .containsExactly(new ReservedRegion(0, 0xfff, ReservedRegion.Kind.RESERVED));
        assertThat(config.controlSocket()).isEqualTo(folder.resolve("c.sock"));
        assertThat(config.trace())
                .isEqualTo(new ServeConfig.TraceConfig(folder.resolve("trace.log"), true));
    }

    @Test
    void examplesOfTheDocumentAreRight() throws Exception {
        for (String name : List.of("disk.img", "root.img", "data.img")) {
            Files.write(folder.resolve(name), new byte[4096]);
        }
        Path root = Path.of("").toAbsolutePath();
        while (!Files.exists(root.resolve("docs/config.md"))) {
            root = Objects.requireNonNull(root.getParent());
        }
        List<String> examples = new ArrayList<>();
        Matcher matcher =
                Pattern.compile("```toml\n(.*?)```", Pattern.DOTALL)
                        .matcher(Files.readString(root.resolve("docs/config.md")));
        while (matcher.find()) {
            examples.add(matcher.group(1));
        }

        assertThat(examples).hasSize(2);
        assertThat(read(examples.getFirst()).machines()).hasSize(1);
        ServeConfig full = read(examples.getLast());
        assertThat(full.machines()).hasSize(2);
        assertThat(full.machines().getLast().iommus()).hasSize(2);
        assertThat(full.machines().getLast().iommus().getFirst().injections())
                .containsExactly(
                        new Injection.MapNoMemory(1000),
                        new Injection.UnmapDelay(5),
                        new Injection.EventsDropped(1),
                        new Injection.EventsDoubled(1),
                        new Injection.ProbeTruncated(8));
    }

    @Test
    void tableOfTwoIommusIsRight() throws Exception {
        ServeConfig config =
                read(
                        machine("", "endpoint = 5")
                                + """
                                [[machine.iommu]]
                                socket = "j.sock"
                                [[machine.iommu.blk]]
                                socket = "b.sock"
                                file = "b.img"
                                endpoint = 5
                                """);

        ViotReport report = ViotReport.of(config.machines().getFirst().table());

        assertThat(report.findings()).isEmpty();
        assertThat(report.nodes())
                .containsExactly(
                        new ViotReport.PciIommu(0x30, 0, 0x08),
                        new ViotReport.PciIommu(0x40, 0, 0x10),
                        new ViotReport.PciRange(0x50, 5, 0, 0, 0x18, 0x18, 0x30),
                        new ViotReport.PciRange(0x68, 5, 0, 0, 0x20, 0x20, 0x40));
    }

    @Test
    void optionsOfTheCommandLineAreReadWithDoubledCommas() throws Exception {
        Path odd = Files.write(folder.resolve("a,b.img"), new byte[512]);
        ServeConfig config =
                FlagConfig.of(
                        folder.resolve("i.sock"),
                        List.of(
                                folder.resolve("a.sock")
                                        + ",file="
                                        + odd.toString().replace(",", ",,")
                                        + ",endpoint=0x20,serial=root,readonly"),
                        null,
                        null,
                        null);

        var disk = config.machines().getFirst().iommus().getFirst().disks().getFirst();
        assertThat(disk.options().file()).isEqualTo(odd);
        assertThat(disk.options().endpoint()).isEqualTo(0x20);
        assertThat(disk.bdf()).isEqualTo(0x20);
        assertThat(disk.options().serial()).isEqualTo("root");
        assertThat(disk.options().isWritable()).isFalse();
    }

    @Test
    void mistakesOfTheCommandLineAreToldTogether() {
        ConfigException refused =
                catchThrowableOfType(
                        ConfigException.class,
                        () ->
                                FlagConfig.of(
                                        folder.resolve("no/i.sock"),
                                        List.of("x.sock", "y.sock,file=a,colour=red,endpoint=q"),
                                        null,
                                        null,
                                        null));

        assertThat(refused.problems().stream().map(Problem::text))
                .contains(
                        "--blk x.sock: needs a socket and file=FILE",
                        "--blk y.sock,file=a,colour=red,endpoint=q: \"colour=red\" is not file=FILE,"
                                + " endpoint=ID, serial=TEXT or readonly",
                        "--blk y.sock,file=a,colour=red,endpoint=q: endpoint \"q\" is not a number of"
                                + " 32 bits",
                        "there is no file a",
                        "there is no folder for the socket " + folder.resolve("no/i.sock"));
    }
}
