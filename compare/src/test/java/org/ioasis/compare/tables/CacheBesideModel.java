// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.tables;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.HashMap;
import java.util.Map;
import java.util.function.IntToLongFunction;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.iommu.pagetable.Rights;

/** Our IOTLB and a plain model of it, which are told the same. One thread. */
final class CacheBesideModel {
    /** Many more than are alive at a time, so that none has to go for another. */
    private static final int ENTRIES = 1 << 16;

    private static final int PAGE_LG2 = 12;

    /** A translation by what it is looked up with. */
    private record Place(int domain, long page) {}

    private final Iotlb cache = new Iotlb(ENTRIES);
    private final LiveTranslations model = new LiveTranslations();
    private final IntToLongFunction tags;

    /** All that was ever cached. */
    private final Map<Place, Long> known = new HashMap<>();

    private long filled;

    /**
     * @param tags what entries of a domain of the model's are known by
     */
    CacheBesideModel(IntToLongFunction tags) {
        this.tags = tags;
    }

    Iotlb cache() {
        return cache;
    }

    long filled() {
        return filled;
    }

    /** Tells the model; what is translated is cached, what is taken away is left to a decoder. */
    void take(TraceEvent event) {
        model.take(event);
        if (event instanceof TraceEvent.Translated told) {
            LiveTranslations.Live live = model.at(told.device(), told.iova());
            int domain = model.domain(told.device());
            assertThat(domain).isNotEqualTo(TraceEvent.UNTOLD);
            int lg2 = Math.max(PAGE_LG2, live.pageLg2());
            boolean isKept =
                    cache.fill(
                            cache.epoch(),
                            tags.applyAsLong(domain),
                            live.iova(),
                            live.output(),
                            Rights.READ,
                            lg2,
                            lg2,
                            false);
            assertThat(isKept).isTrue();
            known.put(place(domain, live.iova()), live.output());
            filled++;
        }
    }

    private static Place place(int domain, long iova) {
        return new Place(domain, iova & (-1L << PAGE_LG2));
    }

    /** Of how many of all places one knows another translation than the other, or none. */
    long differences() {
        Map<Place, Long> expected = new HashMap<>();
        for (LiveTranslations.Live one : model.live()) {
            expected.put(place(model.domain(one.device()), one.iova()), one.output());
        }
        assertThat(known.keySet()).containsAll(expected.keySet());
        long differences = 0;
        for (Place place : known.keySet()) {
            long found = cache.find(tags.applyAsLong(place.domain()), place.page());
            Long output = expected.get(place);
            boolean isRight =
                    output == null
                            ? found == Iotlb.NONE
                            : found != Iotlb.NONE
                                    && (Iotlb.output(found, place.page()) ^ output) >>> PAGE_LG2
                                            == 0;
            differences += isRight ? 0 : 1;
        }
        return differences;
    }
}
