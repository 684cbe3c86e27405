// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.io.IOException;
import java.nio.file.Path;
import org.ioasis.output.OutputKind;
import org.ioasis.record.RecordConfig;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** What the commands share that can record. Main thread. */
final class RecordOptions {
    @Option(
            names = "--record",
            paramLabel = "FILE",
            description = {
                "Record each request, access and fault there, as Parquet, for `ioasis trace info` and `ioasis replay`"
                        + " (docs/recording.md). An earlier recording is replaced."
            })
    private @Nullable Path file;

    @Option(
            names = "--record-limit",
            paramLabel = "MIB",
            defaultValue = "" + RecordConfig.LIMIT_MIB,
            description = {
                "The recording does not become larger; what comes after that is counted"
                        + " (default: ${DEFAULT-VALUE})."
            })
    private int limit = RecordConfig.LIMIT_MIB;

    /**
     * The recording that is wanted, or null.
     *
     * @param command that records
     * @throws UsageException it cannot be written so, or would replace what is no recording
     */
    @Nullable RecordConfig chosen(String command) throws IOException {
        if (limit < 1 || limit > RecordConfig.LIMIT_MIB_MAX) {
            throw new UsageException(
                    "--record-limit must be 1 to %d MiB, not %d"
                            .formatted(RecordConfig.LIMIT_MIB_MAX, limit));
        }
        Path wanted = file;
        if (wanted == null) {
            return null;
        }
        Outputs.check("--record", wanted, OutputKind.RECORDING);
        return RecordConfig.of(wanted, limit, "ioasis " + command);
    }
}
