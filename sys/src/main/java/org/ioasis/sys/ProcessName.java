// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Pattern;

/** How another process is named in messages. Any thread. */
public final class ProcessName {
    /**
     * What a process can put into its name to end the line that it is in, or to make a terminal do
     * something.
     */
    private static final Pattern NOT_PRINTED = Pattern.compile("[\\p{C}\\p{Zl}\\p{Zp}]");

    private ProcessName() {}

    /** {@code process 12 (name)}, or without the name if /proc does not tell it (any more). */
    public static String of(long pid) {
        try {
            String name = Files.readString(Path.of("/proc", Long.toString(pid), "comm")).strip();
            return "process %d (%s)".formatted(pid, NOT_PRINTED.matcher(name).replaceAll("?"));
        } catch (IOException e) {
            return "process " + pid;
        }
    }
}
