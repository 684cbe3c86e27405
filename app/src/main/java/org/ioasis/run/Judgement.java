// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import org.ioasis.guestkit.Kernel;
import org.ioasis.guestkit.KernelChoice;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommufd.engine.GuestTableCounts;
import org.ioasis.kind.net.Nic;
import org.ioasis.live.MachineView;
import org.ioasis.machine.EndpointDevice;
import org.ioasis.machine.IommuUnit;
import org.ioasis.machine.Machine;
import org.ioasis.machine.ProgramMachine;
import org.ioasis.virtio.OfferedDevice;
import org.ioasis.virtio.iommu.RequestType;
import org.ioasis.virtqueue.RingFormat;
import org.ioasis.vm.Accel;
import org.ioasis.vm.Ending;
import org.ioasis.vm.GuestReport;
import org.ioasis.vm.GuestTask;
import org.ioasis.vm.QemuProcess;
import org.ioasis.vm.SeededDisk;

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
    private final Counts counts;
    private final GuestSetup.Ended ended;
    private final Progress progress;

    Judgement(RunOptions options, Counts counts, GuestSetup.Ended ended, Progress progress) {
        this.options = options;
        this.counts = counts;
        this.ended = ended;
        this.progress = progress;
    }

    /**
     * What a machine's devices came to, whoever they were for.
     *
     * @param isPassthrough the devices' accesses are not to be translated
     * @param devices all of them
     * @param rings how their virtqueues lay in memory when they were started last, and first those
     *     of our IOMMUs
     * @param requests that the guest's driver made of our IOMMUs
     * @param unansweredRequests of these
     * @param faults accesses that were refused
     * @param recentFaults the last of them
     * @param internalFailures calls that failed inside Ioasis
     * @param guestTables what the guest's tables in front of the devices came to, if it was to have
     *     some
     * @param state of the devices, for people
     */
    record Counts(
            boolean isPassthrough,
            List<EndpointDevice> devices,
            Map<String, String> rings,
            Map<RequestType, Map<Status, Long>> requests,
            long unansweredRequests,
            long faults,
            List<Fault> recentFaults,
            long internalFailures,
            Optional<GuestTableCounts> guestTables,
            Supplier<String> state) {
        /** Devices behind IOMMUs of ours. */
        static Counts of(Machine machine, RunOptions options) {
            return new Counts(
                    options.translation() == RunOptions.Translation.PASSTHROUGH,
                    machine.devices(EndpointDevice.class),
                    ringsOf(machine.iommus(), machine.devices(EndpointDevice.class)),
                    answered(machine),
                    machine.iommus().stream()
                            .mapToLong(i -> i.device().counts().unansweredRequests())
                            .sum(),
                    machine.faults(),
                    machine.recentFaults(),
                    machine.internalFailures(),
                    Optional.empty(),
                    () -> MachineView.of(machine).text());
        }

        /**
         * Devices in QEMU's hands: whatever the guest does, the address space is QEMU's.
         *
         * @param isNested the guest has tables in front of it
         */
        static Counts of(ProgramMachine machine, boolean isNested) {
            return new Counts(
                    false,
                    machine.devices(),
                    ringsOf(List.of(), machine.devices()),
                    Map.of(),
                    0,
                    machine.faults().reported(),
                    machine.faults().recent(),
                    machine.loop().failures(),
                    isNested ? Optional.of(machine.tableCounts()) : Optional.empty(),
                    machine.loop()::dump);
        }
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

        /**
         * After the check of disks: what came back is what was seeded, through all of them.
         *
         * @param hash of the seeded disk
         * @param result what the guest copied it to
         */
        static Found ofDisks(
                SeededDisk seeded,
                String hash,
                Path result,
                GuestTask.Scenario scenario,
                List<? extends EndpointDevice> disks)
                throws IOException {
            return new Found(
                    hash,
                    scenario.checks(),
                    "a file",
                    seeded.compare(result).stream()
                            .map(where -> "the result disk differs from the seeded one: " + where)
                            .toList(),
                    disks,
                    2 * seeded.bytes(),
                    seeded.bytes(),
                    Optional.empty());
        }
    }

    /**
     * The report.
     *
     * @param accel how the guest was run
     * @param begin when the command was started, of the clock in nanoseconds
     */
    RunReport report(Found found, Accel accel, long begin) {
        GuestReport guest = ended.guest();
        List<Fault> faults = counts.recentFaults();
        List<String> problems = endProblems();
        problems.addAll(
                Verdict.problems(
                        guest,
                        counts.devices(),
                        new Verdict.Findings(
                                found.guestHash(),
                                found.checks(),
                                found.guestData(),
                                found.problems(),
                                counts.isPassthrough(),
                                found.carriers(),
                                found.leastBytes(),
                                counts.faults(),
                                faults.isEmpty()
                                        ? "none kept"
                                        : Machine.describe(faults.getFirst()),
                                counts.internalFailures())));
        problems.addAll(ringProblems());
        counts.guestTables().ifPresent(tables -> problems.addAll(tableProblems(tables)));
        if (!problems.isEmpty()) {
            progress.say("last lines of the console:\n  " + String.join("\n  ", guest.lastLines()));
            progress.say("state of the devices:\n" + counts.state().get());
        }
        boolean isRight = guest.isFinished() && found.problems().isEmpty();
        return report(problems, isRight ? found.verifiedBytes() : 0, found.network(), accel, begin);
    }

    /** The report on a guest that did what the user wanted, of which nothing is known here. */
    RunReport unjudged(List<String> problems, Accel accel, long begin) {
        return report(problems, 0, Optional.empty(), accel, begin);
    }

    private RunReport report(
            List<String> problems,
            long verifiedBytes,
            Optional<RunReport.NetworkReport> network,
            Accel accel,
            long begin) {
        GuestReport guest = ended.guest();
        return new RunReport(
                problems,
                ended.ending(),
                guest.status(),
                guest.kernel(),
                guest.iommus(),
                accel.name().toLowerCase(Locale.ROOT),
                options.seed(),
                counts.rings(),
                devices(guest),
                counts.requests(),
                counts.unansweredRequests(),
                counts.faults(),
                verifiedBytes,
                counts.guestTables(),
                network,
                steps(guest),
                (System.nanoTime() - begin) / 1e9);
    }

    /** What is wrong with how QEMU ended. */
    private List<String> endProblems() {
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
        ended.guest().panic().ifPresent(why -> problems.add("the guest's kernel panicked: " + why));
        if (ended.ending() == Ending.REBOOT) {
            problems.add("the guest rebooted");
        }
        if (!problems.isEmpty() || ended.guest().failure().isPresent()) {
            oops(ended.guest()).ifPresent(problems::add);
            withoutModules(options).ifPresent(problems::add);
        }
        return problems;
    }

    /** What may have kept the guest from its end. */
    static Optional<String> oops(GuestReport guest) {
        return guest.oops().map(text -> "the guest's kernel has met a fault of its own: " + text);
    }

    /** Why a kernel of the user's may not find its devices. */
    static Optional<String> withoutModules(RunOptions options) {
        return options.kernel() instanceof KernelChoice.Own(Kernel own) && own.modules() == null
                ? Optional.of(
                        "no --modules were given: what this kernel has as a module, the guest does not have")
                : Optional.empty();
    }

    private static Map<String, String> ringsOf(
            List<IommuUnit> iommus, List<EndpointDevice> devices) {
        Map<String, String> rings = new LinkedHashMap<>();
        for (IommuUnit unit : iommus) {
            rings.put(unit.name(), ring(unit.offered()));
        }
        for (EndpointDevice device : devices) {
            rings.put(
                    role(device),
                    device.function() instanceof OfferedDevice function ? ring(function) : NO_RING);
        }
        return rings;
    }

    private static String ring(OfferedDevice offered) {
        RingFormat format = offered.device().startedFormat();
        return format == null ? NO_RING : format.name().toLowerCase(Locale.ROOT);
    }

    /** What is wrong with the rings that the guest has chosen: it knows both formats. */
    private List<String> ringProblems() {
        String wanted = options.ring().name().toLowerCase(Locale.ROOT);
        List<String> problems = new ArrayList<>();
        counts.rings()
                .forEach((name, format) -> {
                    if (!format.equals(wanted) && !format.equals(NO_RING)) {
                        problems.add(
                                "the rings of %s are %s, offered were %s ones"
                                        .formatted(name, format, wanted));
                    }
                });
        return problems;
    }

    /** What is wrong with the tables that the guest was to have in front of its devices. */
    private List<String> tableProblems(GuestTableCounts tables) {
        List<String> problems = new ArrayList<>();
        for (EndpointDevice device : counts.devices()) {
            if (device.accesses().walked() == 0) {
                problems.add(
                        "device %s made no access through a table of the guest's"
                                .formatted(device.name()));
            }
        }
        if (tables.nativeEntries() == 0) {
            problems.add("the guest has invalidated nothing of its tables");
        }
        return problems;
    }

    private static String role(EndpointDevice device) {
        return role(device.name());
    }

    /** What report and guest call the disk of a serial number, or another device of that name. */
    static String role(String name) {
        return name.startsWith(GuestTask.OWN_SERIAL)
                ? name.substring(name.indexOf('-') + 1)
                : ROLES.getOrDefault(name, name);
    }

    private List<RunReport.DeviceReport> devices(GuestReport guest) {
        List<RunReport.DeviceReport> reports = new ArrayList<>();
        for (EndpointDevice device : counts.devices()) {
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

    private static Map<RequestType, Map<Status, Long>> answered(Machine machine) {
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
