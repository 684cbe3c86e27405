// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.guestkit.ArmFirmware;
import org.ioasis.guestkit.DebianProgram;
import org.ioasis.guestkit.GrubImage;
import org.ioasis.iommu.DomainView;
import org.ioasis.live.MachineView;
import org.ioasis.machine.IommuTransport;
import org.ioasis.machine.IommuUnit;
import org.ioasis.machine.Machine;
import org.ioasis.topology.VhostUserIommu;
import org.ioasis.vm.QemuCommand;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A guest on 64-bit ARM that is told by ACPI, with a table that {@code ./ioasis viot} has written:
 * of an IOMMU on virtio-mmio (node type 4), a PCI function behind it (type 1) and a platform device
 * behind it (type 2).
 *
 * <p>That device is QEMU's own, for there is no other on this board: QEMU takes the addresses that
 * the guest's driver maps for it as they are. So what is seen here is that the guest attaches it
 * and maps for it, and no access of its own.
 */
class Arm64AcpiTest extends ArmFaults {
    private static final int MEMORY_MIB = 512;
    private static final int PLATFORM = 0x55;
    private static final int LOOKS = 3000;

    @TempDir Path folder;

    @Test
    void bothFaultsAreInTheLogOfAGuestWithAcpiAndAPlatformDeviceIsAttached() throws Exception {
        bothFaultsAreInTheGuestsLog();
    }

    @Override
    int memory() {
        return MEMORY_MIB;
    }

    @Override
    IommuTransport transport() {
        return IommuTransport.VHOST_USER;
    }

    @Override
    List<String> drivers() {
        return List.of("virtio_mmio");
    }

    @Override
    void add(Machine machine, IommuUnit unit) {
        machine.addPresent(unit, PLATFORM, ENDPOINT);
    }

    @Override
    List<String> tell(Setting setting, QemuCommand.Builder command, String commandLine)
            throws Exception {
        Command.link(folder);
        try (Command viot =
                Command.typed(
                        folder,
                        "./ioasis viot --output my.viot --mmio-iommu 0xa000000 --range 00:02.0"
                                + " --device 0xa000200,endpoint=0x55")) {
            assertThat(viot.end()).as(viot.output()).isZero();
        }
        ArmFirmware firmware = setting.provisioner().provideArmFirmware();
        GrubImage loader =
                new GrubImage(
                        firmware,
                        setting.provisioner().provide(DebianProgram.GRUB_MKIMAGE),
                        setting.host(),
                        setting.cleanup());
        command.kernel(
                loader.write(
                        setting.workspace().file("loader.efi"),
                        setting.kit().kernel().image(),
                        commandLine,
                        List.of(Files.readAllBytes(folder.resolve("my.viot")))));
        List<String> words = new ArrayList<>(List.of("-bios", firmware.image().toString()));
        words.addAll(List.of("-global", "virtio-mmio.force-legacy=false"));
        words.addAll(VhostUserIommu.onMmio("iommu", setting.iommuSocket(), 0).words());
        words.addAll(
                List.of("-device", "virtio-rng-device,iommu_platform=on,bus=virtio-mmio-bus.1"));
        return words;
    }

    /** The guest comes to that device by itself, sooner or later than to the others. */
    @Override
    void check(Machine machine) throws InterruptedException {
        List<DomainView> domains = domains(machine);
        for (int looks = 0; looks < LOOKS && !isMapped(domains); looks++) {
            Thread.sleep(10);
            domains = domains(machine);
        }
        assertThat(isMapped(domains)).as("%s", domains).isTrue();
        assertThat(domains)
                .as("the IOMMU is not behind itself")
                .flatExtracting(DomainView::endpoints)
                .containsExactlyInAnyOrder(PLATFORM, LIAR);
    }

    private static boolean isMapped(List<DomainView> domains) {
        return domains.stream()
                .anyMatch(domain ->
                        domain.endpoints().contains(PLATFORM) && domain.mappingCount() > 0);
    }

    private static List<DomainView> domains(Machine machine) {
        return MachineView.of(machine).iommus().getFirst().domains();
    }
}
