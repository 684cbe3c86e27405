// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.kind.blk.Disk;
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
            int checks,
            boolean isPassthrough,
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
            for (String hash : guest.hashes()) {
                if (!hash.equals(findings.expectedHash())) {
                    problems.add(
                            "the guest read a file with SHA-256 %s, the host wrote %s"
                                    .formatted(hash, findings.expectedHash()));
                }
            }
            if (guest.hashes().size() != findings.checks()) {
                problems.add(
                        "the guest read its file %d times, and should have %d times"
                                .formatted(guest.hashes().size(), findings.checks()));
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
        checkBytes(problems, sum, findings.isPassthrough(), 2 * seedBytes);
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

    /** That the data went the way that it should have gone. */
    private static void checkBytes(
            List<String> problems, EndpointCounts sum, boolean isPassthrough, long least) {
        if (isPassthrough && sum.translations() > 0) {
            problems.add(
                    "%d accesses were translated, though the kernel was told to attach bypass domains"
                            .formatted(sum.translations()));
        }
        long bytes = isPassthrough ? sum.identityBytes() : sum.translatedBytes();
        if (bytes < least) {
            problems.add(
                    String.format(
                            Locale.ROOT,
                            "only %d bytes %s, at least %d must have (bytes through mappings: %d, through bypass"
                                    + " domains: %d; accesses without a domain: %d)",
                            bytes,
                            isPassthrough ? "went through bypass domains" : "were translated",
                            least,
                            sum.translatedBytes(),
                            sum.identityBytes(),
                            sum.bypassed()));
        }
    }
}
