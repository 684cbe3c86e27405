// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Initramfs;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.HostIommu;
import org.ioasis.machine.Machine;
import org.ioasis.machine.ProgramMachine;
import org.ioasis.run.Judgement.Counts;
import org.ioasis.run.Judgement.Found;
import org.ioasis.vfiodevice.AssignedDevice;
import org.ioasis.vm.Accel;
import org.ioasis.vm.GuestTask;
import org.ioasis.vm.QemuCommand;
import org.ioasis.vm.QemuProcess;
import org.ioasis.vm.SeededDisk;
import org.ioasis.vm.Workspace;

/**
 * One guest doing verified disk I/O on disks that are assigned to it: a stock QEMU finds them under
 * {@code /dev/vfio}, as it would find a host's own, and the address space that it builds there is
 * the only way of their DMA. One thread; blocks until it is over.
 */
public final class AssignedRun {
    private static final GuestTask.Scenario PLAIN = GuestTask.Scenario.PLAIN;
    private static final String IOMMU_ADDRESS = "1";

    /**
     * Scalable mode with first stages, which Linux then uses, and what QEMU asks of a VT-d in front
     * of assigned devices. It is no PCI function.
     */
    private static final String VTD = "intel-iommu,scalable-mode=on,fsts=on,caching-mode=on";

    /** How QEMU reaches VFIO. */
    public enum Interface {
        /** Devices by their own files, bound to {@code /dev/iommu}. */
        IOMMUFD,
        /** Groups in a container of type 1. */
        TYPE1
    }

    /** What of QEMU's own is in front of the disks. */
    public enum InFront {
        NOTHING,
        /** Its virtio-iommu: what the guest maps, QEMU maps here. */
        VIRTIO_IOMMU,
        /** Its VT-d: tables of the guest's own, which are walked here. By iommufd only. */
        VTD
    }

    private final RunOptions options;
    private final Interface assignment;
    private final InFront inFront;
    private final Host host;
    private final Progress progress;

    public AssignedRun(
            RunOptions options,
            Interface assignment,
            InFront inFront,
            Host host,
            Progress progress) {
        if (inFront == InFront.VTD && assignment != Interface.IOMMUFD) {
            throw new IllegalArgumentException("tables of guests are iommufd's");
        }
        this.options = options;
        this.assignment = assignment;
        this.inFront = inFront;
        this.host = host;
        this.progress = progress;
    }

    /**
     * Runs the guest and judges it.
     *
     * @throws UnavailableException this machine lacks something; the message says what to do
     */
    public RunReport run() throws UnavailableException, IOException, InterruptedException {
        long begin = System.nanoTime();
        try (Cleanup cleanup = Cleanup.atExit()) {
            GuestKit kit = new Provisioner(host, cleanup, progress::say).provide(options.kernel());
            GuestTask task = new GuestTask.Check(options.seedBytes(), PLAIN);
            try (Workspace workspace =
                    Workspace.create(
                            host, cleanup, GuestDevices.fileBytes(task, options.seedBytes()))) {
                return run(cleanup, kit, task, workspace, begin);
            }
        }
    }

    private RunReport run(
            Cleanup cleanup, GuestKit kit, GuestTask task, Workspace workspace, long begin)
            throws IOException, InterruptedException {
        Accel accel = GuestSetup.accel(options, kit, host, cleanup, progress, workspace);
        SeededDisk seeded = new SeededDisk(options.seed(), options.seedBytes());
        String hash = GuestDevices.makeDisks(task, workspace, seeded, progress);
        IommufdNode node = IommufdNode.builder().build();
        ProgramMachine machine =
                new ProgramMachine(
                        "machine",
                        node,
                        inFront == InFront.VTD ? HostIommu.VTD : HostIommu.PLAIN,
                        IdlePolicy.ADAPTIVE,
                        options.ring());
        GuestSetup.Ended ended;
        // What the devices still write is on the disks at its end, and nothing counts any more.
        try (machine) {
            List<GuestDevices.Place> places =
                    GuestDevices.places(options, task, workspace, Machine.X86_ENDPOINT);
            for (GuestDevices.Place place : places) {
                var _ = machine.add(place.device());
            }
            machine.start();
            QemuCommand command = command(kit, task, workspace, accel, machine.served(), places);
            ended = boot(cleanup, kit, command, machine, workspace.file("sysfs"));
        }
        progress.say("comparing the disks");
        Path result = GuestDevices.resultFile(workspace);
        return new Judgement(options, Counts.of(machine, inFront == InFront.VTD), ended, progress)
                .report(
                        Found.ofDisks(seeded, hash, result, PLAIN, machine.devices()),
                        accel,
                        begin);
    }

    private QemuCommand command(
            GuestKit kit,
            GuestTask task,
            Workspace workspace,
            Accel accel,
            List<AssignedDevice> served,
            List<GuestDevices.Place> places)
            throws IOException {
        Initramfs initramfs =
                Initramfs.write(
                        workspace.file("initramfs"), kit, task.drivers(), task.commandFile());
        List<String> more = new ArrayList<>();
        List<String> parameters = new ArrayList<>();
        switch (inFront) {
            case NOTHING -> {}
            case VIRTIO_IOMMU ->
                    more.addAll(List.of("-device", "virtio-iommu-pci,addr=" + IOMMU_ADDRESS));
            case VTD -> {
                more.addAll(List.of("-device", VTD));
                // What the kernel's configuration leaves to the command line.
                parameters.add("intel_iommu=on,sm_on");
            }
        }
        parameters.addAll(options.parameters());
        boolean isNew = assignment == Interface.IOMMUFD;
        if (isNew) {
            more.addAll(List.of("-object", "iommufd,id=host"));
        }
        for (int i = 0; i < served.size(); i++) {
            more.add("-device");
            more.add(
                    "vfio-pci,host=%s,addr=%x%s"
                            .formatted(
                                    served.get(i).address(),
                                    places.get(i).bdf() >> 3,
                                    isNew ? ",iommufd=host" : ""));
        }
        return QemuCommand.builder(kit.qemu(), accel, kit.kernel().image(), initramfs.file())
                .memoryMiB(options.memoryMiB())
                .processors(options.processors())
                .commandLine(task.commandLine(initramfs.modules(), 0, parameters))
                .more(Stream.concat(more.stream(), options.qemu().stream()).toList())
                .build();
    }

    private GuestSetup.Ended boot(
            Cleanup cleanup, GuestKit kit, QemuCommand command, ProgramMachine machine, Path folder)
            throws IOException, InterruptedException {
        GuestSetup.sayBooting(
                kit,
                command,
                ", disks assigned by " + assignment.name().toLowerCase(Locale.ROOT),
                progress);
        try (QemuProcess qemu =
                QemuProcess.start(
                        command,
                        host,
                        cleanup,
                        event -> GuestSetup.tell(event, progress),
                        (words, environment) ->
                                ServedProgram.start(machine, folder, words, environment))) {
            return GuestSetup.await(qemu, options, machine.loop()::dump, progress);
        }
    }
}
