package org.ioasis.run;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Initramfs;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.Disk;
import org.ioasis.machine.Machine;
import org.ioasis.topology.Viot;
import org.ioasis.virtio.iommu.RequestType;
import org.ioasis.vm.Accel;
import org.ioasis.vm.AccelChoice;
import org.ioasis.vm.GuestEvent;
import org.ioasis.vm.GuestReport;
import org.ioasis.vm.GuestTask;
import org.ioasis.vm.QemuCommand;
import org.ioasis.vm.QemuProcess;
import org.ioasis.vm.SeededDisk;
import org.ioasis.vm.Workspace;

/**
 * One guest doing verified disk I/O through the IOMMU: three disks on three endpoints, a file
 * system made, filled, read back, copied, and the host judging the outcome. One thread; blocks
 * until it is over.
 */
public final class DiskRun {
    /** Slots on the root bus. Behind the IOMMU are exactly the disks' functions. */
    private static final int IOMMU_SLOT = 1;

    private static final int FIRST_DISK_SLOT = 2;
    private static final long MIB = 1L << 20;

    /** The file system needs room for its own tables beside the file. */
    private static final long FS_OVERHEAD = 64 * MIB;

    private static final long STATUS_MILLIS = 500;

    /**
     * QEMU says so of every device without an error interrupt (AER), which virtio has no use for.
     */
    private static final String NO_ERROR_RECOVERY =
            "Could not enable error recovery for the device";

    /** What the kernel says last, also when all is well. */
    private static final String POWER_DOWN = "reboot: Power down";

    private final RunOptions options;
    private final Host host;
    private final Progress progress;

    public DiskRun(RunOptions options, Host host, Progress progress) {
        this.options = options;
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
            GuestKit kit = new Provisioner(host, cleanup, progress::say).provide();
            long bytes = SeededDisk.DEFAULT_BYTES;
            try (Workspace workspace =
                    Workspace.create(host, cleanup, 3 * bytes + FS_OVERHEAD + 64 * MIB)) {
                Accel accel = accel(kit, cleanup, workspace);
                progress.say(
                        "seeding a disk of %d MiB (seed 0x%016x)"
                                .formatted(bytes / MIB, options.seed()));
                SeededDisk seeded = new SeededDisk(options.seed(), bytes);
                Path seedFile = workspace.file("seed.img");
                String hash = seeded.write(seedFile);
                Machine machine = machine(workspace, seedFile, bytes);
                Ended ended;
                try (machine) {
                    machine.start();
                    ended = boot(command(kit, workspace, accel), cleanup, machine, kit);
                }
                // After the end of the sessions: nothing writes to the disks or counts any more.
                return judge(machine, ended, accel, seeded, hash, workspace, begin);
            }
        }
    }

    /** The command that {@link #run} would start QEMU with, for a shell; nothing is started. */
    public String qemuCommand() throws UnavailableException, IOException, InterruptedException {
        try (Cleanup cleanup = Cleanup.atExit()) {
            GuestKit kit = new Provisioner(host, cleanup, progress::say).provide();
            try (Workspace workspace = Workspace.create(host, cleanup, 64 * MIB)) {
                return command(kit, workspace, accel(kit, cleanup, workspace)).printable();
            }
        }
    }

    private Accel accel(GuestKit kit, Cleanup cleanup, Workspace workspace)
            throws IOException, InterruptedException {
        if (options.accel().isPresent()) {
            return options.accel().get();
        }
        return new AccelChoice(host, cleanup, progress::say).choose(kit, workspace);
    }

    private static Machine machine(Workspace workspace, Path seedFile, long bytes)
            throws IOException {
        Machine machine =
                new Machine(
                        "machine",
                        IommuOptions.DEFAULT,
                        IdlePolicy.EVENT_DRIVEN,
                        workspace.file("iommu.sock"));
        boolean isComplete = false;
        try {
            addDisk(machine, workspace, 0, GuestTask.SEED_SERIAL, seedFile, false);
            Path fs = workspace.emptyDisk("fs.img", bytes + FS_OVERHEAD);
            addDisk(machine, workspace, 1, GuestTask.FS_SERIAL, fs, true);
            Path result = workspace.emptyDisk("result.img", bytes);
            addDisk(machine, workspace, 2, GuestTask.RESULT_SERIAL, result, true);
            isComplete = true;
            return machine;
        } finally {
            if (!isComplete) {
                machine.close();
            }
        }
    }

    private static void addDisk(
            Machine machine,
            Workspace workspace,
            int index,
            String name,
            Path file,
            boolean isWritable)
            throws IOException {
        int endpoint = Viot.bdf(0, FIRST_DISK_SLOT + index, 0);
        machine.addDisk(name, endpoint, file, isWritable, workspace.file("disk" + index + ".sock"));
    }

    private QemuCommand command(GuestKit kit, Workspace workspace, Accel accel) throws IOException {
        GuestTask task = new GuestTask.Check(SeededDisk.DEFAULT_BYTES);
        Initramfs initramfs =
                Initramfs.write(workspace.file("initramfs"), kit, GuestTask.CHECK_DRIVERS);
        List<QemuCommand.Function> functions = new ArrayList<>();
        List<Viot.PciRange> ranges = new ArrayList<>();
        functions.add(new QemuCommand.Function(IOMMU_SLOT, 0, workspace.file("iommu.sock")));
        for (int i = 0; i < 3; i++) {
            int bdf = Viot.bdf(0, FIRST_DISK_SLOT + i, 0);
            functions.add(
                    new QemuCommand.Function(
                            FIRST_DISK_SLOT + i, 0, workspace.file("disk" + i + ".sock")));
            ranges.add(new Viot.PciRange(0, 0, bdf, bdf, bdf));
        }
        Path viot = workspace.file("viot");
        Files.write(
                viot,
                Viot.table(
                        Viot.Oem.IOASIS,
                        List.of(new Viot.Iommu(0, Viot.bdf(0, IOMMU_SLOT, 0))),
                        ranges,
                        Viot.OwnFunction.REFUSED));
        return new QemuCommand(
                kit.qemu(),
                accel,
                options.memoryMiB(),
                1,
                kit.kernel().image(),
                initramfs.file(),
                task.commandLine(initramfs, List.of()),
                List.of(viot),
                functions);
    }

    /** How QEMU and the guest ended. */
    private record Ended(QemuProcess.End end, GuestReport guest, List<String> vmmErrors) {}

    private Ended boot(QemuCommand command, Cleanup cleanup, Machine machine, GuestKit kit)
            throws IOException, InterruptedException {
        progress.say(
                "booting Linux %s on QEMU %s (%s, %d MiB)"
                        .formatted(
                                kit.kernel().release(),
                                kit.qemu().version(),
                                command.accel().name().toLowerCase(Locale.ROOT),
                                options.memoryMiB()));
        Consumer<GuestEvent> listener = this::tell;
        try (ScheduledExecutorService ticker = Executors.newSingleThreadScheduledExecutor();
                QemuProcess qemu = QemuProcess.start(command, host, cleanup, listener)) {
            ScheduledFuture<?> ticking =
                    ticker.scheduleAtFixedRate(
                            () -> progress.status(status(machine)),
                            STATUS_MILLIS,
                            STATUS_MILLIS,
                            TimeUnit.MILLISECONDS);
            QemuProcess.End end =
                    qemu.await(
                            options.limit(),
                            () ->
                                    progress.say(
                                            "the guest does not end; state of the devices:\n"
                                                    + machine.dump()
                                                    + "last lines of the console:\n  "
                                                    + String.join(
                                                            "\n  ", qemu.report().lastLines())));
            ticking.cancel(false);
            return new Ended(end, qemu.report(), qemu.errors());
        }
    }

    private void tell(GuestEvent event) {
        switch (event) {
            case GuestEvent.Step(String name, long micros) ->
                    progress.say(
                            String.format(
                                    Locale.ROOT, "guest: %s (at %.1f s)", name, micros / 1e6));
            case GuestEvent.Vmm(String line) -> {
                if (!line.endsWith(NO_ERROR_RECOVERY)) {
                    progress.say("qemu: " + line);
                }
            }
            case GuestEvent.Failed(String reason) -> progress.say("guest: failed at " + reason);
            case GuestEvent.Malformed(String line) ->
                    progress.say("guest: not understood: " + line);
            case GuestEvent.Text(String line) -> {
                // The kernel is told to be quiet: what it says all the same is an error.
                if (!line.isBlank() && !line.endsWith(POWER_DOWN)) {
                    progress.say("console: " + line);
                }
            }
            case GuestEvent.Fact _, GuestEvent.Finished _ -> {}
        }
    }

    private static String status(Machine machine) {
        EndpointCounts accesses = machine.accesses();
        return String.format(
                Locale.ROOT,
                "%,d requests, %,d translations, %,d MiB translated, %d faults",
                machine.requests().total(),
                accesses.translations(),
                accesses.translatedBytes() / MIB,
                machine.faults());
    }

    private RunReport judge(
            Machine machine,
            Ended ended,
            Accel accel,
            SeededDisk seeded,
            String hash,
            Workspace workspace,
            long begin)
            throws IOException {
        progress.say("comparing the disks");
        GuestReport guest = ended.guest();
        Optional<SeededDisk.Difference> difference = seeded.compare(workspace.file("result.img"));
        List<Fault> faults = machine.recentFaults();
        List<String> problems = new ArrayList<>();
        switch (ended.end()) {
            case QemuProcess.End.Exited(int code) when code != 0 ->
                    problems.add(
                            "QEMU ended with code %d: %s"
                                    .formatted(code, String.join("; ", ended.vmmErrors())));
            case QemuProcess.End.Exited _ -> {}
            case QemuProcess.End.TimedOut(var limit) ->
                    problems.add("the guest did not end within %d s".formatted(limit.toSeconds()));
        }
        problems.addAll(
                Verdict.problems(
                        guest,
                        machine.disks(),
                        new Verdict.Findings(
                                hash,
                                difference,
                                machine.faults(),
                                faults.isEmpty()
                                        ? "none kept"
                                        : Machine.describe(faults.getFirst()),
                                machine.internalFailures()),
                        seeded.bytes()));
        if (!problems.isEmpty()) {
            progress.say("last lines of the console:\n  " + String.join("\n  ", guest.lastLines()));
            progress.say("state of the devices:\n" + machine.dump());
        }
        return new RunReport(
                problems,
                guest.kernel(),
                guest.iommus(),
                accel.name().toLowerCase(Locale.ROOT),
                options.seed(),
                disks(machine, guest),
                requests(machine),
                machine.requests().unansweredRequests(),
                machine.faults(),
                guest.isFinished() && difference.isEmpty() ? seeded.bytes() : 0,
                steps(guest),
                (System.nanoTime() - begin) / 1e9);
    }

    private static List<RunReport.DiskReport> disks(Machine machine, GuestReport guest) {
        Map<String, String> roles =
                Map.of(
                        GuestTask.SEED_SERIAL, "seed",
                        GuestTask.FS_SERIAL, "fs",
                        GuestTask.RESULT_SERIAL, "result");
        List<RunReport.DiskReport> reports = new ArrayList<>();
        for (Disk disk : machine.disks()) {
            String role = roles.getOrDefault(disk.name(), disk.name());
            GuestReport.Disk seen =
                    guest.disks().getOrDefault(role, new GuestReport.Disk("", "none", "", ""));
            reports.add(
                    new RunReport.DiskReport(
                            role, seen.pci(), seen.group(), seen.type(), disk.accesses()));
        }
        return reports;
    }

    private static Map<RequestType, Map<Status, Long>> requests(Machine machine) {
        Map<RequestType, Map<Status, Long>> requests = new EnumMap<>(RequestType.class);
        for (RequestType type : RequestType.values()) {
            Map<Status, Long> byStatus = new EnumMap<>(Status.class);
            for (Status status : Status.values()) {
                long count = machine.requests().answeredWith(type, status);
                if (count > 0) {
                    byStatus.put(status, count);
                }
            }
            if (!byStatus.isEmpty()) {
                requests.put(type, byStatus);
            }
        }
        return requests;
    }

    private static Map<String, Double> steps(GuestReport guest) {
        Map<String, Double> steps = new LinkedHashMap<>();
        for (GuestReport.Step step : guest.steps()) {
            steps.put(step.name(), step.micros() / 1e6);
        }
        return steps;
    }
}
