// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/**
 * What {@code ioasis sweep} is asked for, checked before anything begins. It is here, and not
 * beside the job, so that tools/sweep.sh can have it checked before what the job needs is fetched;
 * that is what {@link #main} is for. What the options are is said there. Main thread.
 */
@Command(name = "ioasis sweep")
public final class SweepArguments implements Callable<Integer> {
    private static final int FAILED = 1;
    private static final int WRONG = 2;

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

    private final Job job;

    private SweepArguments(Job job) {
        this.job = job;
    }

    /** What is done with arguments that can be meant. */
    public interface Job {
        /**
         * @throws TraceException a file is no recording, or asks for too much
         * @throws IOException what was found cannot be written
         */
        void run(SweepArguments asked, List<Design> designs) throws TraceException, IOException;
    }

    /** Checks the arguments, and does nothing else. */
    public static void main(String[] args) {
        System.exit(run((_, _) -> {}, args));
    }

    /** Checks the arguments, and does what they ask for. Returns the status. */
    public static int run(Job job, String... args) {
        return new CommandLine(new SweepArguments(job))
                .setParameterExceptionHandler(
                        (wrong, _) -> say(WRONG, wrong.getMessage() + " (ioasis sweep --help)"))
                .execute(args);
    }

    private static int say(int code, String message) {
        System.err.println("ioasis sweep: " + message);
        return code;
    }

    @Override
    public Integer call() {
        List<Design> designs;
        try {
            designs = Design.all(formats, granules, flushes, iotlbs);
            checkRest();
        } catch (IllegalArgumentException e) {
            return say(WRONG, String.valueOf(e.getMessage()));
        } catch (IOException e) {
            return say(FAILED, String.valueOf(e.getMessage()));
        }
        try {
            for (String file : files) {
                TraceFile.check(Path.of(file));
            }
            job.run(this, designs);
        } catch (TraceException | IOException e) {
            return say(FAILED, String.valueOf(e.getMessage()));
        }
        return System.out.checkError() ? say(FAILED, "standard output cannot be written") : 0;
    }

    private void checkRest() throws IOException {
        ReportFolder folder = folder();
        String refusal = folder == null ? null : folder.refusal();
        if (refusal != null) {
            throw new IllegalArgumentException("--report: " + refusal);
        }
        if (!master.matches("local|local\\[(\\*|[1-9]\\d{0,3})]|[a-z0-9]+://\\S+")) {
            throw new IllegalArgumentException("--master is local[N] or an address, not " + master);
        }
    }

    /** As they were given, twice if one was. */
    public List<String> files() {
        return List.copyOf(files);
    }

    /** Where the report goes; null if nowhere. */
    public @Nullable ReportFolder folder() {
        return report == null ? null : new ReportFolder(report);
    }

    public boolean isJson() {
        return isJson;
    }

    /** As Spark has it: {@code local[*]}, {@code spark://HOST:PORT} … */
    public String master() {
        return master;
    }
}
