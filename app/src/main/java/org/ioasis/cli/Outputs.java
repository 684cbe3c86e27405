// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.io.IOException;
import java.nio.file.Path;
import org.ioasis.output.OutputFile;
import org.ioasis.output.OutputKind;
import org.jspecify.annotations.Nullable;

/** Options that name a file for what a command writes. Main thread. */
final class Outputs {
    private Outputs() {}

    /**
     * Refuses a file that cannot be made, or that is not ours to replace, before the work is done
     * whose result it is to hold.
     *
     * @param option that names it
     * @param file null if the option is not there
     */
    static void check(String option, @Nullable Path file, OutputKind kind) throws IOException {
        String refusal = file == null ? null : OutputFile.refusal(file, kind);
        if (refusal != null) {
            throw new UsageException(option + ": " + refusal);
        }
    }
}
