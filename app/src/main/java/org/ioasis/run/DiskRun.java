// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.io.IOException;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.kind.blk.Disk;
import org.ioasis.live.MachineView;
import org.ioasis.machine.Machine;
import org.ioasis.virtio.iommu.RequestType;
import org.ioasis.vm.GuestEvent;
import org.ioasis.vm.GuestReport;
import org.ioasis.vm.GuestTask;
import org.ioasis.vm.QemuProcess;
import org.ioasis.vm.SeededDisk;

/**
 * One guest doing verified disk I/O through the IOMMU: three disks on three endpoints, a file
 * system made, filled, read back, copied, and the host judging the outcome. One thread; blocks
 * until it is over.
 */
public final class DiskRun {
    private static final String PLUG_STEP = "hotplug";

    private final RunOptions options;
    private final GuestTask.Scenario scenario;
    private final Host host;
    private final Progress progress;

    /**
     * @param scenario what happens to the guest before it is checked again
     */
    public DiskRun(RunOptions options, GuestTask.Scenario scenario, Host host, Progress progress) {
        this.options = options;
        this.scenario = scenario;
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
        try (Cleanup cleanup = Cleanup.atExit();
                GuestSetup setup =
                        GuestSetup.prepare(
                                options,
                                new GuestTask.Check(options.seedBytes(), scenario),
                                host,
                                cleanup,
                                progress)) {
            GuestSetup.Ended ended = setup.boot(event -> listen(event, setup), null);
            // After the end of the sessions: nothing writes to the disks or counts any more.
            setup.machine().close();
            return judge(setup, ended, begin);
        }
    }

    private void listen(GuestEvent event, GuestSetup setup) {
        setup.tell(event);
        if (event instanceof GuestEvent.Step(String name, long _) && name.equals(PLUG_STEP)) {
            try {
                setup.plugInResult();
            } catch (IOException e) {
                // The guest waits for the disk and then says that it is not there.
                progress.say("the result disk cannot be plugged in: " + e.getMessage());
            }
        }
    }

    private RunReport judge(GuestSetup setup, GuestSetup.Ended ended, long begin)
            throws IOException {
        Machine machine = setup.machine();
        SeededDisk seeded = setup.seeded();
        progress.say("comparing the disks");
        GuestReport guest = ended.guest();
        Optional<SeededDisk.Difference> difference = seeded.compare(setup.resultFile());
        List<Fault> faults = machine.recentFaults();
        List<String> problems = new ArrayList<>();
        switch (ended.end()) {
            case QemuProcess.End.Exited(int code) when code != 0 ->
                    problems.add(
                            "QEMU ended with code %d: %s"
                                    .formatted(code, String.join("; ", ended.vmmErrors())));
            case QemuProcess.End.Exited _ -> {}
            case QemuProcess.End.Killed() -> problems.add("QEMU was killed");
            case QemuProcess.End.TimedOut(var limit) ->
                    problems.add("the guest did not end within %d s".formatted(limit.toSeconds()));
        }
        problems.addAll(
                Verdict.problems(
                        guest,
                        machine.devices(Disk.class),
                        new Verdict.Findings(
                                setup.hash(),
                                scenario.checks(),
                                options.translation() == RunOptions.Translation.PASSTHROUGH,
                                difference,
                                machine.faults(),
                                faults.isEmpty()
                                        ? "none kept"
                                        : Machine.describe(faults.getFirst()),
                                machine.internalFailures()),
                        seeded.bytes()));
        if (!problems.isEmpty()) {
            progress.say("last lines of the console:\n  " + String.join("\n  ", guest.lastLines()));
            progress.say("state of the devices:\n" + MachineView.of(machine).text());
        }
        return new RunReport(
                problems,
                guest.kernel(),
                guest.iommus(),
                setup.accel().name().toLowerCase(Locale.ROOT),
                options.seed(),
                disks(machine, guest),
                requests(machine),
                machine.iommus().stream()
                        .mapToLong(i -> i.device().counts().unansweredRequests())
                        .sum(),
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
        for (Disk disk : machine.devices(Disk.class)) {
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
                long count = machine.requests(type, status);
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
