// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.ioasis.sys.Errno;

/**
 * What a device server is told of memory that it reaches by messages alone: one region without a
 * descriptor, as large as it takes. Loop thread.
 */
final class ToldReach {
    /**
     * Sizes of the region, the largest first: all addresses that there are, but for the last page,
     * since their number is none of 64 bits; and what servers take that have a limit.
     */
    private static final long[] SIZES = {-Codec.PAGE_SIZE, 1L << 52, 1L << 48, 1L << 43, 1L << 39};

    private final Consumer<Command> server;
    private final BooleanSupplier isThere;
    private final Consumer<String> lost;
    private long bytes;

    /**
     * @param server takes commands for the server
     * @param isThere whether there is one: without it commands fail, and nothing is meant by that
     * @param lost the server cannot go on, for that reason
     */
    ToldReach(Consumer<Command> server, BooleanSupplier isThere, Consumer<String> lost) {
        this.server = server;
        this.isThere = isThere;
        this.lost = lost;
    }

    /** Tells the server, which knows nothing yet. */
    void tell() {
        tell(0);
    }

    private void tell(int attempt) {
        server.accept(
                Command.map(
                        SIZES[attempt],
                        (errno, _, _) -> {
                            if (errno == 0) {
                                bytes = SIZES[attempt];
                            } else if (isThere.getAsBoolean() && attempt + 1 < SIZES.length) {
                                tell(attempt + 1);
                            } else if (isThere.getAsBoolean()) {
                                lost.accept(
                                        "it takes no memory that is reached by messages (%s): a server that must map"
                                                        .formatted(Errno.name(errno))
                                                + " memory cannot be served");
                            }
                        }));
    }

    /** Addresses that a server has taken, from 0 on; unsigned, and 0 before the first has. */
    long bytes() {
        return bytes;
    }
}
