package org.ioasis.guest;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** {@code ./ioasis} as a user starts it, in a process of its own. One thread. */
final class Command implements AutoCloseable {
    private final Process process;
    private final BufferedReader output;
    private final List<String> lines = new ArrayList<>();

    /** Tests run in the folder of their module. */
    private static final Path LAUNCHER = Path.of("..", "ioasis").toAbsolutePath().normalize();

    Command(Map<String, String> environment, String... arguments) throws IOException {
        List<String> words = new ArrayList<>();
        // A test run in the background would hand down an ignored SIGINT, which a JVM then leaves
        // ignored.
        words.addAll(List.of("env", "--default-signal=INT", LAUNCHER.toString()));
        words.addAll(List.of(arguments));
        ProcessBuilder builder = new ProcessBuilder(words).redirectErrorStream(true);
        builder.environment().putAll(environment);
        // The test run has built what is tested; a build in the middle of it would change that.
        builder.environment().put("IOASIS_NO_BUILD", "1");
        process = builder.start();
        output = process.inputReader(StandardCharsets.UTF_8);
    }

    /** Reads on until a line has {@code text} in it. AssertionError with all output if none has. */
    void await(String text) throws IOException {
        for (String line = output.readLine(); line != null; line = output.readLine()) {
            lines.add(line);
            if (line.contains(text)) {
                return;
            }
        }
        throw new AssertionError("no line with \"" + text + "\" in:\n" + output());
    }

    /** Every process below this one now. */
    List<ProcessHandle> descendants() {
        try (Stream<ProcessHandle> below = process.descendants()) {
            return below.toList();
        }
    }

    /** Ctrl-C. */
    void interrupt() throws IOException, InterruptedException {
        int killed =
                new ProcessBuilder("kill", "-INT", Long.toString(process.pid())).start().waitFor();
        if (killed != 0) {
            throw new AssertionError("kill ended with " + killed);
        }
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
