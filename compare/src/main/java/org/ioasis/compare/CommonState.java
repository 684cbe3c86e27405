// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.ioasis.spec.VirtioIommu.*;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * What a device holds as its answers tell: endpoints, domains, mappings. It is what both devices
 * are brought back to when they have come apart. One thread.
 */
final class CommonState {
    /** Domains that no step names, except by a chance of one in 2^32: to take endpoints away to. */
    private static final int ASIDE = 0x7ff0_0000;

    record Mapping(long first, long last, long output, int flags) {
        boolean overlaps(long otherFirst, long otherLast) {
            return Long.compareUnsigned(first, otherLast) <= 0
                    && Long.compareUnsigned(otherFirst, last) <= 0;
        }

        boolean isWithin(long otherFirst, long otherLast) {
            return Long.compareUnsigned(otherFirst, first) <= 0
                    && Long.compareUnsigned(last, otherLast) <= 0;
        }
    }

    /** Bypass, or with mappings that do not overlap, by their first address. */
    record Domain(boolean isBypass, SortedMap<Long, Mapping> mappings) {
        Domain(boolean isBypass) {
            this(isBypass, new TreeMap<>(Long::compareUnsigned));
        }

        boolean overlaps(long first, long last) {
            return mappings.values().stream().anyMatch(m -> m.overlaps(first, last));
        }

        List<Mapping> within(long first, long last) {
            return mappings.values().stream().filter(m -> m.isWithin(first, last)).toList();
        }

        /** An UNMAP of this range would split a mapping. */
        boolean splits(long first, long last) {
            return mappings.values().stream()
                    .anyMatch(m -> m.overlaps(first, last) && !m.isWithin(first, last));
        }
    }

    private final SortedMap<Integer, Integer> attached = new TreeMap<>(Integer::compareUnsigned);
    private final SortedMap<Integer, Domain> domains = new TreeMap<>(Integer::compareUnsigned);
    private long features;
    private boolean isBypassing;

    /** Nothing is attached; these features were accepted. */
    void restart(long accepted) {
        attached.clear();
        domains.clear();
        features = accepted;
    }

    boolean has(long feature) {
        return (features & feature) != 0;
    }

    long features() {
        return features;
    }

    void bypass(boolean value) {
        isBypassing = value;
    }

    /** Unattached endpoints reach everything. */
    boolean isBypassing() {
        return isBypassing;
    }

    @Nullable Domain domain(int id) {
        return domains.get(id);
    }

    /** The id of the endpoint's domain, or null. */
    @Nullable Integer domainOf(int endpoint) {
        return attached.get(endpoint);
    }

    /** The only endpoint of its domain. */
    boolean isAlone(int endpoint) {
        Integer id = attached.get(endpoint);
        return id != null && attached.values().stream().filter(id::equals).count() == 1;
    }

    /** Takes over what a request has done that was answered OK. */
    void apply(Request request) {
        switch (request.type()) {
            case T_ATTACH -> {
                boolean isBypass = (request.le32(ATTACH_FLAGS) & ATTACH_F_BYPASS) != 0;
                Integer old = attached.get(request.endpoint());
                if (old == null || old != request.domain()) {
                    leave(request.endpoint());
                    domains.putIfAbsent(request.domain(), new Domain(isBypass));
                    attached.put(request.endpoint(), request.domain());
                }
            }
            case T_DETACH -> leave(request.endpoint());
            case T_MAP -> {
                Domain domain = domains.get(request.domain());
                if (domain != null) {
                    Mapping mapping =
                            new Mapping(
                                    request.first(),
                                    request.last(),
                                    request.le64(MAP_PHYS_START),
                                    request.le32(MAP_FLAGS));
                    domain.mappings.put(mapping.first, mapping);
                }
            }
            case T_UNMAP -> {
                Domain domain = domains.get(request.domain());
                if (domain != null) {
                    domain.within(request.first(), request.last())
                            .forEach(m -> domain.mappings.remove(m.first));
                }
            }
            default -> {}
        }
    }

    private void leave(int endpoint) {
        Integer old = attached.remove(endpoint);
        if (old != null && !attached.containsValue(old)) {
            domains.remove(old);
        }
    }

    /**
     * Requests that bring a device here from anywhere. Each endpoint is attached to a domain of its
     * own and detached from it, which leaves nothing of what was; then all is made anew.
     *
     * @param strangers other ids that a device may have taken for an endpoint's
     */
    List<Request> rebuild(Collection<Integer> strangers) {
        List<Request> requests = new ArrayList<>();
        SortedSet<Integer> all = new TreeSet<>(strangers);
        all.addAll(attached.keySet());
        all.addAll(Requests.ENDPOINTS);
        for (int endpoint : all) {
            int aside = ASIDE + requests.size();
            requests.add(Request.attach(endpoint, aside, 0));
            requests.add(Request.detach(endpoint, aside));
        }
        attached.forEach((endpoint, id) ->
                requests.add(
                        Request.attach(endpoint, id, isBypassDomain(id) ? ATTACH_F_BYPASS : 0)));
        domains.forEach((id, domain) ->
                domain.mappings
                        .values()
                        .forEach(m ->
                                requests.add(Request.map(id, m.first, m.last, m.output, m.flags))));
        return requests;
    }

    /** A DETACH for each endpoint that is attached. */
    List<Request> detaches() {
        List<Request> detaches = new ArrayList<>();
        attached.forEach((endpoint, id) -> detaches.add(Request.detach(endpoint, id)));
        return detaches;
    }

    private boolean isBypassDomain(int id) {
        Domain domain = domains.get(id);
        return domain != null && domain.isBypass;
    }

    /** The one mapping of the endpoint's domain at this address, or null. */
    @Nullable Mapping mappingAt(int endpoint, long iova) {
        Integer id = attached.get(endpoint);
        Domain domain = id == null ? null : domains.get(id);
        if (domain == null) {
            return null;
        }
        return domain.mappings.values().stream()
                .filter(m -> m.overlaps(iova, iova))
                .findFirst()
                .orElse(null);
    }
}
