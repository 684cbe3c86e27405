// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * What of this machine the search for a guest depends on: environment variables and the processor's
 * architecture in Java's words ({@code amd64}). Any thread.
 */
public record Host(Map<String, String> environment, String architecture) {
    /**
     * Variables that a child gets. Everything else of the user's environment (LD_PRELOAD, QEMU_*)
     * could change what a run does and stays out.
     */
    private static final String[] PASSED_ON = {
        "PATH",
        "HOME",
        "TMPDIR",
        "APT_CONFIG",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY"
    };

    public Host {
        environment = Map.copyOf(environment);
    }

    /** The machine and environment that this JVM runs in. */
    public static Host current() {
        return new Host(System.getenv(), System.getProperty("os.arch", "unknown"));
    }

    /** The value of an environment variable, or null when it is unset or empty. */
    public @Nullable String variable(String name) {
        String value = environment.get(name);
        return value == null || value.isEmpty() ? null : value;
    }

    /** The executable file that the PATH names for {@code program}. */
    public Optional<Path> program(String program) {
        String path = variable("PATH");
        if (path == null) {
            return Optional.empty();
        }
        for (String folder : path.split(":", -1)) {
            // A relative or empty entry would mean the current folder.
            if (folder.startsWith("/")) {
                Path file = Path.of(folder, program);
                if (Files.isRegularFile(file) && Files.isExecutable(file)) {
                    return Optional.of(file);
                }
            }
        }
        return Optional.empty();
    }

    /** The environment of a child process: the variables worth passing on, and English messages. */
    public Map<String, String> childEnvironment() {
        Map<String, String> child = new LinkedHashMap<>();
        for (String name : PASSED_ON) {
            String value = variable(name);
            if (value != null) {
                child.put(name, value);
            }
        }
        child.put("LC_ALL", "C.UTF-8");
        return child;
    }
}
