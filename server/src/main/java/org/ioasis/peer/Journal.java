// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import java.lang.System.Logger.Level;
import java.util.function.LongSupplier;
import java.util.function.Supplier;

/**
 * Lines for the log about what peers do, who can do it as often as they like: so many in a while,
 * and the rest is counted and said with the next that is written. Loop thread.
 */
public final class Journal {
    /** Lines in one {@link #WINDOW_NANOS}. */
    static final int LINES_MAX = 20;

    static final long WINDOW_NANOS = 10_000_000_000L;

    private final System.Logger log;
    private final LongSupplier nanoTime;
    private long windowStart;
    private int lines;
    private long leftOut;

    public Journal(System.Logger log, LongSupplier nanoTime) {
        this.log = log;
        this.nanoTime = nanoTime;
        windowStart = nanoTime.getAsLong();
    }

    /** Writes a line, unless there were too many of late or nobody wants lines of this kind. */
    public void say(Level level, Supplier<String> line) {
        if (!log.isLoggable(level)) {
            return;
        }
        long now = nanoTime.getAsLong();
        if (now - windowStart >= WINDOW_NANOS) {
            windowStart = now;
            lines = 0;
        }
        if (lines == LINES_MAX) {
            leftOut++;
            return;
        }
        lines++;
        String text = line.get();
        log.log(level, leftOut == 0 ? text : text + " (" + leftOut + " lines were left out)");
        leftOut = 0;
    }
}
