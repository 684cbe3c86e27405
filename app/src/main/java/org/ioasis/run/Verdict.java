// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.machine.EndpointDevice;
import org.ioasis.vm.GuestReport;

/**
 * The host's judgement. The guest is not trusted with it: what it reports is compared with what the
 * host knows. Pure functions; any thread.
 */
final class Verdict {
    private Verdict() {}

    /**
     * What the host found on its own, beside the guest's report.
     *
     * @param guestHash what the guest must have said, {@code checks} times
     * @param guestData what it is the hash of
     * @param ifFinished what is wrong besides, if the guest came to its end
     * @param carriers the devices that the data went through
     * @param leastBytes how much of it went through them at least
     */
    record Findings(
            String guestHash,
            int checks,
            String guestData,
            List<String> ifFinished,
            boolean isPassthrough,
            List<? extends EndpointDevice> carriers,
            long leastBytes,
            long faults,
            String firstFault,
            long internalFailures) {
        Findings {
            ifFinished = List.copyOf(ifFinished);
            carriers = List.copyOf(carriers);
        }
    }

    /** Everything that is wrong; empty if the run is good. */
    static List<String> problems(
            GuestReport guest, List<? extends EndpointDevice> devices, Findings findings) {
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
            problems.addAll(findings.ifFinished());
            checkHashes(problems, guest, findings);
        }
        for (EndpointDevice device : devices) {
            long bypassed = device.accesses().bypassedAfterAttach();
            if (bypassed > 0) {
                problems.add(
                        "device %s reached memory past the IOMMU %d times after its first ATTACH"
                                .formatted(device.name(), bypassed));
            }
        }
        checkBytes(problems, findings);
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

    private static void checkHashes(List<String> problems, GuestReport guest, Findings findings) {
        for (String hash : guest.hashes()) {
            if (!hash.equals(findings.guestHash())) {
                problems.add(
                        "the guest read %s with SHA-256 %s, the host wrote %s"
                                .formatted(findings.guestData(), hash, findings.guestHash()));
            }
        }
        if (guest.hashes().size() != findings.checks()) {
            problems.add(
                    "the guest read %s %d times, and should have %d times"
                            .formatted(
                                    findings.guestData(),
                                    guest.hashes().size(),
                                    findings.checks()));
        }
    }

    /** That the data went the way that it should have gone. */
    private static void checkBytes(List<String> problems, Findings findings) {
        EndpointCounts sum = EndpointCounts.ZERO;
        for (EndpointDevice carrier : findings.carriers()) {
            sum = sum.plus(carrier.accesses());
        }
        if (findings.isPassthrough() && sum.translations() > 0) {
            problems.add(
                    "%d accesses were translated, though the kernel was told to attach bypass domains"
                            .formatted(sum.translations()));
        }
        long bytes = findings.isPassthrough() ? sum.identityBytes() : sum.translatedBytes();
        if (bytes < findings.leastBytes()) {
            problems.add(
                    String.format(
                            Locale.ROOT,
                            "only %d bytes %s, at least %d must have (bytes through mappings: %d, through bypass"
                                    + " domains: %d; accesses without a domain: %d)",
                            bytes,
                            findings.isPassthrough()
                                    ? "went through bypass domains"
                                    : "were translated",
                            findings.leastBytes(),
                            sum.translatedBytes(),
                            sum.identityBytes(),
                            sum.bypassed()));
        }
    }
}
