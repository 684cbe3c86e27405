// SPDX-License-Identifier: Apache-2.0
package org.ioasis.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.ioasis.config.ServeConfig.DeviceConfig;
import org.ioasis.config.ServeConfig.IommuConfig;
import org.ioasis.config.ServeConfig.MachineConfig;
import org.ioasis.config.ServeConfig.PresentConfig;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.kind.blk.BlkKind;
import org.ioasis.kind.blk.DiskOptions;
import org.ioasis.kind.rng.RngKind;
import org.ioasis.kind.rng.RngOptions;
import org.ioasis.live.TraceConfig;
import org.ioasis.machine.DeviceKind;
import org.ioasis.machine.DevicePlace;
import org.ioasis.machine.IommuTransport;
import org.ioasis.machine.Machine;
import org.ioasis.topology.DeviceTree;
import org.ioasis.topology.Viot;
import org.ioasis.topology.ViotReport;
import org.ioasis.virtio.blk.BlkBlocks;
import org.ioasis.virtio.blk.BlkErasing;
import org.ioasis.virtio.blk.BlkSettings;
import org.ioasis.virtio.iommu.Injection;
import org.ioasis.virtio.iommu.Profile;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Configurations with mistakes, then good ones. */
class ConfigFileTest {
    private static final DeviceKind BLK = new BlkKind();
    private static final DeviceKind RNG = new RngKind();

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
    void limitOfDmaMapsIsReadAndBounded() throws Exception {
        String iommu = "\n[[machine.iommu]]\nsocket = \"i.sock\"\n";

        assertThat(read("[[machine]]" + iommu).machines().getFirst().maxDmaMaps())
                .isEqualTo(65_535);
        assertThat(
                        read("[[machine]]\nmax_dma_maps = 64" + iommu)
                                .machines()
                                .getFirst()
                                .maxDmaMaps())
                .isEqualTo(64);
        for (String wrong : List.of("0", "65536", "-1")) {
            assertThat(problems("[[machine]]\nmax_dma_maps = " + wrong + iommu)).hasSize(1);
        }
    }

    @Test
    void transportOfAnIommuIsChosen() throws Exception {
        String iommu = "[[machine]]\n[[machine.iommu]]\nsocket = \"i.sock\"\n";

        assertThat(read(iommu).machines().getFirst().iommus().getFirst().transport())
                .isEqualTo(IommuTransport.VFIO_USER);
        assertThat(
                        read(iommu + "transport = \"vhost-user\"\n")
                                .machines()
                                .getFirst()
                                .iommus()
                                .getFirst()
                                .transport())
                .isEqualTo(IommuTransport.VHOST_USER);
        assertThat(problems(iommu + "transport = \"virtio\"\n"))
                .containsExactly("4:1: transport: must be \"vfio-user\" or \"vhost-user\"");
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
                        "1:1: colour: not known here; known are control, machine, trace, trace_format,"
                                + " trace_limit",
                        "3:3: poll_us: must be an integer, not a string",
                        "6:3: pagesize: not known here; known are address, blk, bypass,"
                                + " detach_by_endpoint, device, domain_range, domains_max, endpoint_mappings_max,"
                                + " endpoint_tables_max, endpoints_max, identity_beside_none,"
                                + " inject, input_range, ioat, mappings_max, name, net, page_size_mask,"
                                + " present, profile, proxy, rng, socket, tables_max, transport",
                        "7:29: end: is before start (both are inclusive)",
                        "8:1: socket is missing",
                        "8:1: there is no file %1$s; `truncate -s 1G %1$s` makes an empty disk"
                                .formatted(folder.resolve("missing.img")),
                        "10:1: endpoint: must be a number of 32 bits, as 4096, 0x1000 or"
                                + " \"0xffffffff\", not -1");
    }

    @Test
    void textThatIsNestedWithoutEndIsToldAsAnyOther() {
        assertThat(problems("a = " + "[".repeat(60_000)))
                .containsExactly("1:1: arrays or tables are nested too deeply");
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
                        "page_size_mask = 0x1800",
                        "page_size_mask = 0x80000000",
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
                        "num_queues = 0",
                        "num_queues = 65",
                        "queue_size = 100",
                        "queue_size = 2",
                        "seg_max = 255",
                        "size_max = 4095",
                        "blk_size = 1024",
                        "topology = { physical_block_exp = 9 }",
                        "topology = { min_io_size = 0 }",
                        "topology = { opt_io_size = -1 }",
                        "topology = { alignment = 1 }",
                        "topology = 8",
                        "discard = 1",
                        "rogue = true",
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
    void limitsOfADeviceAndItsSocketAreMetAndNotExceeded() throws Exception {
        assertThat(read(machine("", regions(21))).machines()).hasSize(1);
        assertThat(problems(machine("", regions(22))))
                .containsExactly("5:1: 22 reserved regions; PROBE has room for 21");

        String name = "s".repeat(107 - folder.toString().length() - 1);
        assertThat(read(machine("", "").replace("i.sock", name)).machines()).hasSize(1);
        assertThat(problems(machine("", "").replace("i.sock", name + "s")))
                .containsExactly(
                        "2:1: socket path is longer than 107 bytes: " + folder.resolve(name + "s"));

        assertThat(problems(machine("endpoints_max = 1", "[[machine.iommu.rng]]\nsocket = \"r\"")))
                .containsExactly("2:1: 2 endpoints are more than endpoints_max, 1");
    }

    @Test
    void reservedRegionsOfADeviceDoNotOverlap() throws Exception {
        String two = "resv_mem = [{ start = 0x1000, end = 0x2fff }, { start = %s, end = %s }]";

        assertThat(problems(machine("", two.formatted("0x2fff", "\"0xffffffffffffffff\""))))
                .containsExactly(
                        "8:49: start: 0x2fff to 0xffffffffffffffff overlaps 0x1000 to 0x2fff");
        assertThat(problems(machine("", two.formatted("0", "0x1000")))).hasSize(1);
        assertThat(read(machine("", two.formatted("0x3000", "\"0xffffffffffffffff\""))).machines())
                .hasSize(1);
        assertThat(read(machine("page_size_mask = 0x1000", "")).machines()).hasSize(1);
        assertThat(read(machine("page_size_mask = 0x40000000", "")).machines()).hasSize(1);
    }

    private static String regions(int count) {
        return IntStream.range(0, count)
                .mapToObj(i -> "{ start = %d, end = %d }".formatted(2 * i, 2 * i))
                .collect(Collectors.joining(", ", "resv_mem = [", "]"));
    }

    @Test
    void networkDeviceNeedsWhoCarriesItsFramesAndHasAnAddressOfItsOwn() throws Exception {
        String net = machine("", "") + "[[machine.iommu.net]]\nsocket = \"n.sock\"\n";

        assertThat(read(net + "stream = \"p.sock\"\n").machines().getFirst().iommus())
                .singleElement()
                .satisfies(iommu -> {
                    assertThat(iommu.devices().getLast().options().place().name())
                            .isEqualTo("net0");
                    assertThat(iommu.devices().getLast().options().toString())
                            .contains("p.sock", "mac=" + (0x5254_0000_0000L | 0x90), "mtu=1500");
                });
        assertThat(problems(net))
                .containsExactly("9:1: stream: or tap must say who carries the frames");
        assertThat(
                        read(net + "tap = \"tap0\"\n")
                                .machines()
                                .getFirst()
                                .iommus()
                                .getFirst()
                                .devices()
                                .getLast()
                                .options()
                                .toString())
                .contains("Tap[name=tap0]");
        assertThat(problems(net + "tap = \"tap/0\"\n"))
                .containsExactly("11:1: tap: must be the name of an interface, as tap0");
        assertThat(problems(net + "stream = \"p\"\ntap = \"tap0\"\n"))
                .containsExactly(
                        "12:1: tap: and stream do not go together: one of them carries the frames");
        assertThat(problems(net + "stream = \"p\"\nmac = \"01:00:5e:00:00:01\"\nmtu = 67\n"))
                .containsExactly(
                        "12:1: mac: must be the address of one station, as 52:54:00:12:34:56",
                        "13:1: mtu: must be 68 to 9000, not 67");
    }

    @Test
    void mistakesOfAnEntropyDeviceAreToldAsThoseOfADisk() {
        String rng = machine("", "") + "[[machine.iommu.rng]]\n";

        assertThat(problems(rng + "socket = \"r.sock\"\nrogue = 1\nfile = \"a.img\"\n"))
                .containsExactly(
                        "11:1: rogue: must be true or false, not an integer",
                        "12:1: file: not known here; known are address, aliases, endpoint, input_range,"
                                + " name, page_size_mask, resv_mem, rogue, socket");
        assertThat(problems(rng)).containsExactly("9:1: socket is missing");
        assertThat(problems(rng + "socket = \"a.sock\"\npage_size_mask = 0x2000\n"))
                .containsExactly(
                        "9:1: a second socket at " + folder.resolve("a.sock"),
                        "9:1: page_size_mask 0x2000 of the endpoint and 0x1000 of its IOMMU have no"
                                + " size in common");
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
                        viot = "i.sock.viot"
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
    void slotsThatAreChosenAreThoseThatNeitherAQ35NorAPcGivesToItsOwnDevices() throws Exception {
        // An id whose function would be the VGA's of a pc, and one whose slot is free.
        StringBuilder text = new StringBuilder(machine("", "endpoint = 0x10"));
        for (int i = 1; i < 22; i++) {
            text.append(
                    "[[machine.iommu.blk]]\nsocket = \"%d.sock\"\nfile = \"a.img\"\n".formatted(i));
        }
        text.append("[[machine.iommu.rng]]\nsocket = \"r.sock\"\nendpoint = 0x28\n");

        IommuConfig iommu = read(text.toString()).machines().getFirst().iommus().getFirst();

        List<Integer> slots = new ArrayList<>(List.of(iommu.bdf() >> 3));
        iommu.devices().forEach(device -> slots.add(device.bdf() >> 3));
        assertThat(slots)
                .hasSize(24)
                .startsWith(0x10, 0x11, 0x12)
                .endsWith(5)
                .doesNotHaveDuplicates()
                // Host bridge, chipset, VGA, network; USB and a bridge of a q35.
                .doesNotContain(0, 1, 2, 3, 0x1a, 0x1d, 0x1e, 0x1f);
    }

    /** Written by the letter of the Devicetree Specification, chapter 5. */
    private static byte[] treeWithAGicV2m() {
        ByteBuffer tree = ByteBuffer.allocate(151);
        tree.putInt(0xd00dfeed).putInt(151).putInt(56).putInt(136).putInt(40).putInt(17);
        tree.putInt(16).putInt(0).putInt(15).putInt(80).position(56);
        tree.putInt(1).putInt(0).putInt(1).put("v2m\0".getBytes(StandardCharsets.US_ASCII));
        tree.putInt(3).putInt(18).putInt(0);
        tree.put("arm,gic-v2m-frame\0\0\0".getBytes(StandardCharsets.US_ASCII));
        tree.putInt(3).putInt(12).putInt(11).putInt(0).putInt(0x0802_0000).putInt(0x1000);
        tree.putInt(2).putInt(2).putInt(9).position(136);
        return tree.put("compatible\0reg\0".getBytes(StandardCharsets.US_ASCII)).array();
    }

    @Test
    void doorbellsFollowTheMachine() throws Exception {
        for (String msi : List.of("0x08020000-0x08020fff", "virt.dtb")) {
            Files.write(folder.resolve("virt.dtb"), treeWithAGicV2m());
            ServeConfig config =
                    read(
                            machine("", "")
                                    .replace(
                                            "[[machine]]\n",
                                            "[[machine]]\nmsi = \"%s\"\n".formatted(msi)));

            assertThat(
                            config.machines()
                                    .getFirst()
                                    .iommus()
                                    .getFirst()
                                    .devices()
                                    .getFirst()
                                    .options()
                                    .place()
                                    .properties()
                                    .reserved()
                                    .regions())
                    .containsExactly(
                            new ReservedRegion(0x802_0000L, 0x802_0fffL, ReservedRegion.Kind.MSI));
        }
        assertThat(
                        FlagConfig.iommu(folder.resolve("i.sock"))
                                .devices(RNG, List.of(folder + "/r.sock"))
                                .msi("none")
                                .resolve()
                                .machines()
                                .getFirst()
                                .iommus()
                                .getFirst()
                                .devices()
                                .getFirst()
                                .options()
                                .place()
                                .properties())
                .isEqualTo(EndpointProperties.UNLIMITED);
        for (String wrong :
                List.of(
                        "5-4",
                        "x-y",
                        "there/is/none",
                        "0x10000000000000000-1",
                        "a.img",
                        "two.dtb")) {
            Files.write(
                    folder.resolve("two.dtb"),
                    DeviceTree.overlay(
                            List.of(new Viot.MmioIommu(1)),
                            List.of(),
                            new DeviceTree.Places(Map.of(), Map.of(1L, "/a"))));
            assertThat(
                            problems(
                                    machine("", "")
                                            .replace(
                                                    "[[machine]]\n",
                                                    "[[machine]]\nmsi = \"%s\"\n"
                                                            .formatted(wrong))))
                    .singleElement()
                    .asString()
                    .startsWith("2:1: msi: ");
        }
    }

    @Test
    void aliasesAndIdsThatArePresentAreCheckedAndCountedOnce() throws Exception {
        String two =
                """
                [[machine.iommu.blk]]
                socket = "b.sock"
                file = "b.img"
                endpoint = 0x110
                aliases = [0x100, 0x200]
                """;
        IommuConfig iommu =
                read(machine(
                                        "present = [7, \"0x100-0x111\"]\nendpoints_max = 20",
                                        "endpoint = 0x108\naliases = [0x100]\npage_size_mask = 0x11000")
                                + two)
                        .machines()
                        .getFirst()
                        .iommus()
                        .getFirst();
        // The alias has what its first device has; the devices' own ids are no second endpoints.
        assertThat(iommu.present())
                .hasSize(18)
                .startsWith(
                        new PresentConfig(
                                0x100, iommu.devices().getFirst().options().place().properties()))
                .contains(
                        new PresentConfig(0x200, Machine.X86_ENDPOINT),
                        new PresentConfig(7, Machine.X86_ENDPOINT))
                .extracting(PresentConfig::endpoint)
                .doesNotHaveDuplicates()
                .doesNotContain(0x108, 0x110);
        assertThat(problems(machine("present = [\"0-19\"]\nendpoints_max = 20", "")))
                .singleElement()
                .asString()
                .contains("21 endpoints are more than endpoints_max, 20");
        assertThat(problems(machine("", "endpoint = 0x108\naliases = [0x110]") + two))
                .singleElement()
                .asString()
                .contains("the alias 0x110 is the endpoint of disk1");
        assertThat(problems(machine("present = [\"9-8\", 0x100000000, true]", "aliases = \"5\"")))
                .hasSize(4);
        assertThat(problems(machine("", "aliases = [\"5-6\"]")))
                .singleElement()
                .asString()
                .contains("an alias is one id");
    }

    @Test
    void whatIsLeftOutIsAsUsual() throws Exception {
        MachineConfig machine = read(machine("", "")).machines().getFirst();
        IommuConfig iommu = machine.iommus().getFirst();

        assertThat(iommu.options()).isEqualTo(IommuOptions.DEFAULT);
        assertThat(iommu.bdf()).isEqualTo(0x80);
        assertThat(iommu.devices().getFirst().bdf()).isEqualTo(0x88);
        DiskOptions disk = (DiskOptions) iommu.devices().getFirst().options();
        assertThat(disk.place().endpoint()).isEqualTo(0x88);
        assertThat(disk.place().properties()).isEqualTo(Machine.X86_ENDPOINT);
        assertThat(disk.settings()).isEqualTo(BlkSettings.builder().serial("disk0").build());
        assertThat(machine.viot()).isEqualTo(folder.resolve("i.sock.viot"));
        assertThat(read(machine("", "")).controlSocket())
                .isEqualTo(folder.resolve("ioasis-control.sock"));
    }

    @Test
    void aProfileIsNamedAndThereIsNoneUnlessItIs() throws Exception {
        ServeConfig named = read(machine("profile = \"tables-2023\"", ""));
        ServeConfig plain = read(machine("", ""));

        assertThat(named.machines().getFirst().iommus().getFirst().profile())
                .isEqualTo(Profile.TABLES_2023);
        assertThat(plain.machines().getFirst().iommus().getFirst().profile()).isNull();
    }

    @Test
    void aProfileThatThereIsNotOrThatDoesNotFitIsAProblem() {
        assertThat(problems(machine("profile = \"handover\"", "")))
                .anySatisfy(problem ->
                        assertThat(problem)
                                .endsWith(
                                        "profile: \"handover\" is not one of tables-2021, tables-2023"));
        assertThat(
                        problems(
                                machine(
                                        """
                                        profile = "tables-2023"
                                        input_range = { end = 0xffffffff }
                                        """,
                                        "")))
                .anySatisfy(problem ->
                        assertThat(problem)
                                .endsWith(
                                        "profile: a table of the driver's own keeps to no input_range"));
    }

    @Test
    void everyOptionReachesItsPlace() throws Exception {
        ServeConfig config =
                read(
                        """
                        control = "c.sock"
                        trace = "trace.log"
                        trace_format = "json"
                        trace_limit = 7
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
                                        num_queues = 4
                                        queue_size = 128
                                        seg_max = 20
                                        size_max = 8192
                                        blk_size = 4096
                                        topology = { physical_block_exp = 3, min_io_size = 8, opt_io_size = 64 }
                                        discard = false
                                        endpoint = "0xffffffff"
                                        address = "00:02.0"
                                        page_size_mask = 0x10000
                                        input_range = { end = 0xffffffff }
                                        resv_mem = [{ subtype = "RESERVED", start = 0, end = 0xfff }]
                                        [[machine.iommu.rng]]
                                        name = "entropy"
                                        socket = "r.sock"
                                        rogue = true
                                        endpoint = 0x28
                                        input_range = { end = 0xffff }
                                        [[machine.iommu.rng]]
                                        socket = "s.sock"
                                        """));

        IommuConfig iommu = config.machines().getFirst().iommus().getFirst();
        assertThat(iommu.name()).isEqualTo("first");
        assertThat(iommu.bdf()).isEqualTo(0xf0);
        assertThat(iommu.options())
                .isEqualTo(
                        IommuOptions.builder()
                                .pageSizeMask(0x11000)
                                .inputRange(0x1000, -1L)
                                .domainRange(1, 64)
                                .bypassAtStart(false)
                                .detachByEndpoint(false)
                                .identityBesideNone(true)
                                .endpointLimit(7)
                                .domainLimit(8)
                                .mappingLimit(9)
                                .tableLimit(131072)
                                .endpointMappingLimit(5)
                                .endpointTableLimit(65536)
                                .build());
        DiskOptions disk = (DiskOptions) iommu.devices().getFirst().options();
        assertThat(disk.place().name()).isEqualTo("root");
        assertThat(disk.settings())
                .isEqualTo(
                        BlkSettings.builder()
                                .serial("S1")
                                .queueCount(4)
                                .queueSizeMax(128)
                                .segMax(20)
                                .sizeMax(8192)
                                .blocks(new BlkBlocks(4096, 3, 8, 64))
                                .erasing(BlkErasing.NO_DISCARD)
                                .build());
        assertThat(disk.isWritable()).isFalse();
        assertThat(disk.place().endpoint()).isEqualTo(-1);
        assertThat(disk.place().properties().pageSizeMask()).isEqualTo(0x10000);
        assertThat(disk.place().properties().inputLast()).isEqualTo(0xffff_ffffL);
        assertThat(disk.place().properties().reserved().regions())
                .containsExactly(new ReservedRegion(0, 0xfff, ReservedRegion.Kind.RESERVED));
        RngOptions rogue = (RngOptions) iommu.devices().get(1).options();
        assertThat(rogue.place().name()).isEqualTo("entropy");
        assertThat(rogue.isRogue()).isTrue();
        assertThat(rogue.place().endpoint()).isEqualTo(0x28);
        assertThat(rogue.place().properties().inputLast()).isEqualTo(0xffffL);
        assertThat(iommu.devices().get(1).bdf()).isEqualTo(0x28);
        assertThat(iommu.devices().get(2).options())
                .isEqualTo(
                        new RngOptions(
                                DevicePlace.of(
                                        "rng1",
                                        folder.resolve("s.sock"),
                                        iommu.devices().get(2).bdf()),
                                false));
        assertThat(config.controlSocket()).isEqualTo(folder.resolve("c.sock"));
        assertThat(config.trace()).isEqualTo(TraceConfig.of(folder.resolve("trace.log"), true, 7));
    }

    @Test
    void limitsOfOneEndpointAreThoseOfItsIommuUnlessTheyAreGiven() throws Exception {
        IommuOptions options =
                read(machine("mappings_max = 9\ntables_max = 131072\n", ""))
                        .machines()
                        .getFirst()
                        .iommus()
                        .getFirst()
                        .options();

        assertThat(options.endpointMappingLimit()).isEqualTo(9);
        assertThat(options.endpointTableLimit()).isEqualTo(131072);
    }

    @Test
    void examplesOfTheDocumentAreRight() throws Exception {
        for (String name : List.of("disk.img", "root.img", "fast.img", "data.img")) {
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
                        new ViotReport.PciIommu(0x30, 0, 0x80),
                        new ViotReport.PciIommu(0x40, 0, 0x88),
                        new ViotReport.PciRange(0x50, 5, 0, 0, 0x90, 0x90, 0x30),
                        new ViotReport.PciRange(0x68, 5, 0, 0, 0x98, 0x98, 0x40));
    }

    @Test
    void optionsOfTheCommandLineAreReadWithDoubledCommas() throws Exception {
        Path odd = Files.write(folder.resolve("a,b.img"), new byte[512]);
        ServeConfig config =
                FlagConfig.iommu(folder.resolve("i.sock"))
                        .devices(
                                BLK,
                                List.of(
                                        folder.resolve("a.sock")
                                                + ",file="
                                                + odd.toString().replace(",", ",,")
                                                + ",endpoint=0x20,serial=root,readonly,num_queues=2,"
                                                + "blk_size=4096,nodiscard"))
                        .devices(
                                RNG,
                                List.of(
                                        folder.resolve("r.sock") + ",rogue",
                                        folder.resolve("s.sock") + ""))
                        .resolve();

        List<DeviceConfig> devices = config.machines().getFirst().iommus().getFirst().devices();
        DiskOptions disk = (DiskOptions) devices.getFirst().options();
        assertThat(disk.file()).isEqualTo(odd);
        assertThat(disk.place().endpoint()).isEqualTo(0x20);
        assertThat(devices.getFirst().bdf()).isEqualTo(0x20);
        assertThat(disk.isWritable()).isFalse();
        assertThat(disk.settings())
                .isEqualTo(
                        BlkSettings.builder()
                                .serial("root")
                                .queueCount(2)
                                .blocks(BlkBlocks.OF_4096)
                                .erasing(BlkErasing.NO_DISCARD)
                                .build());
        assertThat(devices.stream().skip(1).map(d -> ((RngOptions) d.options()).isRogue()))
                .containsExactly(true, false);
        assertThat(devices.stream().map(d -> d.options().place().name()))
                .containsExactly("disk0", "rng0", "rng1");
    }

    @Test
    void mistakesOfTheCommandLineAreToldTogether() {
        ConfigException refused =
                catchThrowableOfType(
                        ConfigException.class,
                        () ->
                                FlagConfig.iommu(folder.resolve("no/i.sock"))
                                        .devices(
                                                BLK,
                                                List.of(
                                                        "x.sock",
                                                        "y.sock,file=a,colour=red,endpoint=q",
                                                        "z.sock,file=a,num_queues=0,blk_size=1024,readonly=1",
                                                        "z.sock,file=a,file=b,serial=",
                                                        "w.sock,file=/dev/null"))
                                        .devices(
                                                RNG,
                                                List.of(
                                                        ",rogue=yes",
                                                        "r.sock,file=a,endpoint=0x100000000"))
                                        .resolve());

        assertThat(refused.problems().stream().map(Problem::text))
                .contains(
                        "--blk x.sock: needs file=",
                        "--blk y.sock,file=a,colour=red,endpoint=q: \"colour=red\" is not known; known"
                                + " are endpoint=, alias=, file=, serial=, readonly, nolock, queue_size=,"
                                + " seg_max=, size_max=, num_queues=, blk_size=, nodiscard",
                        "--blk y.sock,file=a,colour=red,endpoint=q: endpoint must be a number of 0"
                                + " to 4294967295, not \"q\"",
                        "--blk z.sock,file=a,num_queues=0,blk_size=1024,readonly=1: num_queues must be"
                                + " a number of 1 to 64, not \"0\"",
                        "--blk z.sock,file=a,num_queues=0,blk_size=1024,readonly=1: blk_size must be"
                                + " 512 or 4096, not 1024",
                        "--blk z.sock,file=a,file=b,serial=: \"file=b\" comes after another one",
                        "--blk z.sock,file=a,file=b,serial=: serial is empty",
                        "--rng ,rogue=yes: \"rogue=yes\" is not known; known are endpoint=, alias=, rogue",
                        "--rng ,rogue=yes: needs a socket",
                        "--rng r.sock,file=a,endpoint=0x100000000: \"file=a\" is not known; known are"
                                + " endpoint=, alias=, rogue",
                        "--rng r.sock,file=a,endpoint=0x100000000: endpoint must be a number of 0"
                                + " to 4294967295, not \"0x100000000\"",
                        "there is no file a; `truncate -s 1G a` makes an empty disk",
                        "/dev/null is neither a file nor a block device, so it has no size that a"
                                + " disk could have; name one that is",
                        "there is no folder for the socket " + folder.resolve("no/i.sock"));
    }
}
