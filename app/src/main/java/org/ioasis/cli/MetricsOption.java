// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.io.IOException;
import java.util.OptionalInt;
import org.ioasis.serve.Server;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** That what is counted can be scraped. Main thread. */
final class MetricsOption {
    @Option(
            names = "--metrics",
            paramLabel = "PORT",
            arity = "0..1",
            fallbackValue = "0",
            description = {
                "Answer Prometheus on this machine's loopback interface, at the address that is printed. Without PORT at"
                        + " one that is free. docs/monitoring has what is exposed, a dashboard and alert rules."
            })
    private @Nullable Integer port;

    /**
     * Its port, 0 for a free one; empty if no metrics are wanted.
     *
     * @throws UsageException it is no port
     */
    OptionalInt chosen() {
        return LoopbackPort.of("--metrics", port);
    }

    /**
     * Answers from now on, if that is wanted.
     *
     * @throws IOException the port cannot be had: then the server has ended
     */
    void serve(Server server) throws IOException {
        LoopbackPort.serve(server, chosen(), server::serveMetrics);
    }
}
