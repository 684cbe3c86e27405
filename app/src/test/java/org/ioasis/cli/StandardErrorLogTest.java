// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.lang.System.Logger.Level;
import java.time.Instant;
import java.time.InstantSource;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class StandardErrorLogTest {
    private final ByteArrayOutputStream written = new ByteArrayOutputStream();
    private final System.Logger log =
            new StandardErrorLog.Lines(
                    "test",
                    new PrintStream(written, true, UTF_8),
                    InstantSource.fixed(Instant.parse("2026-01-02T03:04:05.000006Z")));

    @AfterEach
    void asBefore() {
        StandardErrorLog.level(Level.WARNING);
    }

    @Test
    void linesHaveTimeAndLevelAndThoseThatAreNotSevereEnoughAreNotWritten() {
        log.log(Level.INFO, "not wanted");
        log.log(Level.WARNING, "100% {0} of it");
        StandardErrorLog.level(Level.DEBUG);
        log.log(Level.DEBUG, () -> "wanted now");
        log.log(Level.TRACE, "still not wanted");
        log.log(Level.ERROR, "{0} of {1}", 1, "two");
        log.log(Level.OFF, "never");

        assertThat(written.toString(UTF_8))
                .isEqualTo(
                        """
                        2026-01-02T03:04:05.000006Z WARNING 100% {0} of it
                        2026-01-02T03:04:05.000006Z DEBUG wanted now
                        2026-01-02T03:04:05.000006Z ERROR 1 of two
                        """);
    }

    @Test
    void whatWasThrownStandsBehindItsLine() {
        log.log(Level.ERROR, "it failed", new IllegalStateException("planted"));

        assertThat(written.toString(UTF_8).lines().limit(3))
                .hasSize(3)
                .startsWith(
                        "2026-01-02T03:04:05.000006Z ERROR it failed",
                        "java.lang.IllegalStateException: planted");
    }

    @Test
    void itIsTheLogOfTheCommands() {
        assertThat(System.getLogger("org.ioasis.any").isLoggable(Level.INFO)).isFalse();
        StandardErrorLog.level(Level.INFO);
        assertThat(System.getLogger("org.ioasis.any").isLoggable(Level.INFO)).isTrue();
    }
}
