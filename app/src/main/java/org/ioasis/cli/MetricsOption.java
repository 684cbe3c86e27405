// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.io.IOException;
import org.ioasis.serve.Server;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** That what is counted can be scraped. Main thread. */
final class MetricsOption {
    private static final int PORT_MAX = 65_535;

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
     * Before anything is started.
     *
     * @throws UsageException it is no port
     */
    void check() {
        Integer given = port;
        if (given != null && (given < 0 || given > PORT_MAX)) {
            throw new UsageException(
                    "--metrics: a port is 0 to %d, not %d".formatted(PORT_MAX, given));
        }
    }

    /**
     * Answers from now on, if that is wanted.
     *
     * @throws IOException the port cannot be had: then the server has ended
     */
    void serve(Server server) throws IOException {
        Integer given = port;
        if (given == null) {
            return;
        }
        boolean isServed = false;
        try {
            server.serveMetrics(given);
            isServed = true;
        } finally {
            if (!isServed) {
                server.close();
            }
        }
    }
}
