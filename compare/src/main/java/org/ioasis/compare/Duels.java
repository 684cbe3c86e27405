// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Qemu;
import org.ioasis.kind.rng.RngOptions;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.DevicePlace;
import org.ioasis.machine.IommuUnit;
import org.ioasis.machine.Machine;
import org.ioasis.topology.QemuArguments;
import org.ioasis.virtio.rogue.Rogue;
import org.ioasis.vm.Workspace;

/**
 * Starts two new machines, one with QEMU's device and one with ours, hands them to somebody and
 * ends them. One thread.
 */
final class Duels {
    private static final int DMA_SLOT = Requests.DMA_ENDPOINT >> 3;

    /** Who asks both devices. */
    interface Duel<R> {
        R fight(Subject ours, Subject theirs) throws IOException, InterruptedException;
    }

    private final Qemu qemu;
    private final Host host;
    private final Cleanup cleanup;
    private final Workspace workspace;
    private int count;

    /**
     * @param workspace for sockets and the machines' memory
     */
    Duels(Qemu qemu, Host host, Cleanup cleanup, Workspace workspace) {
        this.qemu = qemu;
        this.host = host;
        this.cleanup = cleanup;
        this.workspace = workspace;
    }

    /**
     * Starts two machines for one duel.
     *
     * @param patience how long a device may take for an answer
     * @return what the duel returns
     * @throws IOException a machine cannot be started, or the duel throws it
     */
    <R> R hold(Setup setup, Duration patience, Duel<R> duel)
            throws IOException, InterruptedException {
        String name = "." + count++;
        Path iommuSocket = workspace.file("iommu" + name);
        Path dmaSocket = workspace.file("dma" + name);
        try (Machine machine =
                new Machine("ours", setup.ours(), IdlePolicy.EVENT_DRIVEN, iommuSocket)) {
            Rogue rogue = plug(machine.iommus().getFirst(), machine, dmaSocket);
            machine.start();
            List<String> oursDevices =
                    List.of(
                            new QemuArguments.Function(1, 0, iommuSocket).json(),
                            new QemuArguments.Function(DMA_SLOT, 0, dmaSocket).json());
            QtestVmm oursVmm = vmm("ours" + name, oursDevices);
            DmaEngine.Ours rogueEngine = new DmaEngine.Ours(rogue, machine);
            try (Subject ours = new Subject("ours", oursVmm, rogueEngine, patience)) {
                try (Subject theirs = theirs(setup, patience)) {
                    return duel.fight(ours, theirs);
                }
            }
        }
    }

    /** Starts a machine with QEMU's device and what is behind it, for who closes it. */
    Subject theirs(Setup setup, Duration patience) throws IOException {
        List<String> devices = new ArrayList<>(List.of(setup.theirs()));
        Requests.ENDPOINTS.forEach(endpoint -> devices.add(DmaEngine.Edu.option(endpoint >> 3)));
        QtestVmm machine = vmm("theirs." + count++, devices);
        DmaEngine edu = new DmaEngine.Edu(machine.qtest(), Requests.DMA_ENDPOINT);
        return new Subject("QEMU's", machine, edu, patience);
    }

    private QtestVmm vmm(String name, List<String> devices) throws IOException {
        return new QtestVmm(qemu, host, cleanup, workspace, name, devices);
    }

    /** Puts behind the IOMMU what is behind QEMU's; returns the endpoint that accesses memory. */
    private static Rogue plug(IommuUnit iommu, Machine machine, Path dmaSocket) throws IOException {
        for (int endpoint : Requests.ENDPOINTS) {
            if (endpoint != Requests.DMA_ENDPOINT) {
                iommu.engine().plug(endpoint, Machine.X86_ENDPOINT);
            }
        }
        for (int endpoint : Requests.CHIPSET) {
            iommu.engine().plug(endpoint, Machine.X86_ENDPOINT);
        }
        RngOptions dma =
                new RngOptions(DevicePlace.of("dma", dmaSocket, Requests.DMA_ENDPOINT), true);
        return machine.add(iommu, dma).rogue().orElseThrow();
    }
}
