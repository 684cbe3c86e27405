// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A QEMU that can be started: the first words of its command line, the variables that it needs
 * beside the usual ones, and its version ("11.1.3"). Any thread.
 */
public record Qemu(List<String> command, Map<String, String> environment, String version) {
    /** The device that speaks vfio-user to us, since QEMU 10.1. */
    static final String DEVICE = "vfio-user-pci";

    static final String PROGRAM = "qemu-system-x86_64";

    /** The one that plays 64-bit ARM. */
    static final String ARM_PROGRAM = "qemu-system-aarch64";

    private static final int MAJOR = 10;
    private static final int MINOR = 1;
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final Pattern VERSION =
            Pattern.compile("QEMU emulator version (\\d{1,4})\\.(\\d{1,4})(\\.\\d{1,4})?.*");
    private static final Pattern NAMED_DEVICE =
            Pattern.compile("name \"" + Pattern.quote(DEVICE) + "\".*");

    public Qemu {
        command = List.copyOf(command);
        environment = Map.copyOf(environment);
    }

    /** What a program says about itself: usable, or why it is not. */
    sealed interface Answer {
        record Usable(Qemu qemu) implements Answer {}

        record Refused(String reason) implements Answer {}
    }

    /** Asks the program for its version and its devices. */
    static Answer ask(
            List<String> command, Map<String, String> environment, Host host, Cleanup cleanup)
            throws IOException, InterruptedException {
        Map<String, String> full = new LinkedHashMap<>(host.childEnvironment());
        full.putAll(environment);
        List<String> lines = new ArrayList<>();
        Tool.Result result;
        try {
            result = run(command, "-version", full, cleanup, lines);
        } catch (IOException e) {
            return new Answer.Refused("cannot be started: " + e.getMessage());
        }
        Optional<Matcher> version =
                lines.stream().map(VERSION::matcher).filter(Matcher::matches).findFirst();
        if (!result.isSuccess() || version.isEmpty()) {
            return new Answer.Refused("does not tell its version:\n" + result.explanation());
        }
        Matcher numbers = version.get();
        int major = Integer.parseInt(numbers.group(1));
        int minor = Integer.parseInt(numbers.group(2));
        String text = major + "." + minor + (numbers.group(3) == null ? "" : numbers.group(3));
        if (major < MAJOR || (major == MAJOR && minor < MINOR)) {
            return new Answer.Refused(
                    "is version " + text + ", but " + MAJOR + "." + MINOR + " is needed");
        }
        lines.clear();
        result = run(with(command, "-device"), "help", full, cleanup, lines);
        boolean hasDevice = lines.stream().anyMatch(l -> NAMED_DEVICE.matcher(l).matches());
        if (!result.isSuccess() || !hasDevice) {
            return new Answer.Refused("version " + text + " has no device " + DEVICE);
        }
        return new Answer.Usable(new Qemu(command, environment, text));
    }

    private static Tool.Result run(
            List<String> command,
            String last,
            Map<String, String> environment,
            Cleanup cleanup,
            List<String> lines)
            throws IOException, InterruptedException {
        return Tool.run(cleanup, with(command, last), environment, Path.of("/"), LIMIT, lines::add);
    }

    private static List<String> with(List<String> command, String last) {
        List<String> longer = new ArrayList<>(command);
        longer.add(last);
        return longer;
    }

    /**
     * The first words for a QEMU that was unpacked below {@code root} and not installed: its own
     * loader and libraries, its own firmware.
     *
     * @param program one of those that are in it
     */
    static List<String> unpackedCommand(Path root, String program) {
        return List.of(
                root.resolve("usr/lib64/ld-linux-x86-64.so.2").toString(),
                "--library-path",
                root.resolve("usr/lib/x86_64-linux-gnu").toString(),
                root.resolve("usr/bin").resolve(program).toString(),
                "-L",
                root.resolve("usr/share/qemu").toString(),
                "-L",
                root.resolve("usr/share/seabios").toString());
    }

    /** Its loadable modules (the TCG accelerator among them) are not where it was built for. */
    static Map<String, String> unpackedEnvironment(Path root) {
        return Map.of("QEMU_MODULE_DIR", root.resolve("usr/lib/x86_64-linux-gnu/qemu").toString());
    }
}
