// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.io.IOException;
import java.nio.file.Path;
import org.ioasis.live.TraceConfig;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** What the commands share that can write a trace. Main thread. */
final class TraceOptions {
    @Option(
            names = "--trace",
            paramLabel = "FILE",
            description =
                    "Write each request, answer, fault and event there, one line each, behind an earlier trace.")
    private @Nullable Path file;

    /** How a trace is written. */
    enum Format {
        text,
        json
    }

    @Option(
            names = "--trace-format",
            paramLabel = "FORMAT",
            defaultValue = "text",
            description =
                    "${COMPLETION-CANDIDATES}; json is one object per line (default: ${DEFAULT-VALUE}).")
    private Format format = Format.text;

    @Option(
            names = "--trace-limit",
            paramLabel = "MIB",
            defaultValue = "" + TraceConfig.LIMIT_MIB,
            description = {
                "The trace's file does not become larger; what comes after that is counted"
                        + " (default: ${DEFAULT-VALUE})."
            })
    private int limit = TraceConfig.LIMIT_MIB;

    /**
     * The trace that is wanted, or null.
     *
     * @throws UsageException it cannot be written so, or would replace what is no trace
     */
    @Nullable TraceConfig chosen() throws IOException {
        if (limit < 1 || limit > TraceConfig.LIMIT_MIB_MAX) {
            throw new UsageException(
                    "--trace-limit must be 1 to %d MiB, not %d"
                            .formatted(TraceConfig.LIMIT_MIB_MAX, limit));
        }
        Path wanted = file;
        if (wanted == null) {
            return null;
        }
        TraceConfig chosen = TraceConfig.of(wanted, format == Format.json, limit);
        Outputs.check("--trace", wanted, chosen.kind());
        return chosen;
    }
}
