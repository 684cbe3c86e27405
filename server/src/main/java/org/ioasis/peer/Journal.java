// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import java.lang.System.Logger.Level;
import java.util.function.LongSupplier;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Lines for the log about what peers do, who can do it as often as they like: so many in a while,
 * and of the rest the last one when that is over, with the number of those before it. What a log
 * ends with is so what has happened last. Loop thread.
 */
public final class Journal {
    /** Lines in one {@link #WINDOW_NANOS}. */
    static final int LINES_MAX = 20;

    static final long WINDOW_NANOS = 10_000_000_000L;

    private final System.Logger log;
    private final LongSupplier nanoTime;
    private final Later later;
    private long windowStart;
    private int lines;
    private long leftOut;
    private Level lastLevel = Level.INFO;
    private @Nullable Supplier<String> last;

    /** What runs a task when its time has come, on the loop thread: {@code EventLoop#schedule}. */
    @FunctionalInterface
    public interface Later {
        /** Once, at the first turn at or after {@code deadlineNanos} of the journal's clock. */
        void run(long deadlineNanos, Runnable task);
    }

    public Journal(System.Logger log, LongSupplier nanoTime, Later later) {
        this.log = log;
        this.nanoTime = nanoTime;
        this.later = later;
        windowStart = nanoTime.getAsLong();
    }

    /**
     * Writes a line, unless there were too many of late or nobody wants lines of this kind.
     *
     * @param line may be asked at the end of the window
     */
    public void say(Level level, Supplier<String> line) {
        if (!log.isLoggable(level)) {
            return;
        }
        long now = nanoTime.getAsLong();
        if (now - windowStart >= WINDOW_NANOS) {
            writeLast();
            windowStart = now;
            lines = 0;
        }
        if (lines == LINES_MAX) {
            if (last == null) {
                later.run(windowStart + WINDOW_NANOS, this::writeLast);
            }
            leftOut++;
            lastLevel = level;
            last = line;
            return;
        }
        lines++;
        log.log(level, line.get());
    }

    /** The window is over; unless {@link #say} has been quicker. */
    private void writeLast() {
        Supplier<String> line = last;
        if (line == null) {
            return;
        }
        last = null;
        long before = leftOut - 1;
        leftOut = 0;
        String text = line.get();
        log.log(
                lastLevel,
                before == 0 ? text : text + " (" + before + " lines before it were left out)");
    }
}
