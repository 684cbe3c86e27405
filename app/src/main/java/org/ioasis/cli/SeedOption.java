// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** What the commands share that do something at random. Main thread. */
public final class SeedOption {
    @Option(
            names = "--seed",
            paramLabel = "N",
            converter = SeedConverter.class,
            description =
                    "Seed of what is random, as 0x1f or 31, to repeat a run (default: random).")
    private @Nullable Long seed;

    public boolean isGiven() {
        return seed != null;
    }

    /** The one that was given, or another. */
    public long or(LongSupplier random) {
        return seed != null ? seed : random.getAsLong();
    }
}
