// SPDX-License-Identifier: Apache-2.0
package org.ioasis.selftests;

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
import java.util.function.Supplier;
import org.ioasis.guestkit.KernelTests;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.program.CallTrace;
import org.ioasis.program.ProgramRun;
import org.ioasis.sys.ChildProcess;

/**
 * Runs the kernel's test programs as {@code ioasis host --mock} runs any program. Blocks; one
 * thread.
 */
public final class SelftestRun {
    private static final long LOOK_MILLIS = 200;

    private final KernelTests tests;
    private final Supplier<IommufdNode> nodes;
    private final Path folder;

    /**
     * @param nodes what stands at /dev/iommu, anew for each program
     * @param folder for files of the run, the caller's to remove
     */
    public SelftestRun(KernelTests tests, Supplier<IommufdNode> nodes, Path folder) {
        this.tests = tests;
        this.nodes = nodes;
        this.folder = folder;
    }

    /** Names of all cases of a program: fixture, variant and test. */
    public List<String> names(String program) throws IOException, InterruptedException {
        Process list =
                new ProcessBuilder(tests.program(program).toString(), "-l")
                        .redirectErrorStream(true)
                        .start();
        List<String> names =
                CaseTable.names(new String(list.getInputStream().readAllBytes(), UTF_8));
        list.waitFor();
        return names;
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
        for (String program : KernelTests.PROGRAMS) {
            List<String> chosen = names(program).stream().filter(n -> n.contains(only)).toList();
            if (!chosen.isEmpty()) {
                cases.addAll(run(program, only.isEmpty() ? List.of() : chosen, chosen, ended));
            }
        }
        return new SelftestReport(tests.version(), cases);
    }

    private List<TestLines.Case> run(
            String program,
            List<String> arguments,
            List<String> expected,
            Consumer<TestLines.Case> ended)
            throws IOException, InterruptedException {
        Path output = Files.createTempFile(folder, program, ".tap");
        TestLines lines = new TestLines(ended);
        ProgramRun run =
                ProgramRun.start(
                        command(program, arguments, output), nodes.get(), true, CallTrace.none());
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

    /** Its output goes to a file, its input is empty; the shell becomes the program. */
    private List<byte[]> command(String program, List<String> names, Path output) {
        List<String> words = new ArrayList<>();
        words.addAll(
                List.of("sh", "-c", "out=$1; shift; exec \"$0\" \"$@\" >\"$out\" 2>&1 </dev/null"));
        words.add(tests.program(program).toString());
        words.add(output.toString());
        for (String name : names) {
            words.add("-r");
            words.add(name);
        }
        return words.stream().map(word -> word.getBytes(UTF_8)).toList();
    }
}
