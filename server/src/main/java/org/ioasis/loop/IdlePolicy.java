// SPDX-License-Identifier: Apache-2.0
package org.ioasis.loop;

/**
 * What the loop does when there is nothing to do. Immutable; any thread.
 *
 * @param lookNanos how long after the last work the loop goes on looking at the rings of devices
 *     that are in use, at most: how long within that follows from whether it pays. 0: it never
 *     looks, and sleeps at once
 */
public record IdlePolicy(long lookNanos) {
    /** The loop sleeps whenever there is nothing to do. */
    public static final IdlePolicy EVENT_DRIVEN = new IdlePolicy(0);

    /**
     * The default. Linux leaves gaps of 150 microseconds between two requests of the same I/O:
     * measured, 100 lose them and 300 do not.
     */
    public static final IdlePolicy ADAPTIVE = new IdlePolicy(300_000);

    public IdlePolicy {
        if (lookNanos < 0) {
            throw new IllegalArgumentException("lookNanos must not be negative: " + lookNanos);
        }
    }
}
