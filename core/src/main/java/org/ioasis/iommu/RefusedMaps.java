// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.Arrays;
import java.util.Locale;
import org.ioasis.memory.Ranges;
import org.jspecify.annotations.Nullable;

/**
 * The MAPs that were refused last, as many as there is room for: Linux does not tell its drivers
 * that a MAP has failed, and the device then meets a refused access that the driver knows nothing
 * of. Loop thread, except {@link #after}.
 */
final class RefusedMaps {
    /** How many are remembered. A power of two. */
    private static final int LENGTH = 64;

    private final Refused[] ring = new Refused[LENGTH];
    private int head;

    RefusedMaps() {
        Arrays.setAll(ring, i -> new Refused());
    }

    /**
     * @param unmaps how many UNMAPs came before it
     */
    void add(Domain domain, long first, long last, Refusal refusal, int unmaps) {
        Refused next = ring[head++ & (LENGTH - 1)];
        next.domain = domain;
        next.first = first;
        next.last = last;
        next.refusal = refusal;
        next.unmaps = unmaps;
    }

    void forget() {
        for (Refused refused : ring) {
            refused.domain = null;
        }
    }

    /**
     * Of the newest one that would have mapped the address, for people; empty if there is none, or
     * if as many UNMAPs as {@code unmaps} or more came after it. Any thread.
     *
     * @param now how many UNMAPs have come so far
     */
    String after(Domain domain, long address, int unmaps, int now) {
        int newest = head;
        for (int ago = 1; ago <= LENGTH; ago++) {
            Refused refused = ring[(newest - ago) & (LENGTH - 1)];
            if (refused.domain == domain && Ranges.holds(refused.first, refused.last, address)) {
                return Integer.compareUnsigned(now - refused.unmaps, unmaps) < 0
                        ? refused.text()
                        : "";
            }
        }
        return "";
    }

    /** One of the ring, used again when it comes round: a request allocates nothing. */
    private static final class Refused {
        private @Nullable Domain domain;
        private long first;
        private long last;
        private Refusal refusal = Refusal.OVERLAPS;
        private int unmaps;

        String text() {
            return "; the driver's MAP of 0x%x..0x%x was refused with %s (%s)"
                    .formatted(
                            first,
                            last,
                            refusal.status(),
                            refusal.name().toLowerCase(Locale.ROOT).replace('_', ' '));
        }
    }
}
