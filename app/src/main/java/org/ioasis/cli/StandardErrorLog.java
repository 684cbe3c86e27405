// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.io.PrintStream;
import java.lang.System.Logger.Level;
import java.text.MessageFormat;
import java.time.InstantSource;
import java.util.Map;
import java.util.ResourceBundle;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * The log of the commands: a line each on standard error, with its time and level, for who writes
 * it to a file or a journal. An embedder's process has a log of its own. Any thread.
 */
public final class StandardErrorLog extends System.LoggerFinder {
    private static volatile Level least = Level.WARNING;

    private final Map<String, System.Logger> loggers = new ConcurrentHashMap<>();

    /** What is not as severe is not written from now on. */
    static void level(Level level) {
        least = level;
    }

    @Override
    public System.Logger getLogger(String name, Module module) {
        return loggers.computeIfAbsent(
                name, key -> new Lines(key, System.err, InstantSource.system()));
    }

    /** Writes to a stream. */
    static final class Lines implements System.Logger {
        private final String name;
        private final PrintStream out;
        private final InstantSource clock;

        Lines(String name, PrintStream out, InstantSource clock) {
            this.name = name;
            this.out = out;
            this.clock = clock;
        }

        @Override
        public String getName() {
            return name;
        }

        @Override
        public boolean isLoggable(Level level) {
            Level wanted = least;
            return level != Level.OFF && level.getSeverity() >= wanted.getSeverity();
        }

        @Override
        public void log(
                Level level,
                @Nullable ResourceBundle bundle,
                @Nullable String text,
                @Nullable Throwable thrown) {
            if (!isLoggable(level)) {
                return;
            }
            // As one write each, so that lines of two threads do not mix.
            synchronized (out) {
                out.println("%s %s %s".formatted(clock.instant(), level, text));
                if (thrown != null) {
                    thrown.printStackTrace(out);
                }
            }
        }

        @Override
        public void log(
                Level level,
                @Nullable ResourceBundle bundle,
                @Nullable String format,
                @Nullable Object @Nullable ... parameters) {
            boolean isPlain = parameters == null || parameters.length == 0 || format == null;
            log(
                    level,
                    bundle,
                    isPlain ? format : MessageFormat.format(format, parameters),
                    (Throwable) null);
        }
    }
}
