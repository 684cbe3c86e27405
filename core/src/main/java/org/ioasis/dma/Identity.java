// SPDX-License-Identifier: Apache-2.0
package org.ioasis.dma;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.spec.VirtioIommu;
import org.ioasis.virtio.driver.DriverException;
import org.ioasis.virtio.iommu.driver.Batch;
import org.ioasis.virtio.iommu.driver.DriverDomain;
import org.ioasis.virtio.iommu.driver.DriverOptions.Range;
import org.ioasis.virtio.iommu.driver.EndpointInfo;
import org.ioasis.virtio.iommu.driver.IommuConfig;
import org.ioasis.virtio.iommu.driver.IommuDriver;
import org.ioasis.virtio.iommu.driver.Permission;

/** Endpoints whose addresses are those of memory. The thread of the driver. */
public final class Identity {
    private Identity() {}

    /**
     * Lets an endpoint reach memory at its own addresses: by a bypass domain where the device has
     * them, otherwise by mappings of {@code memory}, without what is reserved for the endpoint or
     * outside of the input range.
     *
     * @return the domain in which the endpoint is now
     */
    public static DriverDomain attach(IommuDriver driver, int endpoint, List<Range> memory)
            throws DriverException {
        boolean hasBypass = driver.config().has(VirtioIommu.F_BYPASS_CONFIG);
        DriverDomain domain = hasBypass ? driver.bypassDomain() : driver.domain();
        try {
            if (!hasBypass) {
                Batch batch = domain.batch();
                EndpointInfo info = driver.probe(endpoint);
                for (Range range : usable(memory, info, driver.config())) {
                    batch.map(range.first(), range.last(), range.first(), Permission.READ_WRITE);
                }
                batch.commit();
            }
            driver.attach(domain, endpoint);
        } catch (DriverException refused) {
            driver.close(domain);
            throw refused;
        }
        return domain;
    }

    /** What may be mapped, in whole granules. */
    private static List<Range> usable(List<Range> memory, EndpointInfo info, IommuConfig config) {
        List<Range> left = new ArrayList<>();
        memory.forEach(
                range -> clip(left, range, new Range(config.inputFirst(), config.inputLast())));
        // Clipped to the input range first; then each region is cut out.
        for (Range region : info.reserved()) {
            List<Range> cut = new ArrayList<>();
            for (Range range : left) {
                below(cut, range, region.first());
                above(cut, range, region.last());
                if (!range.overlaps(region.first(), region.last())) {
                    cut.add(range);
                }
            }
            left.clear();
            left.addAll(cut);
        }
        List<Range> whole = new ArrayList<>();
        long mask = config.granule() - 1;
        for (Range range : left) {
            long first = (range.first() + mask) & ~mask;
            long last = ((range.last() + 1) & ~mask) - 1;
            boolean wraps = Long.compareUnsigned(first, range.first()) < 0;
            boolean isSmall =
                    range.last() != -1L && Long.compareUnsigned(range.last() + 1, mask + 1) < 0;
            if (!wraps && !isSmall && Long.compareUnsigned(first, last) < 0) {
                whole.add(new Range(first, last));
            }
        }
        return whole;
    }

    private static void clip(List<Range> to, Range range, Range input) {
        if (range.overlaps(input.first(), input.last())) {
            to.add(new Range(max(range.first(), input.first()), min(range.last(), input.last())));
        }
    }

    /** The part of a range below an address, if the address is in it. */
    private static void below(List<Range> to, Range range, long address) {
        if (range.holds(address, address) && address != range.first()) {
            to.add(new Range(range.first(), address - 1));
        }
    }

    private static void above(List<Range> to, Range range, long address) {
        if (range.holds(address, address) && address != range.last()) {
            to.add(new Range(address + 1, range.last()));
        }
    }

    private static long max(long a, long b) {
        return Long.compareUnsigned(a, b) > 0 ? a : b;
    }

    private static long min(long a, long b) {
        return Long.compareUnsigned(a, b) < 0 ? a : b;
    }
}
