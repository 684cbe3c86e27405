// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * A C program of the tests, compiled by the machine's own compiler: a prerequisite of these tests.
 */
public final class CompiledProgram {
    private final Path binary;
    private final Path output;

    /** Compiles a source of the test's resources. */
    CompiledProgram(Path folder, String source) throws Exception {
        this(folder, copied(folder, source));
    }

    private static Path copied(Path folder, String source) throws IOException {
        Path text = folder.resolve(source);
        try (InputStream in =
                Objects.requireNonNull(CompiledProgram.class.getResourceAsStream(source))) {
            Files.copy(in, text);
        }
        return text;
    }

    /** Compiles a source, with what comes of it in {@code folder}. */
    public CompiledProgram(Path folder, Path text) throws Exception {
        String source = text.getFileName().toString();
        binary = folder.resolve(source.replace(".c", ""));
        output = folder.resolve("output");
        Process compiler;
        try {
            compiler =
                    new ProcessBuilder(
                                    "cc",
                                    "-O1",
                                    "-pthread",
                                    "-o",
                                    binary.toString(),
                                    text.toString())
                            .redirectErrorStream(true)
                            .start();
        } catch (IOException e) {
            throw new AssertionError(
                    "the tests need a C compiler: cc on the PATH (on Debian the package gcc)", e);
        }
        String said = new String(compiler.getInputStream().readAllBytes(), UTF_8);
        if (compiler.waitFor() != 0) {
            throw new AssertionError("cc cannot compile " + source + ":\n" + said);
        }
    }

    /** Where it is. */
    public Path path() {
        return binary;
    }

    /** A command that runs it with its standard output in a file of ours. */
    List<byte[]> command(String... arguments) {
        List<String> words =
                new ArrayList<>(
                        List.of("sh", "-c", "exec \"$0\" \"$@\" >" + output, binary.toString()));
        words.addAll(List.of(arguments));
        return words.stream().map(w -> w.getBytes(UTF_8)).toList();
    }

    /** What it wrote. */
    List<String> output() throws IOException {
        return Files.readAllLines(output);
    }
}
