// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.guestkit.Qemu;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.IommuUnit;
import org.ioasis.machine.Machine;
import org.ioasis.machine.RngOptions;
import org.ioasis.run.Progress;
import org.ioasis.virtio.rogue.Rogue;
import org.ioasis.vm.QemuCommand;
import org.ioasis.vm.Workspace;

/**
 * Takes QEMU's virtio-iommu and ours through the same steps and compares all that a driver and an
 * endpoint can see: status, used length and every byte of each answer, configuration, features,
 * what accesses reach, fault events. One thread.
 */
public final class Comparison {
    /** Steps of one setup in a row: so a request has the same number however many follow. */
    private static final long BLOCK = 1000;

    private static final List<Setup> SETUPS =
            List.of(new Setup(64, true, false), new Setup(39, false, true));

    private static final long WORKSPACE_BYTES = 4 * QtestVmm.RAM_BYTES;
    private static final int DMA_SLOT = Requests.DMA_ENDPOINT >> 3;
    private static final long TELL_NANOS = 10_000_000_000L;

    private final long requests;
    private final long seed;
    private final Host host;
    private final Progress progress;
    private final Differences differences = new Differences();
    private long asked;
    private long others;
    private long rebuilds;
    private long lastTold;

    /**
     * @param requests to each device
     */
    public Comparison(long requests, long seed, Host host, Progress progress) {
        this.requests = requests;
        this.seed = seed;
        this.host = host;
        this.progress = progress;
    }

    /**
     * Runs it.
     *
     * @throws UnavailableException there is no QEMU and none can be had
     * @throws IOException a device does not answer any more
     */
    public ComparisonReport run() throws UnavailableException, IOException, InterruptedException {
        long begin = System.nanoTime();
        lastTold = begin;
        try (Cleanup cleanup = Cleanup.atExit();
                Workspace workspace = Workspace.create(host, cleanup, WORKSPACE_BYTES)) {
            Qemu qemu = new Provisioner(host, cleanup, progress::say).provideQemu();
            for (int i = 0; i < SETUPS.size(); i++) {
                run(i, qemu, cleanup, workspace);
            }
            return new ComparisonReport(
                    qemu.version(),
                    seed,
                    asked,
                    others,
                    rebuilds,
                    (System.nanoTime() - begin) / 1e9,
                    differences.rows());
        }
    }

    private void run(int number, Qemu qemu, Cleanup cleanup, Workspace workspace)
            throws IOException, InterruptedException {
        long first = number * BLOCK;
        if (first >= requests) {
            return;
        }
        Setup setup = SETUPS.get(number);
        progress.say("comparing with QEMU %s: %s".formatted(qemu.version(), setup));
        Path iommuSocket = workspace.file("iommu" + number + ".sock");
        Path dmaSocket = workspace.file("dma" + number + ".sock");
        try (Machine machine =
                new Machine("ours", setup.ours(), IdlePolicy.EVENT_DRIVEN, iommuSocket)) {
            Rogue rogue = plug(machine.iommus().getFirst(), machine, dmaSocket);
            machine.start();
            List<String> oursDevices =
                    List.of(
                            new QemuCommand.Function(1, 0, iommuSocket).json(),
                            new QemuCommand.Function(DMA_SLOT, 0, dmaSocket).json());
            List<String> theirsDevices = new ArrayList<>(List.of(setup.theirs()));
            Requests.ENDPOINTS.forEach(
                    endpoint -> theirsDevices.add(DmaEngine.Edu.option(endpoint >> 3)));
            QtestVmm oursVmm =
                    new QtestVmm(qemu, host, cleanup, workspace, "ours" + number, oursDevices);
            try (Subject ours = new Subject("ours", oursVmm, new DmaEngine.Ours(rogue))) {
                QtestVmm theirsVmm =
                        new QtestVmm(
                                qemu, host, cleanup, workspace, "theirs" + number, theirsDevices);
                DmaEngine edu = new DmaEngine.Edu(theirsVmm.qtest(), Requests.DMA_ENDPOINT);
                try (Subject theirs = new Subject("QEMU's", theirsVmm, edu)) {
                    Pair pair = new Pair(setup, ours, theirs, differences, seed);
                    pair.begin();
                    Requests maker = new Requests(seed, number);
                    for (long at = first; at < requests; at += SETUPS.size() * BLOCK) {
                        pair.run(at, maker.next(Math.min(BLOCK, requests - at)));
                        tell(asked + pair.asked());
                    }
                    asked += pair.asked();
                    others += pair.others();
                    rebuilds += pair.rebuilds();
                }
            }
        }
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
                new RngOptions("dma", dmaSocket, Requests.DMA_ENDPOINT, Machine.X86_ENDPOINT, true);
        return machine.addRng(iommu, dma).rogue().orElseThrow();
    }

    private void tell(long done) {
        String line = String.format(Locale.ROOT, "%,d of %,d requests compared", done, requests);
        progress.status(line);
        if (System.nanoTime() - lastTold > TELL_NANOS) {
            lastTold = System.nanoTime();
            progress.say(line);
        }
    }
}
