// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Guests on a 64-bit ARM: the commands of the README's section, as they stand there. */
class Arm64Test {
    private static final int USAGE = 2;

    @TempDir Path folder;

    /**
     * Each interrupt controller has both its cells: where its doorbell is named to the guest, and
     * where the guest maps it.
     */
    @Test
    void eachCommandOfTheReadmeDoesWhatItSays() throws Exception {
        List<String> commands = Readme.commands("arm64");
        assertThat(commands).hasSize(8);
        Command.link(folder);

        verifiedIo(commands.get(0));
        String frame = verifiedIo(commands.get(1));
        assertThat(frame)
                .as("the doorbell of the frame beside the GICv2, for each disk")
                .hasLineCount(3)
                .contains("virt=0x8020000..0x8020fff phys=0x8020000 WRITE|MMIO -> OK");
        doorbellIsReserved(commands.get(2), "0x0000000008080000 0x000000000809ffff");
        String its = verifiedIo(commands.get(3));
        assertThat(its)
                .as("the page of the ITS with the doorbell, for each disk")
                .hasLineCount(3)
                .contains("virt=0x8090000..0x8090fff phys=0x8090000 WRITE|MMIO -> OK");
        assertThat(verifiedIo(commands.get(4)))
                .containsPattern("(?m)^IOMMU +a000000\\.virtio_mmio, driver virtio_iommu$");
        // By ACPI a platform device has another name.
        verifiedIo(commands.get(5));
        verifiedIo(commands.get(6));
        doorbellIsReserved(commands.get(7), "0x0000000008020000 0x0000000008020fff");
    }

    /** Returns the mappings that say MMIO, a line each; without a trace what the command said. */
    private String verifiedIo(String line) throws Exception {
        Path trace = folder.resolve("requests.log");
        Files.deleteIfExists(trace);
        try (Command command = Command.typed(folder, line)) {
            assertThat(command.end()).as(command.output()).isZero();
            assertThat(command.output())
                    .containsPattern("booting Linux [^ ]*-arm64 on QEMU")
                    .containsPattern("(?m)^IOMMU .*driver virtio_iommu$")
                    .containsPattern("(?m)^verified +16,777,216 bytes")
                    .containsPattern("(?m)^faults +0$")
                    .doesNotContainPattern("bypassed [1-9]")
                    .endsWith("OK");
            if (!line.contains("--trace")) {
                assertThat(trace).doesNotExist();
                return command.output();
            }
        }
        return String.join(
                "\n", Files.readAllLines(trace).stream().filter(l -> l.contains("MMIO")).toList());
    }

    private void doorbellIsReserved(String line, String range) throws Exception {
        try (Command command = Command.typed(folder, line)) {
            assertThat(command.end()).as(command.output()).isZero();
            assertThat(command.output().lines().filter(l -> l.endsWith(" msi")))
                    .as(command.output())
                    .hasSize(3)
                    .containsOnly(range + " msi");
        }
    }

    @Test
    void whatArmHasNotIsRefusedBeforeAnythingIsDone() throws Exception {
        assertRefused("--arch arm64", "--assigned type1 --arch arm64");
        assertRefused("--arch arm64", "--accel kvm --arch arm64");
        assertRefused("leave out --kernel", "--kernel backports --arch arm64");
        assertRefused("leave out --modules", "--modules . --arch arm64");
        assertRefused("--msi and --map-msi need --arch arm64", "--msi its");
        assertRefused("--msi and --map-msi need --arch arm64", "--map-msi");
        assertRefused("--virtio-mmio needs --arch arm64", "--virtio-mmio");
        assertRefused("--acpi needs --arch arm64", "--acpi");
    }

    private static void assertRefused(String why, String arguments) throws Exception {
        String[] words = ("vm " + arguments).split(" ", -1);
        try (Command command = new Command(Map.of(), words)) {
            assertThat(command.end()).as(command.output()).isEqualTo(USAGE);
            assertThat(command.output()).contains(why).doesNotContain("booting");
        }
    }
}
