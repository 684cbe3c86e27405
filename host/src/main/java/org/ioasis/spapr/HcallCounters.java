// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import java.util.concurrent.atomic.AtomicLongArray;

/** How often each tier of a guest answered a hypercall, or passed it on. Any thread. */
public final class HcallCounters {
    /** The hypercalls. */
    public enum Call {
        PUT,
        PUT_INDIRECT,
        STUFF,
        GET
    }

    private static final int CALLS = Call.values().length;

    private final int tiers;
    private final AtomicLongArray answered;
    private final AtomicLongArray passedOn;

    HcallCounters(int tiers) {
        this.tiers = tiers;
        answered = new AtomicLongArray(tiers * CALLS);
        passedOn = new AtomicLongArray(tiers * CALLS);
    }

    /** Tiers, the last one included. */
    public int tiers() {
        return tiers;
    }

    /** Calls that a tier answered, from 0 on. */
    public long answered(int tier, Call call) {
        return answered.get(tier * CALLS + call.ordinal());
    }

    /** Calls that were too hard for a tier. */
    public long passedOn(int tier, Call call) {
        return passedOn.get(tier * CALLS + call.ordinal());
    }

    void count(int tier, Call call, boolean isAnswered) {
        (isAnswered ? answered : passedOn).getAndIncrement(tier * CALLS + call.ordinal());
    }
}
