// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.guestkit.BoardTree;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.machine.IommuTransport;
import org.ioasis.topology.MsiDoorbells;
import org.ioasis.topology.VhostUserIommu;
import org.ioasis.topology.Viot;
import org.ioasis.vm.QemuCommand;
import org.ioasis.vm.Workspace;

/**
 * QEMU's board for ARM. One thread.
 *
 * @param machine as QEMU names it
 * @param tables by which its kernel is told
 */
record VirtBoard(
        RunOptions.Board.Virt board,
        QemuCommand.Machine machine,
        VirtTables tables,
        MsiDoorbells.Doorbell doorbell)
        implements Platform {
    /** TCG plays it faster than newer ones, whose pointers it would have to sign. */
    private static final String PROCESSOR = "cortex-a57";

    private static final long PAGE_MASK = 0xfff;

    // Where QEMU has the board's virtio-mmio devices, the first of them on bus 0.
    private static final long MMIO_BASE = 0x0a00_0000;
    private static final int MMIO_BYTES = 0x200;

    static VirtBoard of(
            RunOptions.Board.Virt board,
            RunOptions options,
            GuestKit kit,
            Workspace workspace,
            Host host,
            Cleanup cleanup,
            Progress progress)
            throws UnavailableException, IOException, InterruptedException {
        QemuCommand.Machine machine =
                new QemuCommand.Machine(
                        switch (board.controller()) {
                            case GICV2M -> "virt,gic-version=2";
                            case ITS -> "virt,gic-version=3";
                        },
                        PROCESSOR);
        // Two serial ports, as every run has them: QEMU leaves out of the tree what is not there.
        List<String> words = new ArrayList<>(List.of("-serial", "null", "-serial", "null"));
        words.addAll(List.of("-cpu", PROCESSOR, "-m", options.memoryMiB() + "M"));
        words.addAll(List.of("-smp", Integer.toString(options.processors())));
        // Where its interrupts go is in it, by whatever its kernel is told.
        BoardTree tree =
                BoardTree.of(
                        kit.qemu(),
                        machine.type(),
                        words,
                        workspace.file("board.dtb"),
                        host,
                        cleanup);
        List<MsiDoorbells.Doorbell> doorbells = MsiDoorbells.of(tree.bytes());
        if (doorbells.size() != 1) {
            throw new IOException(machine.type() + " has not one doorbell but " + doorbells);
        }
        VirtTables tables =
                switch (board.tables()) {
                    case DEVICE_TREE -> VirtTables.Tree.of(tree, host, cleanup, progress);
                    case ACPI -> VirtTables.Acpi.of(workspace, host, cleanup, progress);
                };
        return new VirtBoard(board, machine, tables, doorbells.getFirst());
    }

    @Override
    public EndpointProperties endpoint() {
        if (board.isDoorbellMapped()) {
            return EndpointProperties.UNLIMITED;
        }
        return EndpointProperties.reserving(
                List.of(
                        new ReservedRegion(
                                doorbell.first(), doorbell.last(), ReservedRegion.Kind.MSI)));
    }

    /**
     * QEMU raises interrupts itself, at the address that the guest gave the vector: nobody
     * translates it. Linux gives addresses out from the last one down, and the doorbell's is the
     * first that a device needs; so that is where the addresses end, and it is the doorbell's own.
     */
    @Override
    public IommuOptions.Builder iommu(IommuOptions.Builder options) {
        return board.isDoorbellMapped()
                ? options.inputRange(0, doorbell.register() | PAGE_MASK)
                : options;
    }

    @Override
    public List<String> parameters() {
        // What ARM calls its first port; of two consoles the last one counts.
        return List.of("console=ttyAMA0");
    }

    @Override
    public String served() {
        return "msi = \"0x%x-0x%x\"\n".formatted(doorbell.first(), doorbell.last());
    }

    @Override
    public IommuTransport transport() {
        return board.isMmio() ? IommuTransport.VHOST_USER : IommuTransport.VFIO_USER;
    }

    @Override
    public List<String> drivers() {
        return board.isMmio() ? List.of("virtio_mmio") : List.of();
    }

    @Override
    public List<String> describe(QemuCommand.Builder command, Guest guest)
            throws IOException, InterruptedException {
        List<Viot.Unit> units = new ArrayList<>();
        List<String> words = new ArrayList<>();
        if (board.isMmio()) {
            words.addAll(List.of("-global", "virtio-mmio.force-legacy=false"));
            for (int i = 0; i < guest.sockets().size(); i++) {
                units.add(new Viot.MmioIommu(MMIO_BASE + (long) i * MMIO_BYTES));
                Path socket = guest.sockets().get(i);
                words.addAll(VhostUserIommu.onMmio("iommu" + i, socket, i).words());
            }
        } else {
            units.addAll(guest.iommus());
        }
        var _ = command.machine(machine);
        words.addAll(tables.tell(command, guest, units));
        return words;
    }
}
