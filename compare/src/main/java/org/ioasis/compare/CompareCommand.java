// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.io.IOException;
import java.security.SecureRandom;
import org.ioasis.cli.JsonOption;
import org.ioasis.cli.SeedOption;
import org.ioasis.cli.Subcommand;
import org.ioasis.cli.UsageException;
import org.ioasis.compare.tables.TablesCommand;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.output.OutputKind;
import org.ioasis.run.Progress;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code ioasis compare}: the same requests to QEMU's virtio-iommu and to ours. Main thread. */
@Command(
        name = "compare",
        description = {
            "Ask QEMU's own virtio-iommu and ours the same random requests, without a guest, and print a table of what"
                    + " differs and why (docs/compare.md).",
            "QEMU 10.1 or newer is taken from the PATH, or fetched from Debian into the user's cache folder."
        },
        mixinStandardHelpOptions = true,
        subcommands = TablesCommand.class,
        exitCodeListHeading = "%nExit codes:%n",
        exitCodeList = {
            "0:every difference has a reason",
            "1:some difference has none, or a device does not go on",
            "2:wrong arguments",
            "69:something that this machine must have is missing"
        })
public final class CompareCommand implements Subcommand {
    @Option(
            names = "--requests",
            paramLabel = "N",
            defaultValue = "20000",
            description = {
                "Requests to each device (default: ${DEFAULT-VALUE}). With the --seed of an example and one more than its"
                        + " number, the example is the last."
            })
    private long requests = 20_000;

    @Mixin private final SeedOption seed = new SeedOption();

    @Option(
            names = "--steps",
            paramLabel = "SETUP:LIST",
            description =
                    "In the place of --requests: the steps of a seed that a failed run named, as 1:0,5-9.")
    private @Nullable String steps;

    @Mixin private final JsonOption json = new JsonOption();

    @Override
    public Integer call() throws UnavailableException, IOException, InterruptedException {
        if (requests < 1) {
            throw new UsageException("--requests must be at least 1, not " + requests);
        }
        // Short, since every example of the table names it.
        long chosen = seed.or(() -> new SecureRandom().nextInt() & 0xffff_ffffL);
        json.check(OutputKind.COMPARISON);
        ComparisonReport found = comparison(chosen).run();
        System.out.print(found.text());
        json.write(OutputKind.COMPARISON, found.json());
        return found.isOk() ? 0 : 1;
    }

    private Comparison comparison(long chosen) {
        if (steps == null) {
            return new Comparison(requests, chosen, Host.current(), Progress.standard());
        }
        if (!seed.isGiven()) {
            throw new UsageException("--steps needs the --seed that it is about");
        }
        Selection only =
                Selection.parse(steps)
                        .orElseThrow(() ->
                                new UsageException(
                                        "--steps is SETUP:LIST with ascending numbers, as 1:0,5-9, not "
                                                + steps));
        return new Comparison(chosen, only, Host.current(), Progress.standard());
    }
}
