// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.guest;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.ioasis.cli.JsonOption;
import org.ioasis.cli.Subcommand;
import org.ioasis.cli.UsageException;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.output.OutputKind;
import org.ioasis.run.Progress;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * {@code ioasis bench}, of which only {@code guest} is here: the launcher runs the rest, which
 * needs the source tree, and lists it. Main thread.
 */
@Command(
        name = "bench",
        description = "Measure a guest's disk.",
        hidden = true,
        mixinStandardHelpOptions = true,
        subcommands = BenchCommand.Guest.class)
public final class BenchCommand implements Subcommand {
    @Override
    public Integer call() {
        throw new UsageException("bench what: guest");
    }

    /** {@code ioasis bench guest}. */
    @Command(
            name = "guest",
            description = {
                "Measure a guest's disk behind QEMU's own virtio-iommu and behind ours, in turn, and print I/Os per"
                        + " second, ratios and what each I/O costs us.",
                "fio in the guest is Debian's; it is fetched into the user's cache folder, as QEMU and the kernel are."
            },
            mixinStandardHelpOptions = true,
            exitCodeListHeading = "%nExit codes:%n",
            exitCodeList = {
                "0:measured, and all data was what it should be",
                "1:a guest did not end well, or its data was wrong",
                "2:wrong arguments",
                "69:something that this machine must have is missing"
            })
    static final class Guest implements Callable<Integer> {
        private static final String CELLS = "rr1, rr16, rw1, rw16, sr, sw";

        @Option(
                names = "--rounds",
                paramLabel = "N",
                defaultValue = "5",
                description = "Boots of each; medians are printed (default: ${DEFAULT-VALUE}).")
        private int rounds = 5;

        @Option(
                names = "--seconds",
                paramLabel = "N",
                defaultValue = "2",
                description = "For each cell of a boot (default: ${DEFAULT-VALUE}).")
        private int seconds = 2;

        @Option(
                names = "--cell",
                paramLabel = "NAME",
                description =
                        "Only this kind of I/O; repeatable. rr1, rr16, rw1, rw16: random reads and writes of 4 KiB, 1 or"
                                + " 16 at a time; sr, sw: sequential ones of 64 KiB, 4 at a time.")
        private List<String> cells = List.of();

        @Option(
                names = "--mode",
                paramLabel = "lazy|strict",
                description = "Only this mode of Linux; repeatable.")
        private List<String> modes = List.of();

        @Option(
                names = "--subject",
                paramLabel = "qemu|ours|with|iommufd|type1",
                description =
                        "Only these devices; repeatable (default: qemu and ours). iommufd, type1: our disk, assigned to"
                                + " the guest by that interface, with no IOMMU in the guest, beside ours. with: ours and"
                                + " --with.")
        private List<String> subjects = List.of();

        @Option(
                names = "--processors",
                paramLabel = "N",
                defaultValue = "1",
                description = "Of the guest (default: ${DEFAULT-VALUE}).")
        private int processors = 1;

        @Option(
                names = "--with",
                paramLabel = "WORDS",
                description =
                        "For --subject with: further options of `ioasis serve`, as --with '--record FILE', to see what"
                                + " they cost beside --subject ours.")
        private @Nullable String with;

        @Option(
                names = "--poll-us",
                paramLabel = "N",
                description = "The server's poll_us, instead of its default.")
        private @Nullable Long pollMicros;

        @Mixin private final JsonOption json = new JsonOption();

        /** Given by the launcher. */
        @Option(names = "--launcher", paramLabel = "FILE", hidden = true)
        private @Nullable Path launcher;

        @Override
        public Integer call() throws UnavailableException, IOException, InterruptedException {
            atLeastOne("--rounds", rounds);
            atLeastOne("--seconds", seconds);
            atLeastOne("--processors", processors);
            GuestBench.Options options =
                    new GuestBench.Options(
                            rounds,
                            seconds,
                            processors,
                            chosenCells(),
                            chosen("--mode", modes, GuestBench.Mode.values()),
                            subjects.isEmpty()
                                    ? GuestBench.Subject.BY_DEFAULT
                                    : chosen("--subject", subjects, GuestBench.Subject.values()),
                            Optional.ofNullable(pollMicros),
                            with == null ? List.of() : List.of(with.strip().split("\\s+", -1)));
            if (options.subjects().contains(GuestBench.Subject.WITH) != (with != null)) {
                throw new UsageException("--with and --subject with belong together");
            }
            Path server = launcher;
            if (server == null) {
                throw new UnavailableException(
                        "the server is started by the launcher: call this as ./ioasis bench guest");
            }
            json.check(OutputKind.GUEST_BENCH);
            GuestBenchReport report =
                    GuestBench.run(options, server, Host.current(), Progress.standard());
            System.out.print(report.table());
            json.write(OutputKind.GUEST_BENCH, report.json());
            return 0;
        }

        private static void atLeastOne(String option, int value) {
            if (value < 1) {
                throw new UsageException(option + " must be at least 1, not " + value);
            }
        }

        private List<FioCell> chosenCells() {
            if (cells.isEmpty()) {
                return FioCell.ALL;
            }
            List<FioCell> chosen = new ArrayList<>();
            for (String name : cells) {
                chosen.add(
                        FioCell.named(name)
                                .orElseThrow(() ->
                                        new UsageException(
                                                "--cell is one of %s, not %s"
                                                        .formatted(CELLS, name))));
            }
            return chosen;
        }

        private static <E extends Enum<E>> List<E> chosen(
                String option, List<String> given, E[] all) {
            if (given.isEmpty()) {
                return List.of(all);
            }
            List<E> chosen = new ArrayList<>();
            for (String name : given) {
                chosen.add(
                        Arrays.stream(all)
                                .filter(one -> one.name().toLowerCase(Locale.ROOT).equals(name))
                                .findFirst()
                                .orElseThrow(() ->
                                        new UsageException(
                                                "%s is %s, not %s"
                                                        .formatted(option, names(all), name))));
            }
            return chosen;
        }

        private static String names(Enum<?>[] all) {
            List<String> names = new ArrayList<>();
            for (Enum<?> one : all) {
                names.add(one.name().toLowerCase(Locale.ROOT));
            }
            return String.join(" or ", names);
        }
    }
}
