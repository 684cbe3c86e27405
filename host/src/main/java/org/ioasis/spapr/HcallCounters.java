// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import java.util.concurrent.atomic.AtomicLong;

/** How often each tier of a guest answered a hypercall, or passed it on. Any thread. */
public final class HcallCounters {
    /** The hypercalls. */
    public enum Call {
        PUT,
        PUT_INDIRECT,
        STUFF,
        GET
    }

    /** Of one tier. */
    private static final class Counter {
        private final AtomicLong put = new AtomicLong();
        private final AtomicLong putIndirect = new AtomicLong();
        private final AtomicLong stuff = new AtomicLong();
        private final AtomicLong get = new AtomicLong();

        AtomicLong of(Call call) {
            return switch (call) {
                case PUT -> put;
                case PUT_INDIRECT -> putIndirect;
                case STUFF -> stuff;
                case GET -> get;
            };
        }
    }

    private final Counter[] answered;
    private final Counter[] passedOn;

    HcallCounters(int tiers) {
        answered = new Counter[tiers];
        passedOn = new Counter[tiers];
        for (int i = 0; i < tiers; i++) {
            answered[i] = new Counter();
            passedOn[i] = new Counter();
        }
    }

    /** Calls that a tier answered, from 0 on. */
    public long answered(int tier, Call call) {
        return answered[tier].of(call).get();
    }

    /** Calls that were too hard for a tier. */
    public long passedOn(int tier, Call call) {
        return passedOn[tier].of(call).get();
    }

    void count(int tier, Call call, boolean isAnswered) {
        (isAnswered ? answered : passedOn)[tier].of(call).getAndIncrement();
    }
}
