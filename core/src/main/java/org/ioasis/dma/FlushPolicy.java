// SPDX-License-Identifier: Apache-2.0
package org.ioasis.dma;

import java.util.function.LongSupplier;

/**
 * When a buffer that is no longer used is taken away from its device.
 *
 * @param most how many may wait to be; 0 for none: each is taken away at once
 * @param nanos how long one may wait
 * @param clock nanoseconds of a clock that does not go back
 */
public record FlushPolicy(int most, long nanos, LongSupplier clock) {
    /**
     * At once: when unmap returns, the device reaches the buffer no more. What else than this
     * leaves a device a while in which it still can.
     */
    public static final FlushPolicy STRICT = new FlushPolicy(0, 0, () -> 0);

    public FlushPolicy {
        if (most < 0 || nanos < 0) {
            throw new IllegalArgumentException(most + " for " + nanos + " ns");
        }
    }

    /** Together: when so many wait or the first has waited so long. */
    public static FlushPolicy lazy(int most, long nanos, LongSupplier clock) {
        return new FlushPolicy(most, nanos, clock);
    }
}
