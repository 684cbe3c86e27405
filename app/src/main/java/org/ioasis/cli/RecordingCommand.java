// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.ioasis.record.RecordJson;
import org.ioasis.record.Replay;
import org.ioasis.record.Summary;
import org.ioasis.record.SummaryText;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** What is done with a recording that is there. Main thread. */
abstract class RecordingCommand implements Callable<Integer> {
    /** Set by picocli before anything is called. */
    @SuppressWarnings("NullAway.Init")
    @Parameters(
            paramLabel = "FILE",
            description = "A recording: what --record of `ioasis vm` or `serve` wrote.")
    private Path file;

    @Option(names = "--json", description = "As JSON, for scripts.")
    private boolean isJson;

    final Path file() {
        return file;
    }

    final boolean isJson() {
        return isJson;
    }

    /** {@code ioasis trace}. */
    @Command(
            name = "trace",
            description = "Look at a recording.",
            mixinStandardHelpOptions = true,
            synopsisSubcommandLabel = "info",
            subcommands = Info.class)
    static final class Trace implements Callable<Integer> {
        @Override
        public Integer call() {
            throw new UsageException("trace what: `ioasis trace info FILE`");
        }
    }

    /** {@code ioasis trace info}. */
    @Command(
            name = "info",
            description = {
                "Print what is in a recording: rows by what they tell of, endpoints, mappings by size, and how requests,"
                        + " accesses and faults went over time."
            },
            mixinStandardHelpOptions = true,
            exitCodeListHeading = "%nExit codes:%n",
            exitCodeList = {
                "0:printed",
                "1:FILE cannot be read, or is no recording",
                "2:wrong arguments"
            })
    static final class Info extends RecordingCommand {
        @Override
        public Integer call() throws IOException {
            Summary summary = Summary.of(file());
            System.out.print(isJson() ? RecordJson.of(summary) : SummaryText.of(summary));
            return 0;
        }
    }

    /** {@code ioasis replay}. */
    @Command(
            name = "replay",
            description = {
                "Put a recording through the engine once more and check that every answer is as recorded: of requests"
                        + " their status and why, of accesses where they led, of faults their reason. Prints the first"
                        + " difference and the rows around it."
            },
            mixinStandardHelpOptions = true,
            exitCodeListHeading = "%nExit codes:%n",
            exitCodeList = {
                "0:every answer is as recorded",
                "1:one is not, or rows are missing; or FILE cannot be read, or is no recording",
                "2:wrong arguments"
            })
    static final class Again extends RecordingCommand {
        @Override
        public Integer call() throws IOException {
            Replay.Result result = Replay.of(file());
            System.out.print(isJson() ? RecordJson.of(result) : text(result));
            return result.isExact() ? 0 : 1;
        }

        private String text(Replay.Result result) {
            StringBuilder text = new StringBuilder();
            text.append(
                    String.format(
                            Locale.ROOT,
                            "%s: %,d rows; as recorded are %,d requests, %,d accesses and %,d faults%n",
                            file(),
                            result.rows(),
                            result.requests(),
                            result.accesses(),
                            result.faults()));
            if (result.elsewhere() > 0) {
                text.append(
                        String.format(
                                Locale.ROOT,
                                "%,d more were not answered by the engine: malformed, planted, a listener's, or of a PASID%n",
                                result.elsewhere()));
            }
            if (result.lostAt() >= 0) {
                text.append(
                        "at row %d rows are missing: what follows cannot be compared%n"
                                .formatted(result.lostAt()));
            }
            Replay.Difference difference = result.difference();
            if (difference != null) {
                text.append(
                        "row %d differs%n  recorded: %s%n  replayed: %s%n"
                                .formatted(
                                        difference.sequence(),
                                        difference.recorded(),
                                        difference.replayed()));
                difference.around().forEach(row -> text.append("    ").append(row).append('\n'));
            }
            return text.toString();
        }
    }
}
