// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.ioasis.output.OutputFile;
import org.ioasis.output.OutputKind;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** What the commands share whose report can be had as JSON beside. Main thread. */
public final class JsonOption {
    @Option(
            names = "--json",
            paramLabel = "FILE",
            description = "Write the report to FILE as JSON too.")
    private @Nullable Path file;

    public boolean isGiven() {
        return file != null;
    }

    /** Before the work is done: {@link Outputs#check}. */
    public void check(OutputKind kind) throws IOException {
        Outputs.check("--json", file, kind);
    }

    /** Writes the report, if it is wanted. */
    public void write(OutputKind kind, String report) throws IOException {
        if (file != null) {
            OutputFile.write(file, kind, report.getBytes(StandardCharsets.UTF_8));
        }
    }
}
