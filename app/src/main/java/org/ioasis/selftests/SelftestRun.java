// SPDX-License-Identifier: Apache-2.0
package org.ioasis.selftests;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import org.ioasis.guestkit.KernelTests;
import org.ioasis.program.ProgramRun;
import org.ioasis.sys.ChildProcess;

/**
 * Runs the kernel's test programs as {@code ioasis host} runs any program: those of iommufd with
 * {@code --mock}, those of VFIO with devices. Blocks; one thread.
 */
public final class SelftestRun {
    private static final long LOOK_MILLIS = 200;

    // What goes to the file of a program's output: all it says; the table of its cases alone.
    private static final String RUNNING = ">\"$out\" 2>&1";
    private static final String LISTING = ">/dev/null 2>\"$out\"";

    private final KernelTests tests;
    private final KernelTests.Suite suite;
    private final Path folder;

    /**
     * @param folder for files of the run, the caller's to remove
     */
    public SelftestRun(KernelTests tests, KernelTests.Suite suite, Path folder) {
        this.tests = tests;
        this.suite = suite;
        this.folder = folder;
    }

    private TestHost host() throws IOException {
        return switch (suite) {
            case IOMMUFD -> new MockHost();
            case VFIO -> new DeviceHost();
        };
    }

    /**
     * Names of cases: fixture, variant and test.
     *
     * @param only what the names have in them; empty: all
     */
    public List<String> names(String only) throws IOException, InterruptedException {
        List<String> names = new ArrayList<>();
        for (String program : suite.programs()) {
            names.addAll(names(program, only));
        }
        return names;
    }

    private List<String> names(String program, String only)
            throws IOException, InterruptedException {
        // Some look for their device first.
        Path output = Files.createTempFile(folder, program, ".list");
        try (TestHost host = host()) {
            var _ = host.start(command(host, program, LISTING, List.of("-l"), output)).await();
        }
        return CaseTable.names(Files.readString(output, ISO_8859_1)).stream()
                .filter(name -> name.contains(only))
                .toList();
    }

    /**
     * Runs them.
     *
     * @param only part of the names of the cases to run; empty: all
     * @param ended hears of each case as it ends
     */
    public SelftestReport run(String only, Consumer<TestLines.Case> ended)
            throws IOException, InterruptedException {
        List<TestLines.Case> cases = new ArrayList<>();
        for (String program : suite.programs()) {
            List<String> chosen = names(program, only);
            if (!chosen.isEmpty()) {
                List<String> arguments = new ArrayList<>();
                for (String name : only.isEmpty() ? List.<String>of() : chosen) {
                    arguments.addAll(List.of("-r", name));
                }
                try (TestHost host = host()) {
                    cases.addAll(run(host, program, arguments, chosen, ended));
                }
            }
        }
        return new SelftestReport(suite, tests.version(), cases);
    }

    private List<TestLines.Case> run(
            TestHost host,
            String program,
            List<String> arguments,
            List<String> expected,
            Consumer<TestLines.Case> ended)
            throws IOException, InterruptedException {
        Path output = Files.createTempFile(folder, program, ".tap");
        TestLines lines = new TestLines(ended);
        ProgramRun run = host.start(command(host, program, RUNNING, arguments, output));
        CompletableFuture<ChildProcess.End> end = new CompletableFuture<>();
        Thread.ofPlatform()
                .name("waits for " + program)
                .start(() -> {
                    try {
                        end.complete(run.await());
                    } catch (InterruptedException | RuntimeException e) {
                        end.completeExceptionally(e);
                    }
                });
        try (RandomAccessFile said = new RandomAccessFile(output.toFile(), "r")) {
            boolean isEnded = false;
            while (!isEnded) {
                isEnded = isEnded(end);
                // Once more after the end: what was written last.
                lines.read(said);
            }
        }
        // A case that the program did not come to is no success.
        for (String name : expected) {
            if (lines.cases().stream().noneMatch(c -> c.name().equals(name))) {
                lines.add(
                        new TestLines.Case(
                                name, TestLines.Outcome.FAILED, program + " ended before it"));
            }
        }
        return lines.cases();
    }

    private static boolean isEnded(CompletableFuture<ChildProcess.End> end)
            throws InterruptedException {
        try {
            end.get(LOOK_MILLIS, TimeUnit.MILLISECONDS);
            return true;
        } catch (TimeoutException e) {
            return false;
        } catch (ExecutionException e) {
            throw new IllegalStateException(e.getCause());
        }
    }

    /** Without input; the shell becomes the program. */
    private List<byte[]> command(
            TestHost host, String program, String streams, List<String> arguments, Path output) {
        List<String> words = new ArrayList<>();
        words.addAll(
                List.of("sh", "-c", "out=$1; shift; exec \"$0\" \"$@\" </dev/null " + streams));
        words.add(tests.program(program).toString());
        words.add(output.toString());
        words.addAll(arguments);
        words.addAll(host.devices());
        return words.stream().map(word -> word.getBytes(UTF_8)).toList();
    }
}
