// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.ioasis.iommu.DomainView.MappingView;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.iommu.mapping.MappingStore;
import org.jspecify.annotations.Nullable;

/**
 * Puts saved domains into an IOMMU that has none. What was saved may come from anywhere, so it is
 * checked by the rules that requests are checked by, and built aside first: the IOMMU changes only
 * in {@link #commit}. Loop thread.
 */
public final class Restoration {
    private static final int FLAGS = MapFlags.READ | MapFlags.WRITE | MapFlags.MMIO;

    private final Iommu iommu;
    private final List<Domain> domains = new ArrayList<>();
    private final Set<Endpoint> attached = new HashSet<>();
    private long mappings;

    public Restoration(Iommu iommu) {
        this.iommu = iommu;
    }

    /**
     * Builds the domains. Once, and then either {@link #commit} or {@link #abandon}.
     *
     * @param saved every domain in the order of ids, with all endpoints in the order of ids and all
     *     mappings in order
     * @return null, or what is wrong with them
     */
    public @Nullable String prepare(List<DomainView> saved) {
        if (iommu.domainCount() != 0) {
            return "the IOMMU has domains already";
        }
        if (saved.size() > iommu.options().domainLimit()) {
            return "%d domains, limit %d".formatted(saved.size(), iommu.options().domainLimit());
        }
        long previous = -1;
        for (DomainView view : saved) {
            String problem =
                    view.id() <= previous ? "it is out of order" : add(view, (int) view.id());
            if (problem != null) {
                return "domain 0x%x: %s".formatted(view.id(), problem);
            }
            previous = view.id();
        }
        return null;
    }

    private @Nullable String add(DomainView view, int id) {
        IommuOptions options = iommu.options();
        if (Integer.compareUnsigned(id, options.domainFirst()) < 0
                || Integer.compareUnsigned(id, options.domainLast()) > 0) {
            return "its id is outside of the domain range";
        }
        Domain domain = new Domain(id, view.isBypass() ? null : iommu.newStore());
        domains.add(domain);
        if (view.endpoints().isEmpty()) {
            return "it has no endpoint";
        }
        long previous = -1;
        for (int endpointId : view.endpoints()) {
            Endpoint endpoint = iommu.endpoint(endpointId);
            boolean isNext = Integer.toUnsignedLong(endpointId) > previous;
            if (endpoint == null || !isNext || !attached.add(endpoint)) {
                return "endpoint 0x%x is unknown, out of order or attached twice"
                        .formatted(endpointId);
            }
            if (endpoint.listener() != null) {
                return "endpoint 0x%x has a listener, which would not hear of its mappings"
                        .formatted(endpointId);
            }
            if (!domain.isCompatible(endpoint, options)) {
                return "endpoint 0x%x does not fit the others".formatted(endpointId);
            }
            domain.add(endpoint, options);
            previous = Integer.toUnsignedLong(endpointId);
        }
        MappingStore store = domain.store;
        return store == null ? refuseBypass(view) : addMappings(view, domain, store);
    }

    private static @Nullable String refuseBypass(DomainView view) {
        return view.granule() == 0 && view.mappings().isEmpty()
                ? null
                : "it is a bypass domain with a granule or mappings";
    }

    private @Nullable String addMappings(DomainView view, Domain domain, MappingStore store) {
        long granule = view.granule();
        boolean isGranule =
                view.mappings().isEmpty()
                        ? granule == domain.granule()
                        : Long.bitCount(granule) == 1
                                && (granule & iommu.options().pageSizeMask()) != 0
                                && Long.compareUnsigned(granule, domain.granule()) >= 0;
        if (!isGranule) {
            return "granule 0x%x".formatted(granule);
        }
        if (mappings + view.mappings().size() > iommu.options().mappingLimit()) {
            return "more mappings than the limit of %d".formatted(iommu.options().mappingLimit());
        }
        // Not the limit of those that are attached now: those that have left since may have caused
        // a part, and nothing is taken away for that.
        store.limitTables(iommu.options().tableLimit());
        MappingView previous = null;
        for (MappingView mapping : view.mappings()) {
            boolean isAfter =
                    previous == null || Long.compareUnsigned(previous.last(), mapping.first()) < 0;
            if (!isAfter || !isMappable(domain, granule, mapping)) {
                return "mapping 0x%x..0x%x -> 0x%x flags %d is out of order or not possible here"
                        .formatted(
                                mapping.first(), mapping.last(), mapping.output(), mapping.flags());
            }
            MappingStore.MapResult result =
                    store.map(mapping.first(), mapping.last(), mapping.output(), mapping.flags());
            if (result != MappingStore.MapResult.DONE) {
                return "no memory for mapping 0x%x..0x%x"
                        .formatted(mapping.first(), mapping.last());
            }
            previous = mapping;
        }
        mappings += view.mappings().size();
        domain.restored(granule, iommu.options());
        return null;
    }

    private static boolean isMappable(Domain domain, long granule, MappingView mapping) {
        long first = mapping.first();
        long last = mapping.last();
        long output = mapping.output();
        long outputLast = output + (last - first);
        return Long.compareUnsigned(first, last) <= 0
                && ((first | (last + 1) | output) & (granule - 1)) == 0
                && Long.compareUnsigned(output, outputLast) <= 0
                && Long.compareUnsigned(domain.inputFirst(), first) <= 0
                && Long.compareUnsigned(last, domain.inputLast()) <= 0
                && !domain.reserved().overlaps(first, last)
                && (mapping.flags() & ~FLAGS) == 0;
    }

    /** The IOMMU is as it was saved. */
    public void commit(boolean bypass) {
        iommu.adopt(domains, mappings, bypass);
    }

    /** Nothing becomes of it: gives back what it holds. */
    public void abandon() {
        for (Domain domain : domains) {
            if (domain.store != null) {
                domain.store.close();
            }
        }
        domains.clear();
    }
}
