// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.stream.Stream;

/** A command as a user starts it, mostly {@code ./ioasis}, in a process of its own. One thread. */
final class Command implements AutoCloseable {
    private final Process process;
    private final BufferedReader output;
    private final List<String> lines = new ArrayList<>();

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
        output = process.inputReader(StandardCharsets.UTF_8);
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
    void await(String text) throws IOException {
        await("with \"" + text + "\"", line -> line.contains(text));
    }

    /**
     * Reads on until a line is the {@code wanted} one. AssertionError with all output if none is.
     */
    void await(String what, Predicate<String> wanted) throws IOException {
        for (String line = output.readLine(); line != null; line = output.readLine()) {
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
    int end() throws IOException, InterruptedException {
        for (String line = output.readLine(); line != null; line = output.readLine()) {
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
