// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.tables;

import static java.util.Objects.requireNonNull;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Which translations of a device still hold at the end of a log: those that no later command has
 * taken back. It is a plain model of a cache without a limit, from the words of the specification
 * and without any class that it is to check: where a command says less than what is known here, all
 * that it may mean is taken out. One thread.
 */
final class LiveTranslations {
    /** A translation with all that is told of it; 0 where nothing is. */
    record Live(int device, long iova, long output, int pageLg2, int rights) {
        private long last() {
            return iova | ((1L << Math.max(PAGE_LG2, pageLg2)) - 1);
        }
    }

    private record Place(int device, long page) {}

    private static final int PAGE_LG2 = 12;
    private static final long PAGE_MASK = -1L << PAGE_LG2;

    private final Map<Place, Live> live = new HashMap<>();

    /** What was last told of a page when it was cached. */
    private final Map<Place, TraceEvent.Filled> filled = new HashMap<>();

    /** Known of those devices of which it is told. */
    private final Map<Integer, Integer> domains = new HashMap<>();

    /** What is told of the device of the next translation. */
    private TraceEvent.@Nullable Filled pending;

    private int pendingDomain = TraceEvent.UNTOLD;

    /** What holds after all of {@code events}. */
    static List<Live> after(List<TraceEvent> events) {
        LiveTranslations model = new LiveTranslations();
        events.forEach(model::take);
        return model.live();
    }

    /** What holds now. */
    List<Live> live() {
        return new ArrayList<>(live.values());
    }

    /** What holds now for an address that was just translated. */
    Live at(int device, long iova) {
        return requireNonNull(live.get(new Place(device, iova & PAGE_MASK)));
    }

    /** The domain of a device, or {@link TraceEvent#UNTOLD}. */
    int domain(int device) {
        return domains.getOrDefault(device, TraceEvent.UNTOLD);
    }

    /** What happens next. */
    void take(TraceEvent event) {
        switch (event) {
            case TraceEvent.Translated translated -> translate(translated);
            case TraceEvent.Filled fill -> {
                if (fill.device() == TraceEvent.UNTOLD) {
                    pending = fill;
                    pendingDomain = fill.domain();
                } else {
                    fill(fill.device(), fill);
                }
            }
            case TraceEvent.Found(int device, int domain, long _) -> {
                if (device == TraceEvent.UNTOLD) {
                    pendingDomain = domain;
                } else if (domain != TraceEvent.UNTOLD) {
                    domains.put(device, domain);
                }
            }
            case TraceEvent.Command(long low, long high) -> vtd(low, high);
            case TraceEvent.Dropped(int domain, long first, long last) -> drop(domain, first, last);
            case TraceEvent.Trouble _ -> {}
        }
    }

    private void fill(int device, TraceEvent.Filled fill) {
        domains.put(device, fill.domain());
        filled.put(new Place(device, fill.iova() & PAGE_MASK), fill);
    }

    private void translate(TraceEvent.Translated told) {
        int device = told.device();
        if (pending != null) {
            fill(device, pending);
            pending = null;
        }
        if (pendingDomain != TraceEvent.UNTOLD) {
            domains.put(device, pendingDomain);
            pendingDomain = TraceEvent.UNTOLD;
        }
        Place place = new Place(device, told.iova() & PAGE_MASK);
        TraceEvent.Filled fill = filled.get(place);
        int lg2 = told.pageLg2() != 0 || fill == null ? told.pageLg2() : fill.pageLg2();
        int rights = told.rights() != 0 || fill == null ? told.rights() : fill.rights();
        live.put(place, new Live(device, told.iova(), told.output(), lg2, rights));
    }

    /** VT-d, 6.5.2: a descriptor of the invalidation queue. */
    private void vtd(long low, long high) {
        int type = (int) low & 0xf;
        int granularity = (int) (low >>> 4) & 3;
        int domain = (int) (low >>> 16) & 0xffff;
        // A power of two of pages, whatever the address says below that.
        long within = (1L << (PAGE_LG2 + (int) (high & 0x3f))) - 1;
        long first = high & ~within;
        switch (type) {
            // Context and PASID entries have changed: whatever they led to.
            case 1, 7 -> drop(TraceEvent.UNTOLD, 0, -1);
            case 2 -> {
                switch (granularity) {
                    case 1 -> drop(TraceEvent.UNTOLD, 0, -1);
                    case 2 -> drop(domain, 0, -1);
                    default -> drop(domain, first, first | within);
                }
            }
            case 6 -> {
                if (granularity == 3) {
                    drop(domain, first, first | within);
                } else {
                    drop(domain, 0, -1);
                }
            }
            default -> {}
        }
    }

    private void drop(int domain, long first, long last) {
        live.values()
                .removeIf(one ->
                        isOf(one.device(), domain)
                                && Long.compareUnsigned(one.last(), first) >= 0
                                && Long.compareUnsigned(one.iova(), last) <= 0);
        filled.keySet()
                .removeIf(place ->
                        isOf(place.device(), domain)
                                && Long.compareUnsigned(place.page(), first & PAGE_MASK) >= 0
                                && Long.compareUnsigned(place.page(), last) <= 0);
    }

    /** True if it may be: a device of which no domain is told may be in any. */
    private boolean isOf(int device, int domain) {
        return domain == TraceEvent.UNTOLD || domains.getOrDefault(device, domain) == domain;
    }
}
