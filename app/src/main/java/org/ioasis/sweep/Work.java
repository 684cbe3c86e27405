// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

/**
 * How much a simulation may still do: pages that are mapped, unmapped or translated. A few rows of
 * a foreign file can ask for more than a day's work. One thread.
 */
final class Work {
    /** Some ten seconds. */
    static final long MAX = 1L << 28;

    private final long max;
    private long left;

    Work(long max) {
        this.max = max;
        this.left = max;
    }

    /** Returns whether there was as much left. */
    boolean take(long pages) {
        left = pages > left ? -1 : left - pages;
        return left >= 0;
    }

    String refusal() {
        return "a sweep translates, maps and unmaps %d pages of a trace at most, and this is more"
                .formatted(max);
    }
}
