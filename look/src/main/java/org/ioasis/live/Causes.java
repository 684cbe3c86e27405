// SPDX-License-Identifier: Apache-2.0
package org.ioasis.live;

import java.time.Instant;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.memory.Ranges;
import org.ioasis.virtio.iommu.IommuRequest;
import org.jspecify.annotations.Nullable;

/**
 * What one driver has asked for of late, to find what a refused access came from: a MAP that was
 * refused, or an UNMAP before it. Bounded; what is older is forgotten. One thread, that which
 * writes the trace.
 */
final class Causes {
    /** MAPs that were refused and UNMAPs that are remembered. */
    static final int REMEMBERED = 4096;

    /** Endpoints whose domain is remembered. */
    private static final int ENDPOINTS_MAX = 65_536;

    private record Cause(int domain, long first, long last, String text) {}

    private final Map<Integer, Integer> domains = new HashMap<>();

    // The newest first.
    private final Deque<Cause> causes = new ArrayDeque<>();

    /** Takes where an endpoint is already. */
    void attached(int endpoint, int domain) {
        if (domains.size() < ENDPOINTS_MAX) {
            domains.put(endpoint, domain);
        }
    }

    /** Takes a request with its answer. */
    void answered(Instant time, IommuRequest request, @Nullable Status status, String why) {
        switch (request) {
            case IommuRequest.Attach(int endpoint, int domain, int _) -> {
                if (status == Status.OK) {
                    attached(endpoint, domain);
                }
            }
            case IommuRequest.Detach(int endpoint, int _) -> {
                if (status == Status.OK) {
                    domains.remove(endpoint);
                }
            }
            case IommuRequest.Map(int domain, long first, long last, long _, int _) -> {
                if (status != Status.OK) {
                    add(
                            domain,
                            first,
                            last,
                            "MAP refused at %s with %s, %s".formatted(time, status, why));
                }
            }
            case IommuRequest.Unmap(int domain, long first, long last) -> {
                if (status == Status.OK) {
                    add(domain, first, last, "UNMAP at " + time);
                }
            }
            case IommuRequest.AttachTable(
                            int endpoint,
                            int pasid,
                            int domain,
                            int _,
                            long _,
                            int _) -> {
                if (status == Status.OK && pasid < 0) {
                    attached(endpoint, domain);
                }
            }
            // What a table says is the driver's to know.
            case IommuRequest.Invalidate _,
                    IommuRequest.PageResponse _,
                    IommuRequest.Probe _,
                    IommuRequest.Unknown _ -> {}
        }
    }

    private void add(int domain, long first, long last, String text) {
        if (causes.size() == REMEMBERED) {
            causes.removeLast();
        }
        causes.addFirst(new Cause(domain, first, last, text));
    }

    /** All that it asked for is gone. */
    void reset() {
        domains.clear();
        causes.clear();
    }

    /** What the access came from, for people; empty if nothing of it is known. */
    String of(Fault fault) {
        Integer domain = domains.get(fault.endpoint());
        if (domain == null) {
            return "";
        }
        for (Cause cause : causes) {
            if (cause.domain == domain && Ranges.holds(cause.first, cause.last, fault.address())) {
                return "0x%x..0x%x: %s".formatted(cause.first, cause.last, cause.text);
            }
        }
        return "";
    }
}
