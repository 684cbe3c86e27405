// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.guest;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.ioasis.guestkit.BoundedLines;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.Host;
import org.ioasis.live.ControlClient;

/**
 * An {@code ioasis serve} in a process of its own, started as a user would: what it costs is the
 * cost of that process. One thread; another reads its output.
 */
final class ServerProcess implements AutoCloseable {
    private static final long START_SECONDS = 60;
    private static final long END_SECONDS = 10;
    private static final int LINES = 40;

    /** The first line that comes after all sockets are there. */
    private static final String READY = "control ";

    private final Cleanup cleanup;
    private final Process process;
    private final Path control;
    private final CountDownLatch isReady = new CountDownLatch(1);
    private final Deque<String> lastLines = new ArrayDeque<>();

    /**
     * @param launcher of Ioasis
     * @param config of the server
     * @param control the socket that the configuration names
     * @param more further words for it
     */
    ServerProcess(
            Host host, Cleanup cleanup, Path launcher, Path config, Path control, List<String> more)
            throws IOException, InterruptedException {
        this.cleanup = cleanup;
        this.control = control;
        List<String> words = new ArrayList<>();
        words.addAll(List.of(launcher.toString(), "serve", "--config", config.toString()));
        words.addAll(more);
        ProcessBuilder builder =
                new ProcessBuilder(words)
                        .redirectErrorStream(true)
                        .redirectInput(ProcessBuilder.Redirect.from(Path.of("/dev/null").toFile()));
        builder.environment().clear();
        builder.environment().putAll(host.childEnvironment());
        builder.environment().put("IOASIS_NO_BUILD", "1");
        builder.environment().put("IOASIS_JAVA_HOME", System.getProperty("java.home"));
        process = cleanup.start(builder);
        Thread _ = Thread.ofPlatform().daemon().name("output of the server").start(this::read);
        if (!isReady.await(START_SECONDS, TimeUnit.SECONDS) || !process.isAlive()) {
            close();
            throw new IOException("the server does not start:\n  " + said());
        }
    }

    private void read() {
        try {
            BoundedLines.read(
                    process.getInputStream(),
                    line -> {
                        synchronized (lastLines) {
                            if (lastLines.size() == LINES) {
                                lastLines.removeFirst();
                            }
                            lastLines.addLast(line);
                        }
                        if (line.startsWith(READY)) {
                            isReady.countDown();
                        }
                    });
        } catch (IOException closed) {
            // It was killed; who did that knows.
        }
        isReady.countDown();
    }

    String said() {
        synchronized (lastLines) {
            return String.join("\n  ", lastLines);
        }
    }

    Counters counters() throws IOException {
        return Counters.of(
                ControlClient.ask(control, "dump json", ControlClient.WAIT_MILLIS).text());
    }

    /** The server's own words on its state, for a person. */
    String state() {
        try {
            return ControlClient.ask(control, "dump", ControlClient.WAIT_MILLIS).text();
        } catch (IOException e) {
            return "the server does not answer: " + e.getMessage();
        }
    }

    ProcessCost cost() throws IOException {
        return ProcessCost.of(process.pid());
    }

    /** Ends it as a user would, and by force if that does not help. */
    @Override
    public void close() {
        process.destroy();
        try {
            if (!process.waitFor(END_SECONDS, TimeUnit.SECONDS)) {
                cleanup.kill(process);
            }
        } catch (InterruptedException e) {
            cleanup.kill(process);
            Thread.currentThread().interrupt();
        }
        cleanup.forget(process);
    }
}
