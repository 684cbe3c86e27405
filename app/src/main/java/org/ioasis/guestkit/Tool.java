// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * Runs a program to its end: output line by line, a limit of time, nothing left behind. Standard
 * input is empty; what it writes to standard error comes with the rest. Any thread; blocks.
 */
final class Tool {
    /** Lines kept for a message about a failure. */
    private static final int TAIL = 12;

    /** After its program has ended, a reader only has to empty a pipe. */
    private static final long READER_LIMIT_MILLIS = 5000;

    /** How a program ended, and the last lines that it wrote. */
    record Result(int code, List<String> tail) {
        boolean isSuccess() {
            return code == 0;
        }

        /** The last lines, indented for a message. */
        String explanation() {
            return tail.isEmpty()
                    ? "  (it wrote nothing; exit code " + code + ")"
                    : "  " + String.join("\n  ", tail);
        }
    }

    private Tool() {}

    /**
     * Runs {@code command} with exactly {@code environment}.
     *
     * @throws IOException when it cannot be started or takes longer than {@code limit}
     * @throws InterruptedException when this thread was interrupted; the program is gone then
     */
    static Result run(
            Cleanup cleanup,
            List<String> command,
            Map<String, String> environment,
            Path folder,
            Duration limit,
            Consumer<String> sink)
            throws IOException, InterruptedException {
        ProcessBuilder builder =
                new ProcessBuilder(command)
                        .directory(folder.toFile())
                        .redirectErrorStream(true)
                        .redirectInput(ProcessBuilder.Redirect.from(Path.of("/dev/null").toFile()));
        builder.environment().clear();
        builder.environment().putAll(environment);
        Process process = cleanup.start(builder);
        Deque<String> tail = new ArrayDeque<>();
        Thread reader =
                Thread.ofPlatform()
                        .daemon()
                        .name("output of " + command.getFirst())
                        .start(() -> {
                            try {
                                BoundedLines.read(
                                        process.getInputStream(),
                                        line -> {
                                            remember(tail, line);
                                            sink.accept(line);
                                        });
                            } catch (IOException closed) {
                                // The program was killed; whoever did that reports it.
                            }
                        });
        try {
            if (!process.waitFor(limit.toMillis(), TimeUnit.MILLISECONDS)) {
                throw new IOException(
                        command.getFirst() + " took longer than " + limit.toSeconds() + " s");
            }
            reader.join(READER_LIMIT_MILLIS);
        } finally {
            cleanup.kill(process);
        }
        synchronized (tail) {
            return new Result(process.exitValue(), List.copyOf(tail));
        }
    }

    private static void remember(Deque<String> tail, String line) {
        if (line.isBlank()) {
            return;
        }
        synchronized (tail) {
            if (tail.size() == TAIL) {
                tail.removeFirst();
            }
            tail.addLast(line);
        }
    }
}
