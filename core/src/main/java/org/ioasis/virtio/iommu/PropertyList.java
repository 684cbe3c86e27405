package org.ioasis.virtio.iommu;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
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
import java.util.List;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommu.ReservedRegion.Kind;

/** Writes what PROBE tells of an endpoint (virtio 1.4, 5.13.6.7 and 5.13.6.8). Any thread. */
final class PropertyList {
    private PropertyList() {}

    /**
     * True if the properties fit into {@code size} bytes and leave room for an empty property at
     * the end, which Linux needs: it reads a header wherever the list could go on.
     */
    static boolean fits(EndpointProperties properties, int size) {
        return properties.reserved().regions().size() * RESV_MEM_SIZE + PROPERTY_HEAD_SIZE <= size;
    }

    /** Writes the list and zeroes behind it over {@code size} bytes of {@code list}. It fits. */
    static void write(EndpointProperties properties, MemorySegment list, int size) {
        list.asSlice(0, size).fill((byte) 0);
        List<ReservedRegion> regions = properties.reserved().regions();
        boolean hasMsi = false;
        for (int i = 0; i < regions.size(); i++) {
            ReservedRegion region = regions.get(i);
            // At most one MSI region (D-56). An identity region is one that cannot be mapped for
            // drivers of 1.4.
            boolean isMsi = region.kind() == Kind.MSI && !hasMsi;
            hasMsi |= isMsi;
            long at = (long) i * RESV_MEM_SIZE;
            list.set(LE16, at, (short) PROBE_T_RESV_MEM);
            list.set(LE16, at + 2, (short) (RESV_MEM_SIZE - PROPERTY_HEAD_SIZE));
            list.set(
                    JAVA_BYTE,
                    at + RESV_MEM_SUBTYPE,
                    (byte) (isMsi ? RESV_MEM_T_MSI : RESV_MEM_T_RESERVED));
            list.set(LE64, at + RESV_MEM_START, region.first());
            list.set(LE64, at + RESV_MEM_END, region.last());
        }
    }
}
