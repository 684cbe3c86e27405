package org.ioasis.iommu;

/**
 * The last ranges that a driver has unmapped, so that an access which comes too late can be told
 * from one that was never allowed. Written by the loop thread; any thread asks, for an explanation
 * only: one that is overwritten meanwhile may be told wrong.
 */
final class RecentUnmaps {
    private static final int KEPT = 64;

    private final int[] domains = new int[KEPT];
    private final long[] firsts = new long[KEPT];
    private final long[] lasts = new long[KEPT];
    private int count;

    /** An UNMAP has removed what lay in the range. */
    void note(int domainId, long first, long last) {
        int i = count++ & (KEPT - 1);
        domains[i] = domainId;
        firsts[i] = first;
        lasts[i] = last;
    }

    /** What to add to the explanation of an access to {@code address}, or nothing. */
    String explain(int domainId, long address) {
        int now = count;
        for (int ago = 1; ago <= Math.min(Integer.toUnsignedLong(now), KEPT); ago++) {
            int i = (now - ago) & (KEPT - 1);
            if (domains[i] == domainId
                    && Long.compareUnsigned(firsts[i], address) <= 0
                    && Long.compareUnsigned(address, lasts[i]) <= 0) {
                return "; the driver unmapped 0x%x..0x%x a moment ago, %d UNMAPs before"
                        .formatted(firsts[i], lasts[i], ago);
            }
        }
        return "";
    }
}
