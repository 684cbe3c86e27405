// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** A command as a user starts it, mostly {@code ./ioasis}, in a process of its own. One thread. */
final class Command implements AutoCloseable {
    /** Nothing that is waited for here is silent for so long, on however busy a machine. */
    private static final int SILENCE_SECONDS = 400;

    /** What a JVM has for the list of its threads, before it is ended. */
    private static final int STATE_SECONDS = 5;

    private final Process process;

    /** What it has written and nobody has read yet; in the end, one that is no line. */
    private final BlockingQueue<Optional<String>> written = new LinkedBlockingQueue<>();

    private final List<String> lines = new ArrayList<>();
    private boolean isAtEnd;

    /** Tests run in the folder of their module. */
    static final Path LAUNCHER = Path.of("..", "ioasis").toAbsolutePath().normalize();

    /** A test run in the background would hand down an ignored SIGINT, which a JVM leaves so. */
    private static final List<String> INTERRUPTIBLE = List.of("env", "--default-signal=INT");

    Command(Map<String, String> environment, String... arguments) throws IOException {
        this(Path.of("").toAbsolutePath(), environment, launcher(arguments));
    }

    private Command(Path folder, Map<String, String> environment, List<String> words)
            throws IOException {
        ProcessBuilder builder = new ProcessBuilder(words).redirectErrorStream(true);
        builder.directory(folder.toFile());
        builder.environment().putAll(environment);
        // The test run has built what is tested; a build in the middle of it would change that.
        builder.environment().put("IOASIS_NO_BUILD", "1");
        process = builder.start();
        Thread.ofPlatform().daemon().name("output of " + process.pid()).start(this::read);
    }

    /** On a thread of its own: whoever waits for a line can be interrupted, and has a limit. */
    private void read() {
        try (BufferedReader output = process.inputReader(StandardCharsets.UTF_8)) {
            output.lines().forEach(line -> written.add(Optional.of(line)));
        } catch (IOException | UncheckedIOException e) {
            written.add(Optional.of("the output cannot be read: " + e));
        } finally {
            written.add(Optional.empty());
        }
    }

    /** The next line, null at the end. AssertionError with all that is known if none comes. */
    private @Nullable String next() throws InterruptedException {
        if (isAtEnd) {
            return null;
        }
        Optional<String> line = written.poll(SILENCE_SECONDS, TimeUnit.SECONDS);
        if (line == null) {
            throw silent();
        }
        isAtEnd = line.isEmpty();
        return line.orElse(null);
    }

    /** A JVM writes what its threads wait for when it is asked to quit. */
    private AssertionError silent() throws InterruptedException {
        List<ProcessHandle> asked = new ArrayList<>(descendants());
        asked.add(process.toHandle());
        for (ProcessHandle one : asked) {
            try {
                tool("kill", "-QUIT", Long.toString(one.pid()));
            } catch (IOException | AssertionError e) {
                lines.add("not asked for its threads: " + one.pid() + ": " + e);
            }
        }
        Optional<String> line = written.poll(STATE_SECONDS, TimeUnit.SECONDS);
        while (line != null && line.isPresent()) {
            lines.add(line.get());
            line = written.poll(STATE_SECONDS, TimeUnit.SECONDS);
        }
        close();
        return new AssertionError(
                "silent for %d s; all of its output:\n%s".formatted(SILENCE_SECONDS, output()));
    }

    private static List<String> launcher(String... arguments) {
        List<String> words = new ArrayList<>(INTERRUPTIBLE);
        words.add(LAUNCHER.toString());
        words.addAll(List.of(arguments));
        return words;
    }

    /** One simple command as it is typed into a shell; {@link #link} puts a launcher there. */
    static Command typed(Path folder, String line) throws IOException {
        List<String> words = new ArrayList<>(INTERRUPTIBLE);
        // In the shell's place, so that signals reach it.
        words.addAll(List.of("sh", "-c", "exec " + line));
        return new Command(folder, Map.of(), words);
    }

    /** Makes {@code ./ioasis} a command of this folder. */
    static void link(Path folder) throws IOException {
        String script = "#!/bin/sh\nexec '" + LAUNCHER + "' \"$@\"\n";
        Path file = Files.writeString(folder.resolve("ioasis"), script);
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwx------"));
    }

    /** On a terminal of its own (util-linux, script(1)), between two looks at its settings. */
    static Command onTerminal(String arguments) throws IOException {
        String line = "stty -g; '%s' %s; echo \"code $?\"; stty -g".formatted(LAUNCHER, arguments);
        return new Command(
                Path.of("").toAbsolutePath(),
                Map.of(),
                List.of("script", "-q", "-e", "-c", line, "/dev/null"));
    }

    /** Reads on until a line has {@code text} in it. AssertionError with all output if none has. */
    void await(String text) throws InterruptedException {
        await("with \"" + text + "\"", line -> line.contains(text));
    }

    /**
     * Reads on until a line is the {@code wanted} one. AssertionError with all output if none is.
     */
    void await(String what, Predicate<String> wanted) throws InterruptedException {
        for (String line = next(); line != null; line = next()) {
            lines.add(line);
            if (wanted.test(line)) {
                return;
            }
        }
        throw new AssertionError("no line " + what + " in:\n" + output());
    }

    long pid() {
        return process.pid();
    }

    boolean isAlive() {
        return process.isAlive();
    }

    /** Every process below this one now. */
    List<ProcessHandle> descendants() {
        try (Stream<ProcessHandle> below = process.descendants()) {
            return below.toList();
        }
    }

    /** Ctrl-C. */
    void interrupt() throws IOException, InterruptedException {
        signal("INT");
    }

    /** Sends a signal by name; to the JVM alone, not to QEMU. */
    void signal(String name) throws IOException, InterruptedException {
        tool("kill", "-" + name, Long.toString(process.pid()));
    }

    /** The same to everything that it has started: QEMU, where something waits for it. */
    void signalBelow(String name) throws IOException, InterruptedException {
        for (ProcessHandle below : descendants()) {
            tool("kill", "-" + name, Long.toString(below.pid()));
        }
    }

    /** Files of the JVM, from now on, may not become larger (util-linux, prlimit(1)). */
    void limitFileSize(long bytes) throws IOException, InterruptedException {
        tool("prlimit", "--pid", Long.toString(process.pid()), "--fsize=" + bytes + ":");
    }

    private static void tool(String... words) throws IOException, InterruptedException {
        int code = new ProcessBuilder(words).inheritIO().start().waitFor();
        if (code != 0) {
            throw new AssertionError(String.join(" ", words) + " ended with " + code);
        }
    }

    /** Its standard input so far; the end of it with {@link #endOfInput}. */
    void type(String text) throws IOException {
        process.getOutputStream().write(text.getBytes(StandardCharsets.UTF_8));
        process.getOutputStream().flush();
    }

    void endOfInput() throws IOException {
        process.getOutputStream().close();
    }

    /** Reads the rest and returns the exit code. */
    int end() throws InterruptedException {
        for (String line = next(); line != null; line = next()) {
            lines.add(line);
        }
        if (!process.waitFor(60, TimeUnit.SECONDS)) {
            throw new AssertionError("does not end; output:\n" + output());
        }
        return process.exitValue();
    }

    String output() {
        return String.join("\n", lines);
    }

    @Override
    public void close() {
        descendants().forEach(ProcessHandle::destroyForcibly);
        process.destroyForcibly();
    }
}
