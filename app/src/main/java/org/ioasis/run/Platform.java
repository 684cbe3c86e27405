// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.ioasis.guestkit.BoardTree;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.DebianProgram;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.GuestProgram;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.machine.IommuTransport;
import org.ioasis.machine.Machine;
import org.ioasis.topology.DeviceTree;
import org.ioasis.topology.MsiDoorbells;
import org.ioasis.topology.VhostUserIommu;
import org.ioasis.topology.Viot;
import org.ioasis.vm.GuestTask;
import org.ioasis.vm.QemuCommand;
import org.ioasis.vm.Workspace;

/**
 * What a run's guest is on: where its devices' interrupts go, and how its kernel is told what is
 * behind which IOMMU. One thread.
 */
interface Platform {
    /** What is true of each endpoint there. */
    EndpointProperties endpoint();

    /** What is true of each IOMMU there, on top of {@code options}. */
    IommuOptions.Builder iommu(IommuOptions.Builder options);

    /** What its kernel has to be told, in front of the user's words. */
    List<String> parameters();

    /** The same for a configuration of what is served to it (docs/config.md), lines of TOML. */
    String served();

    /** What QEMU speaks to attach an IOMMU. */
    IommuTransport transport();

    /** What its kernel needs beside the drivers of its devices. */
    List<String> drivers();

    /**
     * Makes a command start QEMU with this.
     *
     * @param sockets where the IOMMUs are served
     * @return further words for it
     */
    List<String> describe(
            QemuCommand.Builder command,
            GuestTask task,
            List<Viot.Iommu> iommus,
            List<Path> sockets,
            List<Viot.PciRange> behind)
            throws IOException, InterruptedException;

    /**
     * Gets ready what was chosen.
     *
     * @throws UnavailableException this machine lacks something; the message says what to do
     */
    static Platform of(
            RunOptions options,
            GuestKit kit,
            Workspace workspace,
            Host host,
            Cleanup cleanup,
            Progress progress)
            throws UnavailableException, IOException, InterruptedException {
        return switch (options.board()) {
            case RunOptions.Board.Pc() -> new Pc(workspace);
            case RunOptions.Board.Virt board ->
                    Virt.of(board, options, kit, workspace, host, cleanup, progress);
        };
    }

    /** A PC, told by a table of ACPI. */
    record Pc(Workspace workspace) implements Platform {
        @Override
        public EndpointProperties endpoint() {
            return Machine.X86_ENDPOINT;
        }

        @Override
        public IommuOptions.Builder iommu(IommuOptions.Builder options) {
            return options;
        }

        @Override
        public List<String> parameters() {
            return List.of();
        }

        @Override
        public String served() {
            return "";
        }

        @Override
        public IommuTransport transport() {
            return IommuTransport.VFIO_USER;
        }

        @Override
        public List<String> drivers() {
            return List.of();
        }

        @Override
        public List<String> describe(
                QemuCommand.Builder command,
                GuestTask task,
                List<Viot.Iommu> iommus,
                List<Path> sockets,
                List<Viot.PciRange> behind)
                throws IOException {
            Path viot = workspace.file("viot");
            Files.write(
                    viot, Viot.table(Viot.Oem.IOASIS, iommus, behind, Viot.OwnFunction.REFUSED));
            var _ = command.acpiTables(List.of(viot));
            return List.of();
        }
    }

    /**
     * QEMU's board for ARM, told by a device tree: QEMU's own, with our overlay on it.
     *
     * @param machine as QEMU names it
     * @param tool what puts an overlay on a tree
     */
    record Virt(
            RunOptions.Board.Virt board,
            QemuCommand.Machine machine,
            BoardTree tree,
            GuestProgram tool,
            MsiDoorbells.Doorbell doorbell)
            implements Platform {
        /** TCG plays it faster than newer ones, whose pointers it would have to sign. */
        private static final String PROCESSOR = "cortex-a57";

        private static final String HOST_BRIDGE = "/pcie@10000000";
        private static final long PAGE_MASK = 0xfff;

        // Where QEMU has the board's virtio-mmio devices, the first of them on bus 0.
        private static final long MMIO_BASE = 0x0a00_0000;
        private static final int MMIO_BYTES = 0x200;

        private static Virt of(
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
            // Two serial ports, as every run has them: QEMU leaves out of the tree what is not
            // there.
            List<String> words = new ArrayList<>(List.of("-serial", "null", "-serial", "null"));
            words.addAll(List.of("-cpu", PROCESSOR, "-m", options.memoryMiB() + "M"));
            words.addAll(List.of("-smp", Integer.toString(options.processors())));
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
            GuestProgram tool =
                    new Provisioner(host, cleanup, progress::say).provide(DebianProgram.FDTOVERLAY);
            return new Virt(board, machine, tree, tool, doorbells.getFirst());
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
         * translates it. Linux gives addresses out from the last one down, and the doorbell's is
         * the first that a device needs; so that is where the addresses end, and it is the
         * doorbell's own.
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
        public List<String> describe(
                QemuCommand.Builder command,
                GuestTask task,
                List<Viot.Iommu> iommus,
                List<Path> sockets,
                List<Viot.PciRange> behind)
                throws IOException, InterruptedException {
            List<Viot.Unit> units = new ArrayList<>(iommus);
            List<String> words = new ArrayList<>();
            Map<Long, String> nodes = new HashMap<>();
            if (board.isMmio()) {
                units.clear();
                words.addAll(List.of("-global", "virtio-mmio.force-legacy=false"));
                for (int i = 0; i < sockets.size(); i++) {
                    long base = MMIO_BASE + (long) i * MMIO_BYTES;
                    units.add(new Viot.MmioIommu(base));
                    nodes.put(base, "/virtio_mmio@%x".formatted(base));
                    words.addAll(VhostUserIommu.onMmio("iommu" + i, sockets.get(i), i).words());
                }
            }
            byte[] overlay =
                    DeviceTree.overlay(
                            units, behind, new DeviceTree.Places(Map.of(0, HOST_BRIDGE), nodes));
            var _ = command.machine(machine);
            words.addAll(List.of("-dtb", tree.with(overlay, tool).toString()));
            if (task.commandFile().isEmpty()) {
                words.addAll(List.of("-serial", "null"));
            }
            return words;
        }
    }
}
