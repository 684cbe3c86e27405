// SPDX-License-Identifier: Apache-2.0
package org.ioasis.page;

import java.util.concurrent.atomic.AtomicLong;

/** How long something took, over the times since somebody last asked. Any thread. */
final class Delay {
    private final AtomicLong count = new AtomicLong();
    private final AtomicLong sum = new AtomicLong();
    private final AtomicLong max = new AtomicLong();

    /** What was taken: -1 for both if there was nothing. */
    record Taken(double mean, double max) {
        static final Taken NOTHING = new Taken(-1, -1);
    }

    void add(long nanos) {
        count.incrementAndGet();
        sum.addAndGet(nanos);
        max.accumulateAndGet(nanos, Math::max);
    }

    /** Begins anew; what is added meanwhile may count on either side. */
    Taken take() {
        long taken = count.getAndSet(0);
        long all = sum.getAndSet(0);
        long most = max.getAndSet(0);
        return taken == 0 ? Taken.NOTHING : new Taken((double) all / taken, most);
    }
}
