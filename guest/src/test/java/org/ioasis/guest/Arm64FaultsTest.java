// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.ioasis.guestkit.BoardTree;
import org.ioasis.guestkit.DebianProgram;
import org.ioasis.machine.IommuTransport;
import org.ioasis.machine.IommuUnit;
import org.ioasis.machine.Machine;
import org.ioasis.topology.DeviceTree;
import org.ioasis.topology.Viot;
import org.ioasis.vm.QemuCommand;
import org.junit.jupiter.api.Test;

/** A guest on 64-bit ARM that is told by a device tree, of an IOMMU that is a PCI function. */
class Arm64FaultsTest extends ArmFaults {
    private static final int MEMORY_MIB = 256;

    @Test
    void bothFaultsAreInTheLogOfAGuestWithADeviceTree() throws Exception {
        bothFaultsAreInTheGuestsLog();
    }

    @Override
    int memory() {
        return MEMORY_MIB;
    }

    @Override
    IommuTransport transport() {
        return IommuTransport.VFIO_USER;
    }

    @Override
    List<String> drivers() {
        return List.of();
    }

    @Override
    void add(Machine machine, IommuUnit unit) {
        // The IOMMU and both devices are all that there is.
    }

    @Override
    List<String> tell(Setting setting, QemuCommand.Builder command, String commandLine)
            throws Exception {
        BoardTree tree =
                BoardTree.of(
                        setting.kit().qemu(),
                        BOARD,
                        List.of("-serial", "null", "-m", MEMORY_MIB + "M"),
                        setting.workspace().file("board.dtb"),
                        setting.host(),
                        setting.cleanup());
        byte[] overlay =
                DeviceTree.overlay(
                        List.of(new Viot.Iommu(0, Viot.bdf(0, 1, 0))),
                        List.of(new Viot.PciRange(0, 0, LIAR, LIAR, LIAR)),
                        new DeviceTree.Places(Map.of(0, "/pcie@10000000"), Map.of()));
        Path whole = tree.with(overlay, setting.provisioner().provide(DebianProgram.FDTOVERLAY));
        return List.of("-dtb", whole.toString());
    }

    @Override
    void check(Machine machine) {
        // Nothing beside the faults.
    }
}
