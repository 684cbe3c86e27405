// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static org.ioasis.spec.VirtioIommu.*;

import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.Refusals;
import org.ioasis.iommu.Status;
import org.jspecify.annotations.Nullable;

/**
 * Why the device did not answer OK: what is about the wire here, the rest from the engine. Device's
 * thread, only when somebody watches.
 */
final class AnswerReasons {
    private final Iommu iommu;
    private final Refusals refusals;

    AnswerReasons(Iommu iommu) {
        this.iommu = iommu;
        refusals = new Refusals(iommu);
    }

    /** The reason; empty if the answer is OK. */
    String of(RequestSlot slot, IommuRequest request, @Nullable Status status, long negotiated) {
        if (status == Status.OK) {
            return "";
        }
        if (slot.isPlanted) {
            return "planted";
        }
        if (slot.chain.writableLength() < TAIL_SIZE) {
            return "no room for an answer";
        }
        if ((negotiated & F_MAP_UNMAP) == 0
                && (slot.type == RequestType.MAP || slot.type == RequestType.UNMAP)) {
            return "VIRTIO_IOMMU_F_MAP_UNMAP is not negotiated";
        }
        return switch (request) {
            case IommuRequest.Unknown(int head, long _, long _) ->
                    RequestType.of(head) == RequestType.UNKNOWN
                            ? "no type of request is known by this number"
                            : "shorter than a request of its type";
            case IommuRequest.Attach(int endpoint, int domain, int flags) -> {
                if (slot.le32(ATTACH_RESERVED) != 0) {
                    yield "reserved is not 0";
                }
                int known = (negotiated & F_BYPASS_CONFIG) != 0 ? ATTACH_F_BYPASS : 0;
                yield (flags & ~known) != 0
                        ? "unknown flags 0x%x".formatted(flags & ~known)
                        : refusals.attach(endpoint, domain, (flags & ATTACH_F_BYPASS) != 0);
            }
            case IommuRequest.Detach(int endpoint, int domain) -> refusals.detach(endpoint, domain);
            case IommuRequest.Map(int domain, long first, long last, long output, int flags) -> {
                int known =
                        MAP_F_READ | MAP_F_WRITE | ((negotiated & F_MMIO) != 0 ? MAP_F_MMIO : 0);
                yield (flags & ~known) != 0
                        ? "unknown flags 0x%x".formatted(flags & ~known)
                        : status == null ? "" : refusals.map(domain, first, last, output, status);
            }
            case IommuRequest.Unmap(int domain, long first, long last) ->
                    slot.le32(UNMAP_RESERVED) != 0
                            ? "reserved is not 0"
                            : refusals.unmap(domain, first, last);
            case IommuRequest.Probe(int endpoint) ->
                    status == Status.NOENT
                            ? Refusals.noEndpoint(endpoint)
                            : status == Status.INVAL
                                    ? "the buffer is smaller than probe_size"
                                    : "the properties of endpoint 0x%x do not fit probe_size%s"
                                            .formatted(
                                                    endpoint,
                                                    iommu.endpoint(endpoint) == null
                                                            ? " (it is gone)"
                                                            : "");
        };
    }
}
