// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.mapping.MappingStore;
import org.jspecify.annotations.Nullable;

/**
 * An address space that endpoints are attached to. Changed by the loop thread; translating threads
 * read the final fields only.
 */
final class Domain {
    final int id;

    /** Null for a bypass domain, whose endpoints see guest-physical memory as it is. */
    final @Nullable MappingStore store;

    final List<Endpoint> endpoints = new ArrayList<>();

    /** A listener still owes an answer: requests to this domain wait. */
    boolean isBusy;

    // What the endpoints have in common, renewed at each attach and detach.
    private long commonGranule;
    private long granule;
    private long inputFirst;
    private long inputLast;
    private ReservedWindows reserved = ReservedWindows.NONE;
    private boolean isListenedTo;
    private long mappingLimit;

    Domain(int id, @Nullable MappingStore store) {
        this.id = id;
        this.store = store;
    }

    boolean isBypass() {
        return store == null;
    }

    /**
     * What mappings are aligned to. That of live mappings stands, whoever comes and goes: only a
     * domain without mappings gets another one.
     */
    long granule() {
        if (granule != commonGranule && !hasMappings()) {
            granule = commonGranule;
        }
        return granule;
    }

    /** The mappings of a saved state are there, aligned to {@code saved}. */
    void restored(long saved, IommuOptions options) {
        granule = saved;
        renew(options);
    }

    long inputFirst() {
        return inputFirst;
    }

    long inputLast() {
        return inputLast;
    }

    ReservedWindows reserved() {
        return reserved;
    }

    /** Most mappings that its endpoints together may cause. */
    long mappingLimit() {
        return mappingLimit;
    }

    /** True if some endpoint has a listener, which must hear of every change. */
    boolean isListenedTo() {
        return isListenedTo;
    }

    boolean hasMappings() {
        return store != null && store.size() > 0;
    }

    void add(Endpoint endpoint, IommuOptions options) {
        endpoints.add(endpoint);
        renew(options);
    }

    void remove(Endpoint endpoint, IommuOptions options) {
        endpoints.remove(endpoint);
        renew(options);
    }

    private void renew(IommuOptions options) {
        long mask = options.pageSizeMask();
        long first = options.inputFirst();
        long last = options.inputLast();
        ReservedWindows windows = ReservedWindows.NONE;
        boolean isHeard = false;
        for (Endpoint endpoint : endpoints) {
            EndpointProperties properties = endpoint.properties();
            mask &= properties.pageSizeMask() == 0 ? -1L : properties.pageSizeMask();
            first = maxUnsigned(first, properties.inputFirst());
            last = minUnsigned(last, properties.inputLast());
            windows = windows.combine(properties.reserved());
            isHeard |= endpoint.listener() != null;
        }
        isListenedTo = isHeard;
        mappingLimit = times(endpoints.size(), options.endpointMappingLimit());
        if (store != null) {
            store.limitTables(times(endpoints.size(), options.endpointTableLimit()));
        }
        commonGranule = Long.lowestOneBit(mask);
        inputFirst = first;
        inputLast = last;
        reserved = windows;
    }

    /**
     * True if {@code endpoint} can join: a common page size, a common input range, live mappings
     * that fit all of its properties, and no identity region laid open to others (D-25, D-26). None
     * of that matters in a bypass domain.
     */
    boolean isCompatible(Endpoint endpoint, IommuOptions options) {
        if (store == null) {
            return true;
        }
        EndpointProperties properties = endpoint.properties();
        long mask = options.pageSizeMask();
        for (Endpoint other : endpoints) {
            long otherMask = other.properties().pageSizeMask();
            mask &= otherMask == 0 ? -1L : otherMask;
            if (!options.identityBesideNone()
                    && properties.reserved().exposesIdentity(other.properties().reserved())) {
                return false;
            }
        }
        mask &= properties.pageSizeMask() == 0 ? -1L : properties.pageSizeMask();
        if (mask == 0) {
            return false;
        }
        long first = maxUnsigned(inputFirst(options), properties.inputFirst());
        long last = minUnsigned(inputLast(options), properties.inputLast());
        if (Long.compareUnsigned(last, first) < 0) {
            return false;
        }
        if (!hasMappings()) {
            return true;
        }
        // Page sizes are powers of two: what is aligned to the larger one is to the smaller.
        return Long.compareUnsigned(Long.lowestOneBit(mask), granule()) <= 0
                && !reachesOutside(store, first, last)
                && !touchesReserved(store, properties.reserved());
    }

    private long inputFirst(IommuOptions options) {
        return endpoints.isEmpty() ? options.inputFirst() : inputFirst;
    }

    private long inputLast(IommuOptions options) {
        return endpoints.isEmpty() ? options.inputLast() : inputLast;
    }

    private static boolean reachesOutside(MappingStore store, long first, long last) {
        return (first != 0 && store.overlaps(0, first - 1))
                || (last != -1L && store.overlaps(last + 1, -1L));
    }

    private static boolean touchesReserved(MappingStore store, ReservedWindows windows) {
        for (ReservedRegion region : windows.regions()) {
            if (store.overlaps(region.first(), region.last())) {
                return true;
            }
        }
        return false;
    }

    private static long times(int count, long limit) {
        return limit > Long.MAX_VALUE / Math.max(count, 1) ? Long.MAX_VALUE : count * limit;
    }

    private static long maxUnsigned(long a, long b) {
        return Long.compareUnsigned(a, b) >= 0 ? a : b;
    }

    private static long minUnsigned(long a, long b) {
        return Long.compareUnsigned(a, b) <= 0 ? a : b;
    }
}
