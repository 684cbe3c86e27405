// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep.job;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.function.Function;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.ioasis.sweep.Answer;
import org.ioasis.sweep.Design;
import org.ioasis.sweep.SweepReport;
import org.ioasis.sweep.TraceException;
import org.ioasis.sweep.TraceFile;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/**
 * {@code ioasis sweep}: many designs over recorded traces. What the options are is said in
 * tools/sweep.sh, which can do so before Spark is there. Main thread.
 */
@Command(name = "ioasis sweep")
public final class SweepMain implements Callable<Integer> {
    private static final Pattern COLON = Pattern.compile(":");
    private static final int FAILED = 1;
    private static final int WRONG = 2;
    private static final long TOLD_EVERY_NANOS = 3_000_000_000L;

    @Parameters(arity = "1..*", paramLabel = "FILE")
    private List<String> files = List.of();

    @Option(names = "--granule", split = ",", defaultValue = "4k,64k")
    private List<String> granules = List.of();

    @Option(names = "--flush", split = ",", defaultValue = "strict,lazy:256")
    private List<String> flushes = List.of();

    @Option(names = "--iotlb", split = ",", defaultValue = "64,1024,none")
    private List<String> iotlbs = List.of();

    @Option(names = "--format", split = ",", defaultValue = "x86-64,arm64,amd")
    private List<String> formats = List.of();

    @Option(names = "--report")
    private @Nullable Path report;

    @Option(names = "--json")
    private boolean isJson;

    @Option(names = "--master", defaultValue = "local[*]")
    private String master = "";

    private SweepMain() {}

    public static void main(String[] args) {
        System.exit(run(args));
    }

    static int run(String... args) {
        return new CommandLine(new SweepMain())
                .setParameterExceptionHandler(
                        (wrong, _) -> say(WRONG, wrong.getMessage() + " (ioasis sweep --help)"))
                .execute(args);
    }

    @Override
    public Integer call() throws IOException {
        List<Cell> cells;
        ReportFolder folder = report == null ? null : new ReportFolder(report);
        try {
            List<Design> designs = Design.all(formats, granules, flushes, iotlbs);
            String refusal = folder == null ? null : folder.refusal();
            if (refusal != null) {
                throw new IllegalArgumentException("--report: " + refusal);
            }
            if (!master.matches("local|local\\[(\\*|[1-9]\\d{0,3})]|[a-z0-9]+://\\S+")) {
                throw new IllegalArgumentException(
                        "--master is local[N] or an address, not " + master);
            }
            cells = cells(designs);
        } catch (IllegalArgumentException e) {
            return say(WRONG, String.valueOf(e.getMessage()));
        }
        for (String file : files) {
            try {
                TraceFile.check(Path.of(file));
            } catch (TraceException e) {
                return say(FAILED, String.valueOf(e.getMessage()));
            }
        }
        List<Answer> answers = new ArrayList<>();
        for (Cell.Result result : results(cells)) {
            Answer answer = result.answer();
            if (answer == null) {
                return say(FAILED, String.valueOf(result.refusal()));
            }
            answers.add(answer);
        }
        if (folder != null) {
            folder.write(answers);
        }
        SweepReport made = new SweepReport(answers);
        System.out.print(isJson ? made.json() : made.text());
        if (folder != null) {
            System.err.println("ioasis sweep: the report is " + folder.page());
        }
        return System.out.checkError() ? say(FAILED, "standard output cannot be written") : 0;
    }

    private static int say(int code, String message) {
        System.err.println("ioasis sweep: " + message);
        return code;
    }

    /** Trace by trace, so that a worker reads each once. */
    private List<Cell> cells(List<Design> designs) {
        Map<String, Long> names =
                files.stream()
                        .map(SweepMain::name)
                        .collect(Collectors.groupingBy(Function.identity(), Collectors.counting()));
        List<Cell> cells = new ArrayList<>();
        for (String file : files.stream().distinct().toList()) {
            String name = name(file);
            String shown = names.getOrDefault(name, 0L) > 1 ? file : name;
            String place = Path.of(file).toAbsolutePath().toString();
            for (Design design : designs) {
                cells.add(new Cell(shown, place, design));
            }
        }
        return cells;
    }

    private static String name(String file) {
        return file.substring(file.lastIndexOf('/') + 1);
    }

    private List<Cell.Result> results(List<Cell> cells) throws IOException {
        Path folder = Files.createTempDirectory("ioasis-sweep");
        try {
            return Job.run(cells, master, folder, jars(), new Progress(cells.size())::done);
        } finally {
            remove(folder);
        }
    }

    /** What a worker elsewhere needs of ours and has not. */
    private static List<String> jars() {
        return COLON.splitAsStream(System.getProperty("ioasis.jars", ""))
                .filter(jar -> !jar.isEmpty())
                .toList();
    }

    private static void remove(Path folder) throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted((a, b) -> b.compareTo(a)).toList()) {
                Files.deleteIfExists(file);
            }
        }
    }

    /** Says now and then how far it is. Spark's thread for events. */
    private static final class Progress {
        private final int all;
        private long told = System.nanoTime();

        Progress(int all) {
            this.all = all;
        }

        void done(int count) {
            long now = System.nanoTime();
            if (now - told >= TOLD_EVERY_NANOS) {
                told = now;
                System.err.printf("ioasis sweep: %d of %d%n", count, all);
            }
        }
    }
}
