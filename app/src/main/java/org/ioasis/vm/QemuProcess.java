// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vm;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.ioasis.guestkit.BoundedLines;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.Host;

/**
 * A running QEMU. Two threads read its console and its error output for as long as it lives, so
 * that it never waits for us. Methods may be called on any thread; the listener is called on those
 * two.
 */
public final class QemuProcess implements AutoCloseable {
    private static final int ERROR_LINES = 40;

    /** After QEMU is gone a reader only has to empty a pipe. */
    private static final long READER_LIMIT_MILLIS = 5000;

    /** How it ended. */
    public sealed interface End {
        /** By itself, with this exit code. */
        record Exited(int code) implements End {}

        /** The user or a test killed it. */
        record Killed() implements End {}

        /** It was killed after {@code limit}. */
        record TimedOut(Duration limit) implements End {}
    }

    private final Cleanup cleanup;
    private final Process process;
    private final GuestConsole console = new GuestConsole();
    private final Deque<String> errors = new ArrayDeque<>();
    private final Thread consoleReader;
    private final Thread errorReader;
    private volatile boolean isKilled;

    private QemuProcess(
            Cleanup cleanup, Process process, InputStream output, Consumer<GuestEvent> listener) {
        this.cleanup = cleanup;
        this.process = process;
        consoleReader = reader("console", output, line -> listener.accept(console.accept(line)));
        errorReader =
                reader(
                        "qemu errors",
                        process.getErrorStream(),
                        line -> {
                            remember(line);
                            listener.accept(new GuestEvent.Vmm(line));
                        });
    }

    /** Starts QEMU, with the guest's console as its standard output and no input. */
    public static QemuProcess start(
            QemuCommand command, Host host, Cleanup cleanup, Consumer<GuestEvent> listener)
            throws IOException {
        ProcessBuilder builder =
                builder(command, host)
                        .redirectInput(ProcessBuilder.Redirect.from(Path.of("/dev/null").toFile()));
        Process process = cleanup.start(builder);
        return started(new QemuProcess(cleanup, process, process.getInputStream(), listener));
    }

    /**
     * Starts QEMU in another way than by itself.
     *
     * @param starter is given the words of its command and all of its environment; the console is
     *     its process's standard output
     */
    public static QemuProcess start(
            QemuCommand command,
            Host host,
            Cleanup cleanup,
            Consumer<GuestEvent> listener,
            Starter starter)
            throws IOException {
        ProcessBuilder words = builder(command, host);
        Process process =
                cleanup.start(
                        () -> starter.start(words.command(), Map.copyOf(words.environment())));
        return started(new QemuProcess(cleanup, process, process.getInputStream(), listener));
    }

    /** What starts a process with a command and an environment. */
    @FunctionalInterface
    public interface Starter {
        Process start(List<String> command, Map<String, String> environment) throws IOException;
    }

    /** Starts QEMU, with the guest's console on a terminal too, and what is typed as its input. */
    public static QemuProcess start(
            QemuCommand command,
            Host host,
            Cleanup cleanup,
            Consumer<GuestEvent> listener,
            Terminal terminal)
            throws IOException {
        Process process = cleanup.start(builder(command, host));
        InputStream output = terminal.showing(process.getInputStream());
        QemuProcess qemu = started(new QemuProcess(cleanup, process, output, listener));
        terminal.typeInto(process.getOutputStream(), qemu::kill);
        return qemu;
    }

    private static ProcessBuilder builder(QemuCommand command, Host host) {
        ProcessBuilder builder = new ProcessBuilder(command.words());
        builder.environment().clear();
        builder.environment().putAll(host.childEnvironment());
        builder.environment().putAll(command.qemu().environment());
        return builder;
    }

    private static QemuProcess started(QemuProcess qemu) {
        qemu.consoleReader.start();
        qemu.errorReader.start();
        return qemu;
    }

    private static Thread reader(String name, InputStream in, Consumer<String> sink) {
        return Thread.ofPlatform()
                .daemon()
                .name(name)
                .unstarted(() -> {
                    try {
                        BoundedLines.read(in, sink);
                    } catch (IOException closed) {
                        // QEMU was killed; await() tells how it ended.
                    }
                });
    }

    private void remember(String line) {
        synchronized (errors) {
            if (errors.size() == ERROR_LINES) {
                errors.removeFirst();
            }
            errors.addLast(line);
        }
    }

    /**
     * Waits until QEMU has ended and all it wrote was read.
     *
     * @param onTimeout runs when {@code limit} is over, before QEMU is killed: the moment to print
     *     the state of the servers, whose mistakes show as a guest that hangs
     */
    public End await(Duration limit, Runnable onTimeout) throws InterruptedException {
        try {
            if (process.waitFor(limit.toNanos(), TimeUnit.NANOSECONDS)) {
                return isKilled ? new End.Killed() : new End.Exited(process.exitValue());
            }
            onTimeout.run();
            return new End.TimedOut(limit);
        } finally {
            close();
        }
    }

    /** Kills QEMU at once, if it still runs; {@link #await} then returns. Any thread. */
    public void kill() {
        isKilled = true;
        process.destroyForcibly();
    }

    /** Its number, for whoever looks at what it costs. */
    public long pid() {
        return process.pid();
    }

    /** What the guest has said so far. */
    public GuestReport report() {
        return console.report();
    }

    /** The last lines of QEMU's error output. */
    public List<String> errors() {
        synchronized (errors) {
            return List.copyOf(errors);
        }
    }

    /** Kills QEMU if it still runs, and waits for it and for its readers. */
    @Override
    public void close() {
        cleanup.kill(process);
        try {
            consoleReader.join(READER_LIMIT_MILLIS);
            errorReader.join(READER_LIMIT_MILLIS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
