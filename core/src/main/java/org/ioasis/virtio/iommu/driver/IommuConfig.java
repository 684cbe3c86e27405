// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

import static org.ioasis.spec.VirtioIommu.CONFIG_DOMAIN_END;
import static org.ioasis.spec.VirtioIommu.CONFIG_DOMAIN_START;
import static org.ioasis.spec.VirtioIommu.CONFIG_INPUT_END;
import static org.ioasis.spec.VirtioIommu.CONFIG_INPUT_START;
import static org.ioasis.spec.VirtioIommu.CONFIG_PAGE_SIZE_MASK;
import static org.ioasis.spec.VirtioIommu.CONFIG_PROBE_SIZE;
import static org.ioasis.spec.VirtioIommu.F_DOMAIN_RANGE;
import static org.ioasis.spec.VirtioIommu.F_INPUT_RANGE;
import static org.ioasis.spec.VirtioIommu.F_PROBE;

import org.ioasis.virtio.driver.DriverException;
import org.ioasis.virtio.driver.Transport;

/**
 * What a device can, as negotiated: a field counts only with the feature that it belongs to
 * (5.13.4).
 *
 * @param features what both have agreed on
 * @param domainFirst lowest domain id, unsigned
 * @param domainLast highest domain id, unsigned
 * @param probeSize bytes of properties, 0 if there is no PROBE
 */
public record IommuConfig(
        long features,
        long pageSizeMask,
        long inputFirst,
        long inputLast,
        int domainFirst,
        int domainLast,
        int probeSize) {
    /** A configuration that changes while it is read this often is refused. */
    private static final int READS = 16;

    /** Reads it in one state of the device (2.5.1). */
    static IommuConfig read(Transport device, long features, int probeSizeMost)
            throws DriverException {
        for (int i = 0; i < READS; i++) {
            int before = device.configGeneration();
            IommuConfig config = readOnce(device, features);
            if (device.configGeneration() == before) {
                config.check(probeSizeMost);
                return config;
            }
        }
        throw new DriverException("the configuration does not stay as it is");
    }

    private static IommuConfig readOnce(Transport device, long features) {
        boolean hasInput = (features & F_INPUT_RANGE) != 0;
        boolean hasDomains = (features & F_DOMAIN_RANGE) != 0;
        boolean hasProbe = (features & F_PROBE) != 0;
        return new IommuConfig(
                features,
                device.readConfig(CONFIG_PAGE_SIZE_MASK, 8),
                hasInput ? device.readConfig(CONFIG_INPUT_START, 8) : 0,
                hasInput ? device.readConfig(CONFIG_INPUT_END, 8) : -1,
                hasDomains ? (int) device.readConfig(CONFIG_DOMAIN_START, 4) : 0,
                hasDomains ? (int) device.readConfig(CONFIG_DOMAIN_END, 4) : -1,
                hasProbe ? (int) device.readConfig(CONFIG_PROBE_SIZE, 4) : 0);
    }

    private void check(int probeSizeMost) throws DriverException {
        if (pageSizeMask == 0) {
            throw new DriverException("page_size_mask is empty");
        }
        if (Long.compareUnsigned(inputFirst, inputLast) > 0) {
            throw new DriverException("input_range 0x%x..0x%x".formatted(inputFirst, inputLast));
        }
        if (Integer.compareUnsigned(domainFirst, domainLast) > 0) {
            throw new DriverException(
                    "domain_range %s..%s"
                            .formatted(
                                    Integer.toUnsignedString(domainFirst),
                                    Integer.toUnsignedString(domainLast)));
        }
        if (Integer.compareUnsigned(probeSize, probeSizeMost) > 0) {
            throw new DriverException("probe_size " + Integer.toUnsignedString(probeSize));
        }
    }

    /** Smallest unit of a mapping: the lowest page size. */
    public long granule() {
        return Long.lowestOneBit(pageSizeMask);
    }

    /** Whether all of these features are agreed on. */
    public boolean has(long wanted) {
        return (features & wanted) == wanted;
    }

    boolean isAligned(long first, long last) {
        return ((first | (last + 1)) & (granule() - 1)) == 0;
    }

    boolean isInput(long first, long last) {
        return Long.compareUnsigned(first, inputFirst) >= 0
                && Long.compareUnsigned(last, inputLast) <= 0;
    }
}
