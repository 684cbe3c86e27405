// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.mapping.Translation.Kind;

/**
 * A domain at one moment, for who shows it. Immutable.
 *
 * @param id {@code 0..2^32-1}
 * @param isBypass its endpoints see guest-physical memory as it is
 * @param granule what its mappings are aligned to; 0 for one without mappings
 * @param endpoints ids of what is attached to it, each once, in the order of attaching
 * @param mappingCount all its mappings
 * @param mappings the first of them in the order of addresses
 */
public record DomainView(
        long id,
        boolean isBypass,
        long granule,
        List<Integer> endpoints,
        long mappingCount,
        List<MappingView> mappings) {

    public DomainView {
        endpoints = List.copyOf(endpoints);
        mappings = List.copyOf(mappings);
    }

    static DomainView of(Domain domain, int mappingMax) {
        List<MappingView> first = new ArrayList<>();
        PagingDomain paging = domain instanceof PagingDomain mapped ? mapped : null;
        if (paging != null && mappingMax > 0) {
            paging.mappings(
                    0,
                    -1L,
                    (from, to, output, flags) -> {
                        first.add(new MappingView(from, to, output, flags));
                        return first.size() < mappingMax;
                    });
        }
        return new DomainView(
                Integer.toUnsignedLong(domain.id()),
                paging == null && domain.kind() != Kind.WALKED,
                paging == null ? 0 : paging.granule(),
                domain.attachments().stream().map(one -> one.endpoint().id()).distinct().toList(),
                paging == null ? 0 : paging.size(),
                first);
    }

    /** One mapping; both ends inclusive, flags as in {@code MapFlags}. */
    public record MappingView(long first, long last, long output, int flags) {}
}
