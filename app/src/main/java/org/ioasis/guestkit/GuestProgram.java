// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * A program of Debian's for a guest's initramfs, with its loader and its libraries. Any thread.
 *
 * @param files by their path in the guest, without a slash in front; the program is below {@code
 *     bin}
 */
public record GuestProgram(SequencedMap<String, Path> files) {
    private static final String LOADER = "ld-linux-x86-64.so.2";
    private static final String LIBRARIES = "lib/x86_64-linux-gnu";
    private static final Duration LIMIT = Duration.ofSeconds(30);

    /** A line of the loader's {@code --list} (ld.so(8)). */
    private static final Pattern FOUND =
            Pattern.compile("\\s*([^\\s/]+) => (/.+) \\(0x[0-9a-f]+\\)");

    private static final Pattern MISSING = Pattern.compile("\\s*(\\S+) => not found.*");

    public GuestProgram {
        files = Collections.unmodifiableSequencedMap(new LinkedHashMap<>(files));
    }

    /**
     * A program among packages that were unpacked below {@code root}.
     *
     * @param program path below it
     * @throws IOException it, or a library that it needs, is not there
     */
    static GuestProgram below(Path root, String program, Host host, Cleanup cleanup)
            throws IOException, InterruptedException {
        Path loader = root.resolve("usr/lib64").resolve(LOADER);
        Path libraries = root.resolve("usr").resolve(LIBRARIES);
        Path file = root.resolve(program);
        List<String> lines = new ArrayList<>();
        Tool.Result result =
                Tool.run(
                        cleanup,
                        List.of(
                                loader.toString(),
                                "--library-path",
                                searchPath(libraries),
                                "--list",
                                file.toString()),
                        host.childEnvironment(),
                        Path.of("/"),
                        LIMIT,
                        lines::add);
        if (!result.isSuccess()) {
            throw new IOException("%s cannot be loaded:%n%s".formatted(file, result.explanation()));
        }
        SequencedMap<String, Path> files = new LinkedHashMap<>();
        files.put("bin/" + file.getFileName(), file);
        files.put("lib64/" + LOADER, loader);
        files.putAll(libraries(lines, file));
        return new GuestProgram(files);
    }

    /** How it is started here: with its own loader, whatever libraries this machine has. */
    public List<String> command() {
        String folders =
                files.entrySet().stream()
                        .filter(one -> one.getKey().startsWith(LIBRARIES))
                        .map(one -> one.getValue().resolveSibling("").toString())
                        .distinct()
                        .collect(Collectors.joining(":"));
        Path loader = files.get("lib64/" + LOADER);
        Path program = files.firstEntry().getValue();
        if (loader == null) {
            throw new IllegalStateException(program + " has no loader");
        }
        return List.of(loader.toString(), "--library-path", folders, program.toString());
    }

    /** Some packages keep their libraries in a folder of their own. */
    private static String searchPath(Path libraries) throws IOException {
        try (Stream<Path> below = Files.list(libraries)) {
            return Stream.concat(Stream.of(libraries), below.filter(Files::isDirectory).sorted())
                    .map(Path::toString)
                    .collect(Collectors.joining(":"));
        }
    }

    /** What the loader has found, by its path in the guest. */
    static Map<String, Path> libraries(List<String> lines, Path program) throws IOException {
        Map<String, Path> libraries = new LinkedHashMap<>();
        for (String line : lines) {
            Matcher missing = MISSING.matcher(line);
            if (missing.matches()) {
                throw new IOException(program + " needs " + missing.group(1));
            }
            Matcher found = FOUND.matcher(line);
            if (found.matches() && !found.group(1).equals(LOADER)) {
                libraries.put(LIBRARIES + "/" + found.group(1), Path.of(found.group(2)));
            }
        }
        return libraries;
    }
}
