// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import java.io.Serializable;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * When a translation that was taken away is taken out of the IOTLB. Immutable.
 *
 * @param batch as many UNMAPs of a domain wait for one flush of all of it; 0: each is invalidated
 *     before it is answered
 * @param timerNanos the oldest of them waits no longer than this; 0: as long as the batch takes
 */
public record Flush(int batch, long timerNanos) implements Serializable {
    public static final Flush STRICT = new Flush(0, 0);
    public static final int BATCH_MAX = 1 << 20;

    private static final Pattern LAZY = Pattern.compile("lazy:(\\d{1,7})(?::(\\d{1,6})ms)?");
    private static final long NANOS_PER_MILLI = 1_000_000;

    /**
     * {@code strict}, {@code lazy:N} or {@code lazy:N:Tms}.
     *
     * @throws IllegalArgumentException with what it can be
     */
    public static Flush of(String text) {
        if (text.equals("strict")) {
            return STRICT;
        }
        Matcher lazy = LAZY.matcher(text);
        if (lazy.matches()) {
            int batch = Integer.parseInt(lazy.group(1));
            String timer = lazy.group(2);
            long millis = timer == null ? 0 : Long.parseLong(timer);
            if (batch >= 1 && batch <= BATCH_MAX && (timer == null || millis > 0)) {
                return new Flush(batch, millis * NANOS_PER_MILLI);
            }
        }
        throw new IllegalArgumentException(
                "strict, lazy:N with N of 1 to %d, or lazy:N:Tms, not %s"
                        .formatted(BATCH_MAX, text));
    }

    public boolean isStrict() {
        return batch == 0;
    }

    @Override
    public String toString() {
        if (isStrict()) {
            return "strict";
        }
        String timer = timerNanos == 0 ? "" : ":" + timerNanos / NANOS_PER_MILLI + "ms";
        return "lazy:" + batch + timer;
    }
}
