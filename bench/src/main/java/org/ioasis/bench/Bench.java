// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.ioasis.output.OutputFile;
import org.ioasis.output.OutputKind;
import org.ioasis.output.Surroundings;
import org.openjdk.jmh.results.BenchmarkResult;
import org.openjdk.jmh.results.IterationResult;
import org.openjdk.jmh.results.Result;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.ChainedOptionsBuilder;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.VerboseMode;

/**
 * Runs ours and the peers: round by round, in each round workload by workload, in each workload
 * subject by subject, so that whatever else the machine does meets all alike. Prints the table of
 * medians. {@code tools/bench.sh} builds everything and starts this, pinned to one processor. Main
 * thread.
 */
public final class Bench {
    private static final String OURS = "ioasis";

    /** Distance of mappings that share no lowest table. */
    private static final long SPARSE = 2L << 20;

    private final Arguments arguments;
    private final Results results = new Results();

    private Bench(Arguments arguments) {
        this.arguments = arguments;
    }

    /**
     * @param isQuick only the short list
     * @param rounds how often everything is measured
     * @param json file for the results, or none
     * @param plot folder for what is drawn of them, or none
     * @param peers where the peers' programs are, or none
     * @param processor what single-threaded subjects are pinned to
     * @param only workloads whose names contain this
     * @param commit of the tree that was built
     */
    record Arguments(
            boolean isQuick,
            int rounds,
            String json,
            String plot,
            String peers,
            String processor,
            String only,
            String commit) {
        static Arguments of(String[] args) {
            Map<String, String> values = new LinkedHashMap<>();
            boolean isQuick = false;
            for (int i = 0; i < args.length; i++) {
                if (args[i].equals("--quick")) {
                    isQuick = true;
                } else if (i + 1 < args.length) {
                    values.put(args[i], args[++i]);
                } else {
                    throw new IllegalArgumentException(args[i] + " needs a value");
                }
            }
            return new Arguments(
                    isQuick,
                    Integer.parseInt(values.getOrDefault("--rounds", isQuick ? "1" : "5")),
                    values.getOrDefault("--json", ""),
                    values.getOrDefault("--plot", ""),
                    values.getOrDefault("--peer-folder", ""),
                    values.getOrDefault("--processor", "0"),
                    values.getOrDefault("--only", ""),
                    values.getOrDefault("--commit", ""));
        }

        int repetitions() {
            return isQuick ? 3 : 5;
        }
    }

    public static void main(String[] args)
            throws IOException, InterruptedException, RunnerException {
        Arguments arguments = Arguments.of(args);
        List<Case> cases;
        try {
            cases = Case.chosen(arguments.isQuick(), arguments.only());
        } catch (IllegalArgumentException e) {
            System.err.println("ioasis bench: " + e.getMessage());
            System.exit(2);
            return;
        }
        Bench bench = new Bench(arguments);
        bench.refuseForeignFile();
        bench.run(cases);
    }

    /** Before any work: nothing of somebody else's is replaced. */
    private void refuseForeignFile() throws IOException {
        if (!arguments.json().isEmpty()) {
            String refusal = OutputFile.refusal(Path.of(arguments.json()), OutputKind.BENCH);
            if (refusal != null) {
                throw new IOException("--json: " + refusal);
            }
        }
        if (!arguments.plot().isEmpty()) {
            Plots.prepare(Path.of(arguments.plot()));
        }
    }

    private void run(List<Case> cases) throws IOException, InterruptedException, RunnerException {
        for (int round = 1; round <= arguments.rounds(); round++) {
            String last = "";
            for (Case one : cases) {
                System.err.printf("round %d: %s%n", round, one.name());
                if (one.isRoundTrip()) {
                    runRoundTrip(one);
                    continue;
                }
                // One call of a peer gives several lines.
                if (!one.peerArgument().equals(last)) {
                    runPeers(one);
                    last = one.peerArgument();
                }
                runOurs(one);
            }
        }
        System.out.print(results.table(cases.stream().filter(one -> !one.isHost()).toList()));
        System.out.print(results.hostTable(cases.stream().filter(Case::isHost).toList()));
        double dense = TranslateBenchmarks.bytesPerMapping(1 << 20, Workload.PAGE);
        double sparse = TranslateBenchmarks.bytesPerMapping(1 << 14, SPARSE);
        System.out.print(results.memory(dense, sparse));
        System.out.print(IovaBenchmarks.pieces());
        if (!arguments.json().isEmpty()) {
            OutputFile.write(
                    Path.of(arguments.json()),
                    OutputKind.BENCH,
                    results.json(cases, Surroundings.here(arguments.commit())));
        }
        if (!arguments.plot().isEmpty()) {
            Plots.write(Path.of(arguments.plot()), cases, results);
        }
    }

    private void runPeers(Case one) throws IOException, InterruptedException {
        if (arguments.peers().isEmpty() || one.peerArgument().isEmpty()) {
            return;
        }
        Path folder = Path.of(arguments.peers());
        for (Peer peer : one.peers()) {
            if (peer.isBuilt(folder)) {
                for (Peer.Figure figure :
                        peer.run(folder, one, arguments.repetitions(), arguments.processor())) {
                    results.add(figure.workload(), peer.subject(), figure.nsPerOp());
                    results.addPeak(figure.workload(), peer.subject(), figure.peakRssKiB());
                }
            }
        }
    }

    private void runRoundTrip(Case one) throws IOException, InterruptedException {
        Path folder = Path.of(arguments.peers());
        if (arguments.peers().isEmpty() || !RoundTrip.isBuilt(folder)) {
            return;
        }
        List<String> ours = RoundTrip.command(folder, arguments.repetitions());
        if (Peer.SUPERVISOR.isBuilt(folder)) {
            results.add(
                    one.name(),
                    Peer.SUPERVISOR.subject(),
                    RoundTrip.run(RoundTrip.inC(folder, arguments.repetitions())));
        }
        results.add(one.name(), OURS, RoundTrip.run(ours));
    }

    private void runOurs(Case one) throws RunnerException {
        ChainedOptionsBuilder options =
                new OptionsBuilder()
                        .include("\\." + one.benchmark().replace(".", "\\.") + "$")
                        .forks(1)
                        .warmupIterations(warmups(one))
                        .measurementIterations(one.isWallTime() ? 3 : arguments.repetitions() + 2)
                        .shouldFailOnError(true)
                        .verbosity(VerboseMode.SILENT)
                        .jvmArgs(
                                "-Xmx1g",
                                "-XX:+UseSerialGC",
                                "--sun-misc-unsafe-memory-access=allow",
                                "--enable-native-access=ALL-UNNAMED");
        one.parameters().forEach((name, value) -> options.param(name, value));
        Collection<RunResult> runs = new Runner(options.build()).run();
        List<Double> nanos = new ArrayList<>();
        List<Double> allocated = new ArrayList<>();
        for (RunResult run : runs) {
            for (BenchmarkResult benchmark : run.getBenchmarkResults()) {
                for (IterationResult iteration : benchmark.getIterationResults()) {
                    if (one.isWallTime()) {
                        String of = one.mixedCounter();
                        nanos.add(ratio(iteration, of + "Nanos", of + "Operations"));
                    } else {
                        nanos.add(ratio(iteration, "nanos", "operations"));
                        allocated.add(ratio(iteration, "allocated", "operations"));
                    }
                }
            }
        }
        results.add(one.name(), OURS, Results.median(nanos));
        if (!allocated.isEmpty()) {
            results.addAllocated(one.name(), Results.median(allocated));
        }
    }

    private static double ratio(IterationResult iteration, String sum, String operations) {
        return counter(iteration, sum) / counter(iteration, operations);
    }

    private static double counter(IterationResult iteration, String name) {
        Result<?> result = iteration.getSecondaryResults().get(name);
        if (result == null) {
            throw new IllegalStateException("JMH has lost the counter " + name);
        }
        return result.getScore();
    }

    /**
     * Repetitions until the compiler has nothing left to do, which takes it a second or so: the
     * shorter one is, the more.
     */
    private static int warmups(Case one) {
        if (one.name().startsWith("W9-evfd")) {
            // The compiler has the same processor, of which each repetition leaves it little.
            return 24;
        }
        if (one.isWallTime()) {
            return 3;
        }
        if (one.name().startsWith("W1") && one.name().endsWith("65536")) {
            return 500;
        }
        if (one.name().startsWith("W9") || one.name().endsWith("1048576")) {
            return 12;
        }
        if (one.isHost()) {
            return one.name().startsWith("host-lookup") || one.name().startsWith("host-ioasid")
                    ? 5
                    : 12;
        }
        return one.name().contains("pair-1g") ? 200 : 40;
    }
}
