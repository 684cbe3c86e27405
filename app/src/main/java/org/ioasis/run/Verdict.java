package org.ioasis.run;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.machine.Disk;
import org.ioasis.vm.GuestReport;
import org.ioasis.vm.SeededDisk;

/**
 * The host's judgement. The guest is not trusted with it: what it reports is compared with what the
 * host knows. Pure functions; any thread.
 */
final class Verdict {
    private Verdict() {}

    /** What the host found on its own, beside the guest's report. */
    record Findings(
            String expectedHash,
            Optional<SeededDisk.Difference> difference,
            long faults,
            String firstFault,
            long internalFailures) {}

    /** Everything that is wrong; empty if the run is good. */
    static List<String> problems(
            GuestReport guest, List<Disk> disks, Findings findings, long seedBytes) {
        List<String> problems = new ArrayList<>();
        guest.failure().ifPresent(reason -> problems.add("the guest gave up at " + reason));
        if (guest.failure().isEmpty() && !guest.isFinished()) {
            problems.add(
                    guest.steps().isEmpty()
                            ? "the guest ended before it began its task"
                            : "the guest ended in the middle of step "
                                    + guest.steps().getLast().name());
        }
        if (guest.isFinished()) {
            findings.difference()
                    .ifPresent(difference ->
                            problems.add(
                                    "the result disk differs from the seeded one: " + difference));
            String hash = guest.hash().orElse("none");
            if (!hash.equals(findings.expectedHash())) {
                problems.add(
                        "the guest read a file with SHA-256 %s, the host wrote %s"
                                .formatted(hash, findings.expectedHash()));
            }
        }
        EndpointCounts sum = EndpointCounts.ZERO;
        for (Disk disk : disks) {
            EndpointCounts accesses = disk.accesses();
            sum = sum.plus(accesses);
            if (accesses.bypassedAfterAttach() > 0) {
                problems.add(
                        "disk %s reached memory past the IOMMU %d times after its first ATTACH"
                                .formatted(disk.name(), accesses.bypassedAfterAttach()));
            }
        }
        if (sum.translatedBytes() < 2 * seedBytes) {
            problems.add(
                    String.format(
                            Locale.ROOT,
                            "only %d bytes were translated, at least %d must have been (bypassed accesses: %d, in"
                                    + " bypass domains: %d)",
                            sum.translatedBytes(),
                            2 * seedBytes,
                            sum.bypassed(),
                            sum.identity()));
        }
        if (findings.faults() > 0) {
            problems.add(
                    "the IOMMU refused %d accesses: %s"
                            .formatted(findings.faults(), findings.firstFault()));
        }
        if (findings.internalFailures() > 0) {
            problems.add(
                    "%d calls failed inside Ioasis, which is a bug of ours"
                            .formatted(findings.internalFailures()));
        }
        return problems;
    }
}
