// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.ioasis.iommu.DomainView.MappingView;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.iommu.mapping.MappingStore;
import org.ioasis.iommu.mapping.Untranslated;
import org.ioasis.memory.Ranges;
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
        Domain domain =
                view.isBypass()
                        ? new Domain(iommu, id, Untranslated.IDENTITY)
                        : new PagingDomain(iommu, id, iommu.newStore());
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
            if (endpoint.attachment().listener() != null) {
                return "endpoint 0x%x has a listener, which would not hear of its mappings"
                        .formatted(endpointId);
            }
            if (domain.check(endpoint.attachment()) != null) {
                return "endpoint 0x%x does not fit the others".formatted(endpointId);
            }
            domain.add(endpoint.attachment());
            previous = Integer.toUnsignedLong(endpointId);
        }
        return domain instanceof PagingDomain paging
                ? addMappings(view, paging)
                : refuseBypass(view);
    }

    private static @Nullable String refuseBypass(DomainView view) {
        return view.granule() == 0 && view.mappings().isEmpty()
                ? null
                : "it is a bypass domain with a granule or mappings";
    }

    private @Nullable String addMappings(DomainView view, PagingDomain domain) {
        MappingStore store = domain.store();
        long granule = view.granule();
        boolean isGranule =
                view.mappings().isEmpty()
                        ? granule == domain.granule()
                        : Long.bitCount(granule) == 1
                                && (granule & iommu.options().pageSizeMask()) != 0
                                && Ranges.isAtMost(domain.granule(), granule);
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
            boolean isAfter = previous == null || Ranges.isBelow(previous.last(), mapping.first());
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
        domain.restored(granule);
        return null;
    }

    private static boolean isMappable(PagingDomain domain, long granule, MappingView mapping) {
        Refusal refusal =
                domain.checkPlace(granule, mapping.first(), mapping.last(), mapping.output());
        return refusal == null && (mapping.flags() & ~FLAGS) == 0;
    }

    /**
     * The IOMMU is as it was saved. Returns its domains, for the object model that has their ids.
     */
    public List<Domain> commit(boolean bypass) {
        iommu.adopt(domains, mappings, bypass);
        return List.copyOf(domains);
    }

    /** Nothing becomes of it: gives back what it holds. */
    public void abandon() {
        for (Domain domain : domains) {
            if (domain instanceof PagingDomain paging) {
                paging.store().close();
            }
        }
        domains.clear();
    }
}
