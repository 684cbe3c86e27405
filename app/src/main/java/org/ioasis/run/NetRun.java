// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.kind.net.Nic;
import org.ioasis.vm.GuestReport;
import org.ioasis.vm.GuestTask;

/**
 * One guest and its host exchanging data over a network device behind the IOMMU, both ways at once:
 * the guest hashes what it gets, the host what the guest sends, which comes from a disk of the
 * host's. One thread; blocks until it is over.
 */
public final class NetRun {
    private static final String EXCHANGE = "exchange";

    private final RunOptions options;
    private final Host host;
    private final Progress progress;

    public NetRun(RunOptions options, Host host, Progress progress) {
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
        try (Cleanup cleanup = Cleanup.atExit();
                GuestSetup setup =
                        GuestSetup.prepare(
                                options,
                                new GuestTask.Net(options.seedBytes()),
                                host,
                                cleanup,
                                progress)) {
            GuestSetup.Ended ended = setup.boot(setup::tell, null);
            // After the end of the sessions: nothing is sent or counted any more.
            setup.machine().close();
            progress.say("comparing the hashes");
            return new Judgement(
                            options, Judgement.Counts.of(setup.machine(), options), ended, progress)
                    .report(found(setup, ended.guest()), setup.accel(), begin);
        }
    }

    private static Judgement.Found found(GuestSetup setup, GuestReport guest)
            throws IOException, InterruptedException {
        NetPeer.Exchanged exchanged = setup.peer().end();
        long bytes = setup.seeded().bytes();
        List<Nic> nics = setup.machine().devices(Nic.class);
        double seconds =
                guest.steps().stream()
                        .filter(step -> step.name().equals(EXCHANGE))
                        .mapToDouble(step -> step.micros() / 1e6)
                        .sum();
        return new Judgement.Found(
                setup.fetchedHash(),
                1,
                "what it fetched",
                problems(exchanged, bytes, setup.hash()),
                nics,
                2 * bytes,
                2 * bytes,
                Optional.of(
                        new RunReport.NetworkReport(
                                exchanged.downBytes(),
                                exchanged.upBytes(),
                                nics.getFirst().frames(),
                                seconds)));
    }

    /** What is wrong with what went over, as far as the host can tell. */
    static List<String> problems(NetPeer.Exchanged exchanged, long bytes, String sentHash) {
        List<String> problems = new ArrayList<>();
        if (exchanged.failure() != null) {
            problems.add("the host's end of the network failed: " + exchanged.failure());
        }
        if (exchanged.clientError() != null) {
            problems.add("the guest ended a transfer with an error: " + exchanged.clientError());
        }
        if (exchanged.downBytes() != bytes) {
            problems.add("the guest got %d bytes of %d".formatted(exchanged.downBytes(), bytes));
        }
        if (exchanged.upBytes() != bytes || !exchanged.isUpWhole()) {
            problems.add("the guest sent %d bytes of %d".formatted(exchanged.upBytes(), bytes));
        } else if (!exchanged.upHash().equals(sentHash)) {
            problems.add(
                    "what the guest sent has SHA-256 %s, its disk has %s"
                            .formatted(exchanged.upHash(), sentHash));
        }
        return problems;
    }
}
