// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.ioasis.config.ServeConfig;
import org.ioasis.live.ControlClient;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** What the commands share that ask a running server. Main thread. */
abstract class AskCommand implements Callable<Integer> {
    private static final int UNAVAILABLE = 69;

    @Option(
            names = "--control",
            paramLabel = "SOCKET",
            defaultValue = ServeConfig.CONTROL_NAME,
            description = {
                "The server's control socket. `ioasis serve` makes it beside its first socket, as ${DEFAULT-VALUE}, or"
                        + " where its own --control says, and prints where it is (default: ${DEFAULT-VALUE} in the"
                        + " folder that you are in; no other is looked at)."
            })
    private Path control = Path.of(ServeConfig.CONTROL_NAME);

    /** What the server is asked, word by word. */
    abstract List<String> words();

    /** How long the answer may take. */
    int waitMillis() {
        return ControlClient.WAIT_MILLIS;
    }

    @Override
    public Integer call() {
        List<String> words = words();
        for (String word : words) {
            // The server takes a line of words with spaces between.
            if (word.isEmpty() || word.chars().anyMatch(Character::isWhitespace)) {
                throw new UsageException("not one word: \"%s\"".formatted(word));
            }
        }
        ControlClient.Answer answer;
        try {
            answer = ControlClient.ask(control, String.join(" ", words), waitMillis());
        } catch (ErrnoException e) {
            System.err.println(
                    e.errno() == Errno.ENOENT || e.errno() == Errno.ECONNREFUSED
                            ? "ioasis: no server has its control socket at %s; `ioasis serve` prints where it is, name it with --control"
                                    .formatted(control)
                            : "ioasis: %s does not answer: %s"
                                    .formatted(control, Errno.words(e.errno())));
            return UNAVAILABLE;
        } catch (IOException e) {
            System.err.println("ioasis: " + e.getMessage());
            return UNAVAILABLE;
        }
        if (answer.status() == 2) {
            System.err.print("ioasis: " + answer.text());
        } else {
            System.out.print(answer.text());
        }
        return answer.status();
    }

    /** What asks for something to be shown. */
    abstract static class Look extends AskCommand {
        private final String what;

        @Option(names = "--json", description = "As JSON, for scripts.")
        private boolean isJson;

        Look(String what) {
            this.what = what;
        }

        @Override
        final List<String> words() {
            return isJson ? List.of(what, "json") : List.of(what);
        }
    }

    /** {@code ioasis dump}. */
    @Command(
            name = "dump",
            description = {
                "Print the state of a running `ioasis serve`: sessions, drivers, domains, mappings, counters, faults."
            },
            mixinStandardHelpOptions = true,
            exitCodeListHeading = "%nExit codes:%n",
            exitCodeList = {"0:printed", "2:wrong arguments", "69:no server answers"})
    static final class Dump extends Look {
        Dump() {
            super("dump");
        }
    }

    /** {@code ioasis check}. */
    @Command(
            name = "check",
            description = {
                "Why is my device not translated? Look at a running `ioasis serve` and name the cause and what to do."
            },
            mixinStandardHelpOptions = true,
            exitCodeListHeading = "%nExit codes:%n",
            exitCodeList = {
                "0:every device is translated, or will be when it is used",
                "1:some device is not; each has a line with the cause",
                "2:wrong arguments",
                "69:no server answers"
            })
    static final class Check extends Look {
        Check() {
            super("check");
        }
    }

    /** {@code ioasis inject}. */
    @Command(
            name = "inject",
            description = {
                "Plant a failure in a running server, to see how a driver takes it.",
                "map_nomem N: the N-th MAP from now on is answered NOMEM. unmap_delay_ms T: each UNMAP is answered T ms"
                        + " late (0 ends it). drop_events N, double_events N: the next N events are lost, or come twice."
                        + " truncate_probe N: the next PROBE's answer ends after N bytes. none: take all back."
            },
            mixinStandardHelpOptions = true,
            exitCodeListHeading = "%nExit codes:%n",
            exitCodeList = {
                "0:planted",
                "1:the machine does not answer",
                "2:wrong arguments",
                "69:no server answers"
            })
    static final class Inject extends AskCommand {
        @Option(
                names = "--iommu",
                paramLabel = "MACHINE/IOMMU",
                defaultValue = "-",
                description = "Which one, if the server has several; `ioasis dump` names them.")
        private String iommu = "-";

        @Parameters(index = "0", paramLabel = "NAME", description = "What to plant: one of these.")
        private String name = "";

        @Parameters(
                index = "1",
                paramLabel = "VALUE",
                arity = "0..1",
                defaultValue = "0",
                description = "Its number, as 16 or 0x10; none has none.")
        private String value = "0";

        @Override
        List<String> words() {
            return List.of("inject", iommu, name, value);
        }
    }

    /** {@code ioasis rogue}. */
    @Command(
            name = "rogue",
            description = {
                "Make a rogue device of a running server access memory that its driver never gave it, to see what"
                        + " stops it.",
                "ADDRESS is where it begins, or FIRST-LAST (inclusive) for addresses by chance. Prints what became of"
                        + " the accesses."
            },
            mixinStandardHelpOptions = true,
            exitCodeListHeading = "%nExit codes:%n",
            exitCodeList = {
                "0:the accesses were tried",
                "1:the machine ended before",
                "2:wrong arguments",
                "69:no server answers"
            })
    static final class Rogue extends AskCommand {
        private static final String NO_STEP = "0";

        @Option(
                names = "--device",
                paramLabel = "MACHINE/DEVICE",
                defaultValue = "-",
                description = "Which one, if the server has several; `ioasis dump` names them.")
        private String device = "-";

        @Option(
                names = "--length",
                paramLabel = "BYTES",
                defaultValue = "64",
                description = "Of each access, 1 to 1048576 (default: ${DEFAULT-VALUE}).")
        private String length = "64";

        @Option(
                names = "--count",
                paramLabel = "N",
                defaultValue = "1",
                description = "How many accesses, 1 to 100000000 (default: ${DEFAULT-VALUE}).")
        private String count = "1";

        @Option(
                names = "--step",
                paramLabel = "BYTES",
                defaultValue = NO_STEP,
                description = {
                    "From one address to the next, if ADDRESS is a single one (default: ${DEFAULT-VALUE})."
                })
        private String step = NO_STEP;

        @Parameters(index = "0", paramLabel = "read|write", description = "What it does.")
        private String access = "";

        @Parameters(
                index = "1",
                paramLabel = "ADDRESS",
                description = "Where, as 0x10000000 or 0x0-0xffffffff.")
        private String address = "";

        @Override
        List<String> words() {
            int dash = address.indexOf('-');
            if (dash < 0) {
                return List.of("rogue", device, access, "stride", address, step, length, count);
            }
            if (dash == 0 || dash == address.length() - 1) {
                throw new UsageException(
                        "ADDRESS must be FIRST or FIRST-LAST, not \"%s\"".formatted(address));
            }
            if (!step.equals(NO_STEP)) {
                throw new UsageException("--step is for a single ADDRESS, not for " + address);
            }
            String first = address.substring(0, dash);
            String last = address.substring(dash + 1);
            return List.of("rogue", device, access, "scatter", first, last, length, count);
        }

        @Override
        int waitMillis() {
            return ControlClient.WAIT_FOREVER;
        }
    }
}
