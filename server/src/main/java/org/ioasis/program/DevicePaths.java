// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * Which path a system call of a program means, as far as that could be one of ours. Links are not
 * followed: a program that names the device by a link of its own finds what the kernel has there.
 * Supervisor's thread.
 */
final class DevicePaths {
    /** Longest path that we have something for; longer ones are the kernel's without a look. */
    private static final int LONGEST = 256;

    private static final int AT_FDCWD = -100;

    private final MemorySegment text = Arena.ofAuto().allocate(LONGEST);

    /**
     * The absolute path; null if it is too long, cannot be read, or does not end in {@code
     * lastPart} while it is relative.
     *
     * @param folder descriptor that a relative path starts at, or AT_FDCWD
     * @param lastPart the only last part of a relative path that is worth to be looked at
     */
    @Nullable String of(TaskCaller caller, int folder, long address, String lastPart) {
        int length = caller.readString(address, text);
        if (length < 0) {
            return null;
        }
        String path =
                new String(
                        text.asSlice(0, length).toArray(java.lang.foreign.ValueLayout.JAVA_BYTE),
                        ISO_8859_1);
        if (path.startsWith("/")) {
            return normal(path);
        }
        if (!path.equals(lastPart) && !path.endsWith("/" + lastPart)) {
            return null;
        }
        String start = "/proc/" + caller.thread() + (folder == AT_FDCWD ? "/cwd" : "/fd/" + folder);
        try {
            return normal(Files.readSymbolicLink(Path.of(start)) + "/" + path);
        } catch (IOException e) {
            return null;
        }
    }

    private static String normal(String path) {
        return path.contains("//") || path.contains("/.") || path.endsWith("/")
                ? Path.of(path).normalize().toString()
                : path;
    }
}
