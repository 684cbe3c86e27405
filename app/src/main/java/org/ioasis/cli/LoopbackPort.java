// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.io.IOException;
import java.util.OptionalInt;
import org.ioasis.serve.Server;
import org.jspecify.annotations.Nullable;

/** A port of the loopback interface, as an option names it. Main thread. */
final class LoopbackPort {
    private static final int PORT_MAX = 65_535;

    /** What answers at a port. */
    @FunctionalInterface
    interface Opening {
        /**
         * @throws IOException the port cannot be had
         */
        void open(int port) throws IOException;
    }

    private LoopbackPort() {}

    /**
     * The port, 0 for a free one; empty if the option is not there.
     *
     * @throws UsageException it is no port
     */
    static OptionalInt of(String option, @Nullable Integer given) {
        if (given == null) {
            return OptionalInt.empty();
        }
        if (given < 0 || given > PORT_MAX) {
            throw new UsageException(
                    "%s: a port is 0 to %d, not %d".formatted(option, PORT_MAX, given));
        }
        return OptionalInt.of(given);
    }

    /**
     * Opens it for a server, if that is wanted.
     *
     * @throws IOException the port cannot be had: then the server has ended
     */
    static void serve(Server server, OptionalInt wanted, Opening opening) throws IOException {
        if (wanted.isEmpty()) {
            return;
        }
        boolean isServed = false;
        try {
            opening.open(wanted.getAsInt());
            isServed = true;
        } finally {
            if (!isServed) {
                server.close();
            }
        }
    }
}
