// SPDX-License-Identifier: Apache-2.0
package org.ioasis.assigned;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommu.ReservedRegion.Kind;
import org.ioasis.iommu.ReservedWindows;
import org.ioasis.iommufd.HwDevice;
import org.ioasis.iommufd.IovaRange;
import org.ioasis.vfio.VfioGroup;

/**
 * What the host says of an assigned device, and where each value comes from, so that whoever shows
 * it to a guest can say why. Immutable.
 *
 * @param pasidBits width of its PASIDs; 0: none
 * @param isCoherent no transaction passes by the caches
 * @param tracksDirty its writes can be told afterwards
 * @param reserved regions of the host, and the doorbell of the guest's platform
 */
public record HostCapabilities(
        Value<Integer> pasidBits,
        Value<Boolean> isCoherent,
        Value<Boolean> tracksDirty,
        List<Value<ReservedRegion>> reserved) {
    /** Who says so. */
    public enum Origin {
        /** The device itself. */
        DEVICE,
        /** All devices of its group together: no IOMMU can treat them differently. */
        GROUP,
        /** The platform that the guest sees. */
        PLATFORM
    }

    /**
     * One value.
     *
     * @param <T> its type
     */
    public record Value<T>(T value, Origin origin) {}

    public HostCapabilities {
        reserved = List.copyOf(reserved);
    }

    /**
     * What a device of a group can do. A device has the regions of all devices of its group, since
     * the address space that it reaches is theirs; the doorbell for interrupts is the guest's own,
     * and none of the host's.
     *
     * @param device one of the group
     * @param doorbells where the guest's platform takes interrupts
     */
    public static HostCapabilities of(
            VfioGroup group, HwDevice device, List<ReservedRegion> doorbells) {
        List<Value<ReservedRegion>> regions = new ArrayList<>();
        boolean isCoherent = true;
        for (HwDevice member : group.devices()) {
            isCoherent &= member.enforcesCoherency();
            for (IovaRange range : member.reserved()) {
                ReservedRegion region =
                        new ReservedRegion(range.first(), range.last(), Kind.RESERVED);
                regions.add(new Value<>(region, Origin.GROUP));
            }
        }
        for (ReservedRegion doorbell : doorbells) {
            regions.add(new Value<>(doorbell, Origin.PLATFORM));
        }
        return new HostCapabilities(
                new Value<>(device.pasidBits(), Origin.DEVICE),
                new Value<>(isCoherent, Origin.GROUP),
                new Value<>(device.tracksDirty(), Origin.DEVICE),
                regions);
    }

    /** As the guest's IOMMU needs it for the endpoint: overlapping regions are resolved. */
    public EndpointProperties properties() {
        List<ReservedRegion> regions = new ArrayList<>();
        for (Value<ReservedRegion> region : reserved) {
            regions.add(region.value());
        }
        return new EndpointProperties(0, 0, -1L, ReservedWindows.of(regions));
    }
}
