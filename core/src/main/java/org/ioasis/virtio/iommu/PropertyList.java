// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.ioasis.memory.Ranges.isBelow;
import static org.ioasis.spec.VirtioIommu.PROBE_T_RESV_MEM;
import static org.ioasis.spec.VirtioIommu.PROPERTY_HEAD_SIZE;
import static org.ioasis.spec.VirtioIommu.RESV_MEM_END;
import static org.ioasis.spec.VirtioIommu.RESV_MEM_SIZE;
import static org.ioasis.spec.VirtioIommu.RESV_MEM_START;
import static org.ioasis.spec.VirtioIommu.RESV_MEM_SUBTYPE;
import static org.ioasis.spec.VirtioIommu.RESV_MEM_T_MSI;
import static org.ioasis.spec.VirtioIommu.RESV_MEM_T_RESERVED;
import static org.ioasis.virtio.iommu.Wire.LE16;
import static org.ioasis.virtio.iommu.Wire.LE64;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommu.ReservedRegion.Kind;
import org.ioasis.iommu.ReservedWindows;
import org.jspecify.annotations.Nullable;

/** Writes what PROBE tells of an endpoint (virtio 1.4, 5.13.6.7 and 5.13.6.8). Any thread. */
final class PropertyList {
    private PropertyList() {}

    /**
     * Writes the list and zeroes behind it over {@code size} bytes of {@code list}, at least room
     * for four regions. One header's room stays zero at the end, which Linux needs: it reads a
     * header wherever the list could go on.
     *
     * @param tables what follows the regions with a profile; null: nothing
     */
    static void write(
            EndpointProperties properties,
            IommuOptions options,
            @Nullable TableProperties tables,
            MemorySegment list,
            int size) {
        list.asSlice(0, size).fill((byte) 0);
        int room = size - PROPERTY_HEAD_SIZE - (tables == null ? 0 : tables.size());
        List<ReservedRegion> regions = shown(properties, options, room / RESV_MEM_SIZE);
        for (int i = 0; i < regions.size(); i++) {
            ReservedRegion region = regions.get(i);
            long at = (long) i * RESV_MEM_SIZE;
            list.set(LE16, at, (short) PROBE_T_RESV_MEM);
            list.set(LE16, at + 2, (short) (RESV_MEM_SIZE - PROPERTY_HEAD_SIZE));
            list.set(
                    JAVA_BYTE,
                    at + RESV_MEM_SUBTYPE,
                    (byte) (region.kind() == Kind.MSI ? RESV_MEM_T_MSI : RESV_MEM_T_RESERVED));
            list.set(LE64, at + RESV_MEM_START, region.first());
            list.set(LE64, at + RESV_MEM_END, region.last());
        }
        if (tables != null) {
            tables.write(list, (long) regions.size() * RESV_MEM_SIZE);
        }
    }

    /**
     * What the driver is told, in order and without overlap, at most {@code room} regions: where
     * the endpoint cannot put an address on the bus, its reserved and identity regions (drivers of
     * 1.4 know no identity regions), and one MSI region (D-56). When there are too many, the
     * nearest neighbours show as one: the driver then leaves out more than it must.
     */
    private static List<ReservedRegion> shown(
            EndpointProperties properties, IommuOptions options, int room) {
        List<ReservedRegion> told = new ArrayList<>();
        boolean hasMsi = false;
        for (ReservedRegion region : properties.reserved().regions()) {
            boolean isMsi = region.kind() == Kind.MSI && !hasMsi;
            hasMsi |= isMsi;
            told.add(
                    new ReservedRegion(
                            region.first(), region.last(), isMsi ? Kind.MSI : Kind.RESERVED));
        }
        if (isBelow(options.inputFirst(), properties.inputFirst())) {
            told.add(
                    new ReservedRegion(
                            options.inputFirst(), properties.inputFirst() - 1, Kind.RESERVED));
        }
        if (isBelow(properties.inputLast(), options.inputLast())) {
            told.add(
                    new ReservedRegion(
                            properties.inputLast() + 1, options.inputLast(), Kind.RESERVED));
        }
        List<ReservedRegion> regions = new ArrayList<>(ReservedWindows.of(told).regions());
        while (regions.size() > room) {
            mergeNearest(regions);
        }
        return regions;
    }

    private static void mergeNearest(List<ReservedRegion> regions) {
        int nearest = -1;
        long gap = 0;
        for (int i = 0; i + 1 < regions.size(); i++) {
            long next = regions.get(i + 1).first() - regions.get(i).last();
            boolean isMsi =
                    regions.get(i).kind() == Kind.MSI || regions.get(i + 1).kind() == Kind.MSI;
            if (!isMsi && (nearest < 0 || isBelow(next, gap))) {
                nearest = i;
                gap = next;
            }
        }
        ReservedRegion above = regions.remove(nearest + 1);
        regions.set(
                nearest,
                new ReservedRegion(regions.get(nearest).first(), above.last(), Kind.RESERVED));
    }
}
