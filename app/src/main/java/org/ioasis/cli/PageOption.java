// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.io.IOException;
import java.util.OptionalInt;
import org.ioasis.serve.Server;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** That what runs can be looked at in a browser. Main thread. */
final class PageOption {
    private static final int PORT_MAX = 65_535;

    @Option(
            names = "--page",
            paramLabel = "PORT",
            arity = "0..1",
            fallbackValue = "0",
            description = {
                "Show it as a page in a browser of this machine, at the address that is printed, which is a secret: who"
                        + " has it can plant failures too. Without PORT at one that is free."
            })
    private @Nullable Integer port;

    /**
     * Its port, 0 for a free one; empty if no page is wanted.
     *
     * @throws UsageException it is no port
     */
    OptionalInt chosen() {
        Integer given = port;
        if (given == null) {
            return OptionalInt.empty();
        }
        if (given < 0 || given > PORT_MAX) {
            throw new UsageException(
                    "--page: a port is 0 to %d, not %d".formatted(PORT_MAX, given));
        }
        return OptionalInt.of(given);
    }

    /**
     * Shows what is served from now on, if that is wanted.
     *
     * @throws IOException the port cannot be had: then the server has ended
     */
    void serve(Server server) throws IOException {
        OptionalInt wanted = chosen();
        if (wanted.isEmpty()) {
            return;
        }
        boolean isShown = false;
        try {
            String _ = server.servePage(wanted.getAsInt());
            isShown = true;
        } finally {
            if (!isShown) {
                server.close();
            }
        }
    }
}
