// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.guestkit.Qemu;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.run.Progress;
import org.ioasis.vm.Workspace;

/** Asks a device every statement that its driver can see. One thread. */
public final class Conformance {
    private static final long WORKSPACE_BYTES = 2 * QtestVmm.RAM_BYTES;
    private static final Duration PATIENCE = Duration.ofSeconds(10);
    private static final int ADDRESS_BITS = 39;
    private static final int DOMAIN_LAST = 0xffff;

    /** As QEMU's device is asked: with an input range, which shows more. */
    private static final Setup SETUP = new Setup(ADDRESS_BITS, true, false);

    private Conformance() {}

    /** Our device, in this process. */
    static ConformanceReport ours() throws IOException, InterruptedException {
        IommuOptions options = SETUP.ours().toBuilder().domainRange(0, DOMAIN_LAST).build();
        try (LocalCandidate candidate = new LocalCandidate(options)) {
            return new ConformanceReport("Ioasis", ask(candidate));
        }
    }

    /**
     * QEMU's own device.
     *
     * @throws UnavailableException there is no QEMU and none can be had
     */
    static ConformanceReport qemu(Host host, Progress progress)
            throws UnavailableException, IOException, InterruptedException {
        try (Cleanup cleanup = Cleanup.atExit();
                Workspace workspace = Workspace.create(host, cleanup, WORKSPACE_BYTES)) {
            Qemu qemu = new Provisioner(host, cleanup, progress::say).provideQemu();
            Duels duels = new Duels(qemu, host, cleanup, workspace);
            try (Subject theirs = duels.theirs(SETUP, PATIENCE)) {
                theirs.boot();
                return new ConformanceReport("QEMU " + qemu.version(), ask(theirs));
            }
        }
    }

    /**
     * A device of a vfio-user server.
     *
     * @param endpoints that it has
     * @param absent ids that it has no endpoint for
     */
    static ConformanceReport vfioUser(Path server, List<Integer> endpoints, List<Integer> absent)
            throws IOException, InterruptedException {
        try (Candidate candidate = new VfioUserCandidate(server, endpoints, absent)) {
            return new ConformanceReport(server.toString(), ask(candidate));
        }
    }

    static List<Check.Result> ask(Candidate candidate) throws IOException, InterruptedException {
        List<Check.Result> results = new ArrayList<>();
        Set<Request> attaches = new LinkedHashSet<>();
        for (Check check : Checks.all()) {
            results.add(check.ask(candidate, attaches));
        }
        return results;
    }
}
