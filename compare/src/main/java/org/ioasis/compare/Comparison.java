// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.guestkit.Qemu;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.run.Progress;
import org.ioasis.vm.Workspace;

/**
 * Takes QEMU's virtio-iommu and ours through the same steps and compares all that a driver and an
 * endpoint can see: status, used length and every byte of each answer, configuration, features,
 * what accesses reach, fault events. The first thing that must not be is looked for again in new
 * machines, with fewer and fewer steps. One thread.
 */
public final class Comparison {
    private static final long WORKSPACE_BYTES = 4 * QtestVmm.RAM_BYTES;
    private static final long TELL_NANOS = 10_000_000_000L;
    private static final Duration PATIENCE = Duration.ofSeconds(10);

    /** A device that is known not to go on is not waited for so long. */
    private static final Duration SEARCH_PATIENCE = Duration.ofSeconds(2);

    private static final long SEARCH_NANOS = 60_000_000_000L;

    /** Steps before a failure that are looked at. */
    private static final int WINDOW = 4096;

    private final long requests;
    private final long seed;
    private final Optional<Selection> only;
    private final Host host;
    private final Progress progress;
    private final Differences differences = new Differences();
    private Optional<Finding> finding = Optional.empty();
    private int failing;
    private long asked;
    private long others;
    private long rebuilds;
    private long lastTold;

    /**
     * @param requests to each device
     */
    public Comparison(long requests, long seed, Host host, Progress progress) {
        this(requests, seed, Optional.empty(), host, progress);
    }

    /**
     * @param only the steps to do, in the place of {@code requests}
     */
    public Comparison(long seed, Selection only, Host host, Progress progress) {
        this(0, seed, Optional.of(only), host, progress);
    }

    private Comparison(
            long requests, long seed, Optional<Selection> only, Host host, Progress progress) {
        this.requests = requests;
        this.seed = seed;
        this.only = only;
        this.host = host;
        this.progress = progress;
    }

    /**
     * Runs it.
     *
     * @throws UnavailableException there is no QEMU and none can be had
     * @throws IOException a machine cannot be started
     */
    public ComparisonReport run() throws UnavailableException, IOException, InterruptedException {
        long begin = System.nanoTime();
        lastTold = begin;
        try (Cleanup cleanup = Cleanup.atExit();
                Workspace workspace = Workspace.create(host, cleanup, WORKSPACE_BYTES)) {
            Qemu qemu = new Provisioner(host, cleanup, progress::say).provideQemu();
            Duels duels = new Duels(qemu, host, cleanup, workspace);
            for (int i = 0; i < Setup.ALL.size(); i++) {
                if (only.isPresent() ? only.get().setup() == i : i * Script.BLOCK < requests) {
                    progress.say(
                            "comparing with QEMU %s: %s"
                                    .formatted(qemu.version(), Setup.ALL.get(i)));
                    run(i, duels);
                }
            }
            Optional<Failure> failure =
                    finding.isPresent()
                            ? Optional.of(explain(finding.get(), duels))
                            : Optional.empty();
            return new ComparisonReport(
                    qemu.version(),
                    seed,
                    asked,
                    others,
                    rebuilds,
                    (System.nanoTime() - begin) / 1e9,
                    differences.rows(),
                    failure);
        }
    }

    private void run(int number, Duels duels) throws IOException, InterruptedException {
        Setup setup = Setup.ALL.get(number);
        Pair done =
                duels.hold(
                        setup,
                        PATIENCE,
                        (ours, theirs) -> {
                            Pair pair = new Pair(setup, ours, theirs, differences, seed);
                            pair.begin();
                            runAll(pair, number);
                            return pair;
                        });
        asked += done.asked();
        others += done.others();
        rebuilds += done.rebuilds();
        if (finding.isEmpty()) {
            finding = done.finding();
            failing = number;
        }
    }

    private void runAll(Pair pair, int number) throws InterruptedException {
        if (only.isPresent()) {
            boolean _ = pair.run(only.get().steps(seed));
            return;
        }
        Script script = new Script(seed, number, Setup.ALL.size());
        boolean goesOn = true;
        while (goesOn && script.request() < requests) {
            goesOn = pair.run(script.next(Math.min(Script.BLOCK, requests - script.request())));
            tell(asked + pair.asked());
        }
    }

    private Failure explain(Finding first, Duels duels) throws IOException, InterruptedException {
        progress.say("request %d: %s".formatted(first.request(), first.what()));
        progress.say("looking for fewer steps that show it");
        Setup setup = Setup.ALL.get(failing);
        long end = System.nanoTime() + SEARCH_NANOS;
        return Failure.of(
                first,
                failing,
                seed,
                before(first),
                only.map(some -> "--steps " + some).orElse("--requests " + requests),
                steps -> again(setup, steps, duels),
                () -> System.nanoTime() - end < 0);
    }

    /** The steps that can have to do with it. */
    private List<Script.Numbered> before(Finding first) {
        int from = Math.max(0, first.reached() + 1 - WINDOW);
        Selection window =
                only.orElse(
                        new Selection(
                                failing,
                                first.reached() < 0
                                        ? List.of()
                                        : List.of(new Selection.Run(from, first.reached()))));
        return window.steps(seed).stream().filter(one -> one.index() <= first.reached()).toList();
    }

    private Optional<Finding> again(Setup setup, List<Script.Numbered> steps, Duels duels)
            throws IOException, InterruptedException {
        return duels.hold(
                setup,
                SEARCH_PATIENCE,
                (ours, theirs) -> {
                    Pair pair = new Pair(setup, ours, theirs, new Differences(), seed);
                    pair.begin();
                    boolean _ = pair.run(steps);
                    return pair.finding();
                });
    }

    private void tell(long done) {
        String line = String.format(Locale.ROOT, "%,d of %,d requests compared", done, requests);
        progress.status(line);
        if (System.nanoTime() - lastTold > TELL_NANOS) {
            lastTold = System.nanoTime();
            progress.say(line);
        }
    }
}
