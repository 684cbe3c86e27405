// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.nio.file.Files;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** Files that options name for what a command writes. Main thread. */
public final class OutputFile {
    private OutputFile() {}

    /**
     * Refuses a file that cannot be made, before the work is done whose result it is to hold.
     *
     * @param option that names it
     * @param file null if the option is not there
     */
    public static void check(String option, @Nullable Path file) {
        if (file == null) {
            return;
        }
        Path folder = file.toAbsolutePath().getParent();
        if (folder == null || !Files.isDirectory(folder)) {
            throw new UsageException("%s: there is no folder for %s".formatted(option, file));
        }
        if (Files.isDirectory(file)) {
            throw new UsageException("%s: %s is a folder".formatted(option, file));
        }
        if (!Files.isWritable(Files.exists(file) ? file : folder)) {
            throw new UsageException("%s: no permission to write %s".formatted(option, file));
        }
    }
}
