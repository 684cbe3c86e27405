// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.kind.net.Nic;
import org.ioasis.live.MachineView;
import org.ioasis.machine.EndpointDevice;
import org.ioasis.machine.IommuUnit;
import org.ioasis.machine.Machine;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.virtio.iommu.RequestType;
import org.ioasis.virtqueue.RingFormat;
import org.ioasis.vm.GuestReport;
import org.ioasis.vm.GuestTask;
import org.ioasis.vm.QemuProcess;

/**
 * What a run came to that is judged, whatever the guest's task was: how QEMU and the guest ended,
 * what the devices counted, what the host found. After the machine's end; one thread.
 */
final class Judgement {
    /** Of a device that no driver has started. */
    private static final String NO_RING = "none";

    private static final Map<String, String> ROLES =
            Map.of(
                    GuestTask.SEED_SERIAL, "seed",
                    GuestTask.FS_SERIAL, "fs",
                    GuestTask.RESULT_SERIAL, "result");

    private final RunOptions options;
    private final GuestSetup setup;
    private final GuestSetup.Ended ended;
    private final Progress progress;

    Judgement(RunOptions options, GuestSetup setup, GuestSetup.Ended ended, Progress progress) {
        this.options = options;
        this.setup = setup;
        this.ended = ended;
        this.progress = progress;
    }

    /**
     * What the host found in the task's own way.
     *
     * @param guestHash what the guest must have said, {@code checks} times
     * @param guestData what it is the hash of
     * @param problems what is wrong, if the guest came to its end
     * @param carriers the devices that the data went through
     * @param leastBytes how much of it went through them at least
     * @param verifiedBytes how much was found to be right, if there are no problems
     */
    record Found(
            String guestHash,
            int checks,
            String guestData,
            List<String> problems,
            List<? extends EndpointDevice> carriers,
            long leastBytes,
            long verifiedBytes,
            Optional<RunReport.NetworkReport> network) {
        Found {
            problems = List.copyOf(problems);
            carriers = List.copyOf(carriers);
        }
    }

    /**
     * The report.
     *
     * @param begin when the command was started, of the clock in nanoseconds
     */
    RunReport report(Found found, long begin) {
        Machine machine = setup.machine();
        GuestReport guest = ended.guest();
        List<Fault> faults = machine.recentFaults();
        List<String> problems = endProblems(ended);
        problems.addAll(
                Verdict.problems(
                        guest,
                        machine.devices(EndpointDevice.class),
                        new Verdict.Findings(
                                found.guestHash(),
                                found.checks(),
                                found.guestData(),
                                found.problems(),
                                options.translation() == RunOptions.Translation.PASSTHROUGH,
                                found.carriers(),
                                found.leastBytes(),
                                machine.faults(),
                                faults.isEmpty()
                                        ? "none kept"
                                        : Machine.describe(faults.getFirst()),
                                machine.internalFailures())));
        Map<String, String> rings = new LinkedHashMap<>();
        for (IommuUnit unit : machine.iommus()) {
            rings.put(unit.name(), ring(unit.function()));
        }
        rings.putAll(rings(machine.devices(EndpointDevice.class)));
        problems.addAll(ringProblems(rings, options.ring()));
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
                rings,
                devices(machine.devices(EndpointDevice.class), guest),
                requests(machine),
                machine.iommus().stream()
                        .mapToLong(i -> i.device().counts().unansweredRequests())
                        .sum(),
                machine.faults(),
                guest.isFinished() && found.problems().isEmpty() ? found.verifiedBytes() : 0,
                found.network(),
                steps(guest),
                (System.nanoTime() - begin) / 1e9);
    }

    /** What is wrong with how QEMU ended. */
    static List<String> endProblems(GuestSetup.Ended ended) {
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
        return problems;
    }

    /** How the rings of devices lay in memory when they were started last, by their roles. */
    static Map<String, String> rings(List<? extends EndpointDevice> devices) {
        Map<String, String> rings = new LinkedHashMap<>();
        for (EndpointDevice device : devices) {
            rings.put(role(device), ring(device.function()));
        }
        return rings;
    }

    private static String ring(VirtioPciFunction function) {
        RingFormat format = function.device().startedFormat();
        return format == null ? NO_RING : format.name().toLowerCase(Locale.ROOT);
    }

    /** What is wrong with the rings that the guest has chosen: it knows both formats. */
    static List<String> ringProblems(Map<String, String> rings, RingFormat offered) {
        String wanted = offered.name().toLowerCase(Locale.ROOT);
        List<String> problems = new ArrayList<>();
        rings.forEach((name, format) -> {
            if (!format.equals(wanted) && !format.equals(NO_RING)) {
                problems.add(
                        "the rings of %s are %s, offered were %s ones"
                                .formatted(name, format, wanted));
            }
        });
        return problems;
    }

    private static String role(EndpointDevice device) {
        return ROLES.getOrDefault(device.name(), device.name());
    }

    static List<RunReport.DeviceReport> devices(
            List<? extends EndpointDevice> devices, GuestReport guest) {
        List<RunReport.DeviceReport> reports = new ArrayList<>();
        for (EndpointDevice device : devices) {
            String role = role(device);
            GuestReport.Device seen =
                    guest.devices().getOrDefault(role, new GuestReport.Device("", "none", "", ""));
            reports.add(
                    new RunReport.DeviceReport(
                            device instanceof Nic ? "net" : "disk",
                            role,
                            seen.pci(),
                            seen.group(),
                            seen.type(),
                            device.accesses()));
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

    static Map<String, Double> steps(GuestReport guest) {
        Map<String, Double> steps = new LinkedHashMap<>();
        for (GuestReport.Step step : guest.steps()) {
            steps.put(step.name(), step.micros() / 1e6);
        }
        return steps;
    }
}
