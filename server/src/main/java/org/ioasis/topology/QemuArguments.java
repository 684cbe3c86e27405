// SPDX-License-Identifier: Apache-2.0
package org.ioasis.topology;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The words by which a QEMU of one's own is told of what is served: 10.1 or newer, beside any
 * {@code -machine q35} or {@code pc}. Pure functions; any thread.
 */
public final class QemuArguments {
    private static final String MEMORY = "512M";

    /** Nobody else's: many command lines have an object "mem" already. */
    private static final String MEMORY_ID = "ioasis-mem";

    private static final int DEVICE_COUNT = 32;
    private static final int FUNCTION_COUNT = 8;

    private QemuArguments() {}

    /** A device that is served. */
    public interface Attached {
        /** Options of QEMU, each with its value behind it. */
        List<String> words();
    }

    /**
     * A PCI function of bus 0 that is served.
     *
     * @param device its slot, 0 to 31
     * @param function 0 to 7
     * @param socket where its server listens
     */
    public record Function(int device, int function, Path socket) implements Attached {
        public Function {
            if (device < 0
                    || device >= DEVICE_COUNT
                    || function < 0
                    || function >= FUNCTION_COUNT) {
                throw new IllegalArgumentException("no PCI address: " + device + "." + function);
            }
        }

        /** The value of {@code -device}: QEMU takes this device in its JSON form only. */
        public String json() {
            return "{\"driver\":\"vfio-user-pci\",\"addr\":\"%x.%x\",\"socket\":{\"type\":\"unix\",\"path\":%s}}"
                    .formatted(device, function, quotedJson(socket.toString()));
        }

        @Override
        public List<String> words() {
            return List.of("-device", new Function(device, function, absolute(socket)).json());
        }
    }

    /**
     * Options, each with its value behind it, in a form that no shell has touched.
     *
     * @param table the file that {@link Viot} made
     * @param functions the IOMMUs and what is behind them
     */
    public static List<String> of(Path table, List<? extends Attached> functions) {
        List<String> words = new ArrayList<>();
        // Without a type: QEMU puts this together with the -machine that stands there already.
        words.addAll(List.of("-machine", "memory-backend=" + MEMORY_ID, "-m", MEMORY));
        // Shared by descriptor: a vfio-user server reads and writes it directly.
        words.addAll(
                List.of(
                        "-object",
                        "memory-backend-memfd,id=%s,size=%s,share=on"
                                .formatted(MEMORY_ID, MEMORY)));
        words.addAll(List.of("-acpitable", "file=" + option(table)));
        functions.forEach(function -> words.addAll(function.words()));
        return words;
    }

    /** The same as lines for a POSIX shell, an option each: all but the last go on behind it. */
    public static List<String> lines(List<String> words) {
        List<String> lines = new ArrayList<>();
        for (int i = 0; i < words.size(); i += 2) {
            lines.add(
                    "  %s %s%s"
                            .formatted(
                                    words.get(i),
                                    quotedShell(words.get(i + 1)),
                                    i + 2 < words.size() ? " \\" : ""));
        }
        return lines;
    }

    /** In a list of options a comma is written twice. */
    static String option(Path path) {
        return absolute(path).toString().replace(",", ",,");
    }

    private static Path absolute(Path path) {
        return path.toAbsolutePath().normalize();
    }

    /** One word for a POSIX shell. */
    public static String quotedShell(String word) {
        return word.matches("[A-Za-z0-9_@%+=:,./-]+")
                ? word
                : "'" + word.replace("'", "'\\''") + "'";
    }

    /** Text as JSON, and TOML, write it. */
    public static String quotedJson(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '"' || c == '\\') {
                quoted.append('\\').append(c);
            } else if (c < 0x20) {
                quoted.append("\\u%04x".formatted((int) c));
            } else {
                quoted.append(c);
            }
        }
        return quoted.append('"').toString();
    }
}
