// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.ArrayList;
import java.util.List;

/**
 * All of an IOMMU that can be seen from outside, as text in the order of ids: the same state gives
 * the same text, which is how tests see that a refused request has changed nothing. Loop thread.
 */
public final class StateText {
    private StateText() {}

    public static String of(Iommu iommu) {
        StringBuilder out = new StringBuilder();
        out.append("bypass=").append(iommu.isBypassing() ? 1 : 0).append('\n');
        List<Endpoint> endpoints = new ArrayList<>();
        iommu.forEachEndpoint(endpoints::add);
        endpoints.sort((a, b) -> Integer.compareUnsigned(a.id(), b.id()));
        for (Endpoint endpoint : endpoints) {
            out.append("endpoint 0x").append(Integer.toHexString(endpoint.id()));
            if (endpoint.isAttached()) {
                out.append(": domain 0x").append(Long.toHexString(endpoint.domainId()));
            } else {
                out.append(": detached");
            }
            out.append('\n');
        }
        for (DomainView domain : iommu.domains(Integer.MAX_VALUE, Integer.MAX_VALUE)) {
            append(out, domain);
        }
        return out.toString();
    }

    private static void append(StringBuilder out, DomainView domain) {
        out.append("domain 0x").append(Long.toHexString(domain.id())).append(": ");
        if (domain.isBypass()) {
            out.append("bypass\n");
            return;
        }
        out.append("granule 0x").append(Long.toHexString(domain.granule()));
        out.append(", ").append(domain.mappingCount()).append(" mappings\n");
        for (DomainView.MappingView mapping : domain.mappings()) {
            out.append("  0x")
                    .append(Long.toHexString(mapping.first()))
                    .append("..0x")
                    .append(Long.toHexString(mapping.last()))
                    .append(" -> 0x")
                    .append(Long.toHexString(mapping.output()))
                    .append(" flags ")
                    .append(mapping.flags())
                    .append('\n');
        }
    }
}
