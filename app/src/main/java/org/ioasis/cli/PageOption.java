// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.io.IOException;
import java.util.OptionalInt;
import org.ioasis.serve.Server;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** That what runs can be looked at in a browser. Main thread. */
final class PageOption {
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
        return LoopbackPort.of("--page", port);
    }

    /**
     * Shows what is served from now on, if that is wanted.
     *
     * @throws IOException the port cannot be had: then the server has ended
     */
    void serve(Server server) throws IOException {
        LoopbackPort.serve(
                server,
                chosen(),
                free -> {
                    String _ = server.servePage(free);
                });
    }
}
