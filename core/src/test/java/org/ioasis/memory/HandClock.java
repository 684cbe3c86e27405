// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import java.util.function.LongSupplier;

/** A clock that stands still until it is told to go on. One thread. */
public final class HandClock implements LongSupplier {
    private long now = 1_000_000;

    @Override
    public long getAsLong() {
        return now;
    }

    public void advance(long nanos) {
        now += nanos;
    }
}
