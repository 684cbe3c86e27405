// SPDX-License-Identifier: Apache-2.0
package org.ioasis.loop;

/**
 * What the loop does when there is nothing to do. Immutable; any thread.
 *
 * @param spinNanos how long after the last work the loop goes on looking at its descriptors before
 *     it blocks; 0 blocks at once
 */
public record IdlePolicy(long spinNanos) {
    /**
     * The default. Spinning is faster on a machine with a core to spare; where vCPUs and the loop
     * share the cores it starves them.
     */
    public static final IdlePolicy EVENT_DRIVEN = new IdlePolicy(0);

    public IdlePolicy {
        if (spinNanos < 0) {
            throw new IllegalArgumentException("spinNanos must not be negative: " + spinNanos);
        }
    }
}
