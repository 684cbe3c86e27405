// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.ioasis.guestkit.ArmFirmware;
import org.ioasis.guestkit.BoardTree;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.DebianProgram;
import org.ioasis.guestkit.GrubImage;
import org.ioasis.guestkit.GuestProgram;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.topology.DeviceTree;
import org.ioasis.topology.Viot;
import org.ioasis.vm.QemuCommand;
import org.ioasis.vm.Workspace;

/** By what the kernel on {@link VirtBoard} is told what is behind which IOMMU. One thread. */
sealed interface VirtTables {
    /**
     * Makes a command start a guest that is told.
     *
     * @param units the IOMMUs, wherever on the board they are
     * @return further words for it
     */
    List<String> tell(
            QemuCommand.Builder command, Platform.Guest guest, List<? extends Viot.Unit> units)
            throws IOException, InterruptedException;

    /**
     * QEMU's own device tree, with our overlay on it.
     *
     * @param tool what puts an overlay on a tree
     */
    record Tree(BoardTree tree, GuestProgram tool) implements VirtTables {
        private static final String HOST_BRIDGE = "/pcie@10000000";

        static Tree of(BoardTree tree, Host host, Cleanup cleanup, Progress progress)
                throws UnavailableException, IOException, InterruptedException {
            return new Tree(
                    tree,
                    new Provisioner(host, cleanup, progress::say)
                            .provide(DebianProgram.FDTOVERLAY));
        }

        @Override
        public List<String> tell(
                QemuCommand.Builder command, Platform.Guest guest, List<? extends Viot.Unit> units)
                throws IOException, InterruptedException {
            Map<Long, String> nodes = new HashMap<>();
            for (Viot.Unit unit : units) {
                if (unit instanceof Viot.MmioIommu(long base)) {
                    nodes.put(base, "/virtio_mmio@%x".formatted(base));
                }
            }
            byte[] overlay =
                    DeviceTree.overlay(
                            units,
                            guest.behind(),
                            new DeviceTree.Places(Map.of(0, HOST_BRIDGE), nodes));
            List<String> words =
                    new ArrayList<>(List.of("-dtb", tree.with(overlay, tool).toString()));
            if (guest.task().commandFile().isEmpty()) {
                // The tree has two ports.
                words.addAll(List.of("-serial", "null"));
            }
            return words;
        }
    }

    /**
     * The firmware's tables of ACPI, which it has from QEMU, with our VIOT among them: QEMU takes
     * no table for this board, so a loader that the firmware starts puts it there.
     *
     * @param program where that is written
     */
    record Acpi(ArmFirmware firmware, GrubImage loader, Path program) implements VirtTables {
        static Acpi of(Workspace workspace, Host host, Cleanup cleanup, Progress progress)
                throws UnavailableException, IOException, InterruptedException {
            Provisioner provisioner = new Provisioner(host, cleanup, progress::say);
            ArmFirmware firmware = provisioner.provideArmFirmware();
            GuestProgram tool = provisioner.provide(DebianProgram.GRUB_MKIMAGE);
            return new Acpi(
                    firmware,
                    new GrubImage(firmware, tool, host, cleanup),
                    workspace.file("loader.efi"));
        }

        @Override
        public List<String> tell(
                QemuCommand.Builder command, Platform.Guest guest, List<? extends Viot.Unit> units)
                throws IOException, InterruptedException {
            byte[] viot =
                    Viot.table(Viot.Oem.IOASIS, units, guest.behind(), Viot.OwnFunction.REFUSED);
            var _ =
                    command.kernel(
                            loader.write(
                                    program, guest.kernel(), guest.commandLine(), List.of(viot)));
            return List.of("-bios", firmware.image().toString());
        }
    }
}
