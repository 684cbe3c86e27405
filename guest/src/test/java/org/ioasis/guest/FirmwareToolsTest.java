// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.DebianProgram;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.topology.DeviceTree;
import org.ioasis.topology.Viot;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What others read in the tables and overlays that we write: iasl of ACPICA, and dtc. */
class FirmwareToolsTest {
    // Of an ACPI table: what iasl writes of itself into the header.
    private static final int CHECKSUM = 9;
    private static final int CREATOR_ID = 28;
    private static final int HEADER_SIZE = 36;

    @TempDir Path folder;

    private String run(DebianProgram program, String... arguments) throws Exception {
        try (Cleanup cleanup = Cleanup.atExit()) {
            List<String> command =
                    new ArrayList<>(
                            new Provisioner(Host.current(), cleanup, System.out::println)
                                    .provide(program)
                                    .command());
            command.addAll(List.of(arguments));
            Process process =
                    new ProcessBuilder(command)
                            .directory(folder.toFile())
                            .redirectErrorStream(true)
                            .start();
            process.getOutputStream().close();
            String said = new String(process.getInputStream().readAllBytes(), UTF_8);
            assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
            assertThat(process.exitValue()).as(said).isZero();
            return said;
        }
    }

    /** A table without the fields of who made it. */
    private static byte[] bare(Path file) throws IOException {
        byte[] bytes = Files.readAllBytes(file);
        bytes[CHECKSUM] = 0;
        Arrays.fill(bytes, CREATOR_ID, HEADER_SIZE, (byte) 0);
        return bytes;
    }

    @Test
    void iaslReadsOurTableAsWeMeantItAndCompilesItToTheSameBytes() throws Exception {
        Files.write(
                folder.resolve("ours.viot"),
                Viot.table(
                        Viot.Oem.IOASIS,
                        List.of(
                                new Viot.Iommu(0, 0x8),
                                new Viot.Iommu(1, 0x13),
                                new Viot.MmioIommu(0xa00_0000)),
                        List.of(
                                new Viot.PciRange(0, 0, 0x10, 0xff, 0x100),
                                new Viot.PciRange(1, 1, 0x500, 0x500, 0x500),
                                new Viot.MmioEndpoint(2, 0xa00_0200, 0x55)),
                        Viot.OwnFunction.REFUSED));

        run(DebianProgram.IASL, "-d", "-p", "theirs", "ours.viot");
        String listing = Files.readString(folder.resolve("theirs.dsl"));

        assertThat(listing)
                .contains("Signature : \"VIOT\"")
                .contains("Type : 03 [VirtIO-PCI IOMMU]")
                .contains("PCI Segment : 0001")
                .contains("PCI BDF number : 0013")
                .contains("Type : 01 [PCI Range]")
                .contains("Endpoint start : 00000100")
                .contains("PCI BDF start : 0010")
                .contains("PCI BDF end : 00FF")
                .contains("PCI BDF start : 0500")
                .contains("Type : 04 [VirtIO-MMIO IOMMU]", ": 000000000A000000")
                .contains("Type : 02 [MMIO Endpoint]", ": 000000000A000200");
        String said = run(DebianProgram.IASL, "-p", "again", "theirs.dsl");
        assertThat(said).contains("0 Errors, 0 Warnings");
        assertThat(bare(folder.resolve("again.aml")))
                .hasSizeGreaterThan(HEADER_SIZE)
                .isEqualTo(bare(folder.resolve("ours.viot")));
    }

    @Test
    void dtcReadsOurOverlayWithoutAWarning() throws Exception {
        Files.write(
                folder.resolve("ours.dtbo"),
                DeviceTree.overlay(
                        List.of(new Viot.Iommu(0, 8), new Viot.MmioIommu(0xa00_0000)),
                        List.of(
                                new Viot.PciRange(0, 0, 0, 0xffff, 0),
                                new Viot.MmioEndpoint(1, 0xa00_0200, 7)),
                        new DeviceTree.Places(
                                Map.of(0, "/pcie@10000000"),
                                Map.of(
                                        0xa00_0000L, "/virtio_mmio@a000000",
                                        0xa00_0200L, "/virtio_mmio@a000200"))));

        assertThat(run(DebianProgram.DTC, "-I", "dtb", "-O", "dts", "-o", "ours.dts", "ours.dtbo"))
                .isEmpty();
        assertThat(Files.readString(folder.resolve("ours.dts")))
                .contains("target-path = \"/pcie@10000000\"")
                .contains("iommu-map = <0x00 0x01 0x00 0x08 0x09 0x01 0x09 0xfff7>")
                .contains("iommus = <0x02 0x07>");
        assertThat(
                        run(
                                DebianProgram.DTC,
                                "-I",
                                "dtb",
                                "-O",
                                "dtb",
                                "-o",
                                "again.dtbo",
                                "ours.dtbo"))
                .isEmpty();
        assertThat(
                        run(
                                DebianProgram.DTC,
                                "-I",
                                "dtb",
                                "-O",
                                "dts",
                                "-o",
                                "again.dts",
                                "again.dtbo"))
                .isEmpty();
        assertThat(folder.resolve("again.dts")).hasSameTextualContentAs(folder.resolve("ours.dts"));
    }
}
