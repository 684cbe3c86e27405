// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import java.util.List;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.spec.SpaprTce;

/**
 * A guest's hypercalls about its tables, in tiers: each is carried out by the first tier that can,
 * from the start. Any thread; a call that the first tier answers allocates nothing.
 */
public final class Hypercalls {
    private static final HcallResult[] RESULTS = HcallResult.values();

    private final HcallTier[] tiers;
    private final FinalTier last;
    private final HcallCounters counters;

    private Hypercalls(List<HcallTier> tiers, FinalTier last) {
        this.tiers = tiers.toArray(HcallTier[]::new);
        this.last = last;
        counters = new HcallCounters(tiers.size() + 1);
    }

    /** What the kernel can do is done there, the rest by the VMM. */
    public static Hypercalls accelerated(
            GuestTables tables, GuestMemory memory, FailureInjector failures, FinalTier last) {
        return of(List.of(new DirectTier(tables, memory, failures)), last);
    }

    /** The VMM does all. */
    public static Hypercalls plain(FinalTier last) {
        return of(List.of(), last);
    }

    static Hypercalls of(List<HcallTier> tiers, FinalTier last) {
        return new Hypercalls(tiers, last);
    }

    /** Who answered how many. */
    public HcallCounters counters() {
        return counters;
    }

    /**
     * A hypercall as it comes in registers.
     *
     * @param number in register 3
     * @param a from register 4 on
     * @param value what a read has read
     * @return code for register 3
     */
    public long call(long number, long a, long b, long c, long d, TceValue value) {
        HcallResult result;
        if (number == SpaprTce.H_PUT_TCE) {
            result = put(a, b, c);
        } else if (number == SpaprTce.H_PUT_TCE_INDIRECT) {
            result = putIndirect(a, b, c, d);
        } else if (number == SpaprTce.H_STUFF_TCE) {
            result = stuff(a, b, c, d);
        } else if (number == SpaprTce.H_GET_TCE) {
            result = get(a, b, value);
        } else {
            result = HcallResult.FUNCTION;
        }
        return result.code();
    }

    /**
     * H_PUT_TCE: one entry.
     *
     * @param ioba its address on the bus
     * @param tce what it shall be
     */
    public HcallResult put(long liobn, long ioba, long tce) {
        for (int i = 0; i < tiers.length; i++) {
            long code = tiers[i].put(liobn, ioba, tce);
            if (isAnswered(i, HcallCounters.Call.PUT, code)) {
                return result(code);
            }
        }
        counters.count(tiers.length, HcallCounters.Call.PUT, true);
        return last.put(liobn, ioba, tce);
    }

    /**
     * H_PUT_TCE_INDIRECT: entries from a list. If it is refused on the way, those before are
     * written.
     *
     * @param list guest address of a page
     * @param count entries, up to 512
     */
    public HcallResult putIndirect(long liobn, long ioba, long list, long count) {
        for (int i = 0; i < tiers.length; i++) {
            long code = tiers[i].putIndirect(liobn, ioba, list, count);
            if (isAnswered(i, HcallCounters.Call.PUT_INDIRECT, code)) {
                return result(code);
            }
        }
        counters.count(tiers.length, HcallCounters.Call.PUT_INDIRECT, true);
        return last.putIndirect(liobn, ioba, list, count);
    }

    /**
     * H_STUFF_TCE: entries that shall lead nowhere.
     *
     * @param tce what they shall be, without permissions
     */
    public HcallResult stuff(long liobn, long ioba, long tce, long count) {
        for (int i = 0; i < tiers.length; i++) {
            long code = tiers[i].stuff(liobn, ioba, tce, count);
            if (isAnswered(i, HcallCounters.Call.STUFF, code)) {
                return result(code);
            }
        }
        counters.count(tiers.length, HcallCounters.Call.STUFF, true);
        return last.stuff(liobn, ioba, tce, count);
    }

    /** H_GET_TCE: what an entry is, as it was written; 0 if it never was. */
    public HcallResult get(long liobn, long ioba, TceValue value) {
        for (int i = 0; i < tiers.length; i++) {
            long code = tiers[i].get(liobn, ioba, value);
            if (isAnswered(i, HcallCounters.Call.GET, code)) {
                return result(code);
            }
        }
        counters.count(tiers.length, HcallCounters.Call.GET, true);
        return last.get(liobn, ioba, value);
    }

    private boolean isAnswered(int tier, HcallCounters.Call call, long code) {
        boolean isAnswered = code != HcallTier.TOO_HARD;
        counters.count(tier, call, isAnswered);
        return isAnswered;
    }

    private static HcallResult result(long code) {
        for (HcallResult result : RESULTS) {
            if (result.code() == code) {
                return result;
            }
        }
        throw new IllegalStateException("a tier answered " + code);
    }
}
