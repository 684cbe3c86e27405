// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import org.ioasis.iommu.mapping.MappingStore;
import org.ioasis.iommu.mapping.RunVisitor;
import org.ioasis.memory.Ranges;
import org.jspecify.annotations.Nullable;

/**
 * Why a request is refused, for people. A refused request has changed nothing, so asking right
 * after the refusal goes through the same checks in the same order. Loop thread, off the request
 * path: only for requests that somebody watches.
 */
public final class Refusals {
    private static final String NO_REASON = "refused by a listener, or the state has changed since";

    private final Iommu iommu;

    public Refusals(Iommu iommu) {
        this.iommu = iommu;
    }

    /** Why an ATTACH is not OK. */
    public String attach(int endpointId, int domainId, boolean bypass) {
        Endpoint endpoint = iommu.endpoint(endpointId);
        if (endpoint == null) {
            return noEndpoint(endpointId);
        }
        IommuOptions options = iommu.options();
        if (Integer.compareUnsigned(domainId, options.domainFirst()) < 0
                || Integer.compareUnsigned(domainId, options.domainLast()) > 0) {
            return "domain 0x%x is outside of domain_range 0x%x..0x%x"
                    .formatted(domainId, options.domainFirst(), options.domainLast());
        }
        Domain domain = iommu.domain(domainId);
        if (domain != null && domain.isBypass() != bypass) {
            return "domain 0x%x exists already and is %s"
                    .formatted(domainId, bypass ? "not a bypass domain" : "a bypass domain");
        }
        if (domain != null && !domain.isCompatible(endpoint, options)) {
            return "the endpoint's page sizes, input range or reserved regions do not fit domain 0x%x"
                    .formatted(domainId);
        }
        if (domain == null && iommu.domainCount() >= options.domainLimit()) {
            return "limit of %d domains is reached".formatted(options.domainLimit());
        }
        return NO_REASON;
    }

    /** Why a DETACH is not OK. */
    public String detach(int endpointId, int domainId) {
        Endpoint endpoint = iommu.endpoint(endpointId);
        if (endpoint == null) {
            return noEndpoint(endpointId);
        }
        long present = endpoint.domainId();
        return present < 0
                ? "endpoint 0x%x is not attached".formatted(endpointId)
                : "endpoint 0x%x is attached to domain 0x%x and not 0x%x"
                        .formatted(endpointId, present, domainId);
    }

    /** Why a MAP is not OK but {@code status}. */
    public String map(int domainId, long first, long last, long output, Status status) {
        Domain domain = iommu.domain(domainId);
        if (domain == null) {
            return noDomain(domainId);
        }
        MappingStore store = domain.store;
        if (store == null) {
            return "domain 0x%x is a bypass domain and takes no mappings".formatted(domainId);
        }
        if (Long.compareUnsigned(last, first) < 0) {
            return "the range ends before it starts";
        }
        long unaligned = domain.granule() - 1;
        if (((first | (last + 1) | output) & unaligned) != 0) {
            return "%s is not aligned to the granule 0x%x"
                    .formatted(
                            (first & unaligned) != 0
                                    ? "virt_start"
                                    : (output & unaligned) != 0 ? "phys_start" : "virt_end + 1",
                            domain.granule());
        }
        if (Long.compareUnsigned(output + (last - first), output) < 0) {
            return "the physical range wraps around the end of the address space";
        }
        if (Long.compareUnsigned(first, domain.inputFirst()) < 0
                || Long.compareUnsigned(last, domain.inputLast()) > 0) {
            return "outside of the input range 0x%x..0x%x"
                    .formatted(domain.inputFirst(), domain.inputLast());
        }
        for (ReservedRegion region : domain.reserved().regions()) {
            if (region.overlaps(first, last)) {
                return "overlaps the %s region 0x%x..0x%x"
                        .formatted(region.kind(), region.first(), region.last());
            }
        }
        String other = firstMapping(store, first, last);
        if (other != null) {
            return "overlaps the mapping " + other;
        }
        IommuOptions options = iommu.options();
        if (iommu.mappingCount() >= options.mappingLimit()) {
            return "limit of %d mappings is reached".formatted(options.mappingLimit());
        }
        if (store.size() >= domain.mappingLimit()) {
            return "limit of %d mappings for the endpoints of domain 0x%x is reached"
                    .formatted(domain.mappingLimit(), domainId);
        }
        return status == Status.NOMEM && !domain.isListenedTo()
                ? "the IOMMU's memory for mapping tables has no room for the tables of this mapping"
                : NO_REASON;
    }

    /** Why an UNMAP is not OK. */
    public String unmap(int domainId, long first, long last) {
        Domain domain = iommu.domain(domainId);
        if (domain == null) {
            return noDomain(domainId);
        }
        MappingStore store = domain.store;
        if (store == null) {
            return "domain 0x%x is a bypass domain and has no mappings".formatted(domainId);
        }
        if (Long.compareUnsigned(last, first) < 0) {
            return "the range ends before it starts";
        }
        if (store.splits(first, last)) {
            String[] cut = {""};
            RunVisitor visitor =
                    (from, to, output, flags) -> {
                        if (!Ranges.covers(first, last, from, to)) {
                            cut[0] = "0x%x..0x%x".formatted(from, to);
                        }
                        return false;
                    };
            // Only a mapping at an edge can reach over it.
            store.mappings(first, first, visitor);
            store.mappings(last, last, visitor);
            return "cuts through the mapping " + cut[0];
        }
        return NO_REASON;
    }

    private static @Nullable String firstMapping(MappingStore store, long first, long last) {
        @Nullable String[] found = {null};
        store.mappings(
                first,
                last,
                (from, to, output, flags) -> {
                    found[0] = "0x%x..0x%x".formatted(from, to);
                    return false;
                });
        return found[0];
    }

    /** Why nothing is done about an endpoint that is not there. */
    public static String noEndpoint(int id) {
        return "there is no endpoint 0x%x: the topology table and the server disagree"
                .formatted(id);
    }

    private static String noDomain(int id) {
        return "there is no domain 0x%x: nothing is attached to it".formatted(id);
    }
}
