// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Initramfs;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.kind.blk.DiskOptions;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.Machine;
import org.ioasis.machine.ProgramMachine;
import org.ioasis.vfiodevice.AssignedDevice;
import org.ioasis.vm.Accel;
import org.ioasis.vm.GuestReport;
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
    private static final long MIB = 1L << 20;
    private static final GuestTask.Scenario PLAIN = GuestTask.Scenario.PLAIN;
    private static final String IOMMU_ADDRESS = "1";

    /** How QEMU reaches VFIO. */
    public enum Interface {
        /** Devices by their own files, bound to {@code /dev/iommu}. */
        IOMMUFD,
        /** Groups in a container of type 1. */
        TYPE1
    }

    private final RunOptions options;
    private final Interface assignment;
    private final boolean hasViommu;
    private final Host host;
    private final Progress progress;

    /**
     * @param hasViommu QEMU's own virtio-iommu is in front of the disks: what the guest maps, QEMU
     *     maps here
     */
    public AssignedRun(
            RunOptions options,
            Interface assignment,
            boolean hasViommu,
            Host host,
            Progress progress) {
        this.options = options;
        this.assignment = assignment;
        this.hasViommu = hasViommu;
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
                            host,
                            cleanup,
                            GuestDevices.diskBytes(task, options.seedBytes()) + 64 * MIB)) {
                return run(cleanup, kit, task, workspace, begin);
            }
        }
    }

    private RunReport run(
            Cleanup cleanup, GuestKit kit, GuestTask task, Workspace workspace, long begin)
            throws IOException, InterruptedException {
        Accel accel = GuestSetup.accel(options, kit, host, cleanup, progress, workspace);
        SeededDisk seeded = new SeededDisk(options.seed(), options.seedBytes());
        progress.say(
                "seeding a disk of %d MiB (seed 0x%016x)"
                        .formatted(seeded.bytes() / MIB, seeded.seed()));
        String hash = seeded.write(GuestDevices.seedFile(workspace));
        GuestDevices.emptyDisks(task, workspace, seeded.bytes());
        IommufdNode node = IommufdNode.builder().build();
        ProgramMachine machine =
                new ProgramMachine("machine", node, IdlePolicy.ADAPTIVE, options.ring());
        GuestSetup.Ended ended;
        // What the devices still write is on the disks at its end, and nothing counts any more.
        try (machine) {
            List<DiskOptions> disks = GuestDevices.disks(workspace);
            for (DiskOptions disk : disks) {
                var _ = machine.add(disk);
            }
            machine.start();
            QemuCommand command = command(kit, task, workspace, accel, machine.served(), disks);
            ended = boot(cleanup, kit, command, machine);
        }
        progress.say("comparing the disks");
        Optional<SeededDisk.Difference> difference =
                seeded.compare(GuestDevices.resultFile(workspace));
        return report(machine, ended, seeded, hash, difference, accel, begin);
    }

    private QemuCommand command(
            GuestKit kit,
            GuestTask task,
            Workspace workspace,
            Accel accel,
            List<AssignedDevice> served,
            List<DiskOptions> disks)
            throws IOException {
        Initramfs initramfs =
                Initramfs.write(
                        workspace.file("initramfs"), kit, task.drivers(), task.commandFile());
        List<String> parameters = new ArrayList<>(options.translation().parameters());
        parameters.addAll(options.append());
        List<String> more = new ArrayList<>();
        if (hasViommu) {
            more.addAll(List.of("-device", "virtio-iommu-pci,addr=" + IOMMU_ADDRESS));
        }
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
                                    disks.get(i).place().endpoint() >> 3,
                                    isNew ? ",iommufd=host" : ""));
        }
        return QemuCommand.builder(kit.qemu(), accel, kit.kernel().image(), initramfs.file())
                .memoryMiB(options.memoryMiB())
                .processors(options.processors())
                .commandLine(task.commandLine(initramfs.modules(), 0, parameters))
                .more(more)
                .build();
    }

    private GuestSetup.Ended boot(
            Cleanup cleanup, GuestKit kit, QemuCommand command, ProgramMachine machine)
            throws IOException, InterruptedException {
        progress.say(
                "booting Linux %s on QEMU %s (%s, %d MiB, disks assigned by %s)"
                        .formatted(
                                kit.kernel().release(),
                                kit.qemu().version(),
                                command.accel().name().toLowerCase(Locale.ROOT),
                                options.memoryMiB(),
                                assignment.name().toLowerCase(Locale.ROOT)));
        try (QemuProcess qemu =
                QemuProcess.start(
                        command,
                        host,
                        cleanup,
                        event -> GuestSetup.tell(event, progress),
                        (words, environment) -> ServedProgram.start(machine, words, environment))) {
            QemuProcess.End end =
                    qemu.await(
                            options.limit(),
                            () ->
                                    progress.say(
                                            "the guest does not end; "
                                                    + machine.loop().dump()
                                                    + "last lines of the console:\n  "
                                                    + String.join(
                                                            "\n  ", qemu.report().lastLines())));
            return new GuestSetup.Ended(end, qemu.report(), qemu.errors());
        }
    }

    private RunReport report(
            ProgramMachine machine,
            GuestSetup.Ended ended,
            SeededDisk seeded,
            String hash,
            Optional<SeededDisk.Difference> difference,
            Accel accel,
            long begin) {
        GuestReport guest = ended.guest();
        List<Fault> faults = machine.faults().recent();
        List<String> wrong =
                difference.stream()
                        .map(where -> "the result disk differs from the seeded one: " + where)
                        .toList();
        List<String> problems = Judgement.endProblems(ended);
        problems.addAll(
                Verdict.problems(
                        guest,
                        machine.devices(),
                        new Verdict.Findings(
                                hash,
                                PLAIN.checks(),
                                "a file",
                                wrong,
                                false,
                                machine.devices(),
                                2 * seeded.bytes(),
                                machine.faults().reported(),
                                faults.isEmpty()
                                        ? "none kept"
                                        : Machine.describe(faults.getFirst()),
                                machine.loop().failures())));
        Map<String, String> rings = Judgement.rings(machine.devices());
        problems.addAll(Judgement.ringProblems(rings, options.ring()));
        if (!problems.isEmpty()) {
            progress.say("last lines of the console:\n  " + String.join("\n  ", guest.lastLines()));
        }
        return new RunReport(
                problems,
                guest.kernel(),
                guest.iommus(),
                accel.name().toLowerCase(Locale.ROOT),
                options.seed(),
                rings,
                Judgement.devices(machine.devices(), guest),
                Map.of(),
                0,
                machine.faults().reported(),
                guest.isFinished() && wrong.isEmpty() ? seeded.bytes() : 0,
                Optional.empty(),
                Judgement.steps(guest),
                (System.nanoTime() - begin) / 1e9);
    }
}
