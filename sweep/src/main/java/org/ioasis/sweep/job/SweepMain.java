// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep.job;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.ioasis.sweep.Answer;
import org.ioasis.sweep.Design;
import org.ioasis.sweep.ReportFolder;
import org.ioasis.sweep.SweepArguments;
import org.ioasis.sweep.SweepReport;
import org.ioasis.sweep.TraceException;

/** {@code ioasis sweep}: many designs over recorded traces. Main thread. */
public final class SweepMain {
    private static final Pattern COLON = Pattern.compile(":");
    private static final long TOLD_EVERY_NANOS = 3_000_000_000L;

    private SweepMain() {}

    public static void main(String[] args) {
        System.exit(run(args));
    }

    static int run(String... args) {
        return SweepArguments.run(SweepMain::sweep, args);
    }

    private static void sweep(SweepArguments asked, List<Design> designs)
            throws TraceException, IOException {
        List<Answer> answers = new ArrayList<>();
        for (Cell.Result result : results(cells(asked.files(), designs), asked.master())) {
            Answer answer = result.answer();
            if (answer == null) {
                throw new TraceException(String.valueOf(result.refusal()));
            }
            answers.add(answer);
        }
        SweepReport report = new SweepReport(answers);
        ReportFolder folder = asked.folder();
        if (folder != null) {
            folder.write(report, FiguresFile.of(answers));
        }
        System.out.print(asked.isJson() ? report.json() : report.text());
        if (folder != null) {
            System.err.println("ioasis sweep: the report is " + folder.page());
        }
    }

    /** Trace by trace, so that a worker reads each once. */
    private static List<Cell> cells(List<String> files, List<Design> designs) {
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

    private static List<Cell.Result> results(List<Cell> cells, String master) throws IOException {
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
