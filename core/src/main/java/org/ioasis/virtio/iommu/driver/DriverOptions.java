// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

import static org.ioasis.spec.VirtioIommu.F_BYPASS_CONFIG;
import static org.ioasis.spec.VirtioIommu.F_DOMAIN_RANGE;
import static org.ioasis.spec.VirtioIommu.F_INPUT_RANGE;
import static org.ioasis.spec.VirtioIommu.F_MAP_UNMAP;
import static org.ioasis.spec.VirtioIommu.F_MMIO;
import static org.ioasis.spec.VirtioIommu.F_PROBE;
import static org.ioasis.spec.VirtioIommuTables.F_ATTACH_TABLE;
import static org.ioasis.spec.VirtioIommuTables.F_PAGE_REQUEST;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.spec.Virtio;

/**
 * What a driver asks of its device.
 *
 * @param wanted features that it accepts if they are offered; never the old BYPASS
 * @param required features without which it does not start
 * @param queueSize entries of each queue at most
 * @param probeSize bytes of properties at most: a device that wants more is refused
 * @param registers where the registers of devices are, in physical addresses: they are mapped with
 *     the MMIO flag, and nothing else is
 */
public record DriverOptions(
        long wanted, long required, int queueSize, int probeSize, List<Range> registers) {
    /** Features of the device type that the driver knows. */
    public static final long FEATURES =
            F_INPUT_RANGE | F_DOMAIN_RANGE | F_MAP_UNMAP | F_PROBE | F_MMIO | F_BYPASS_CONFIG;

    /** Features of all devices that the driver knows. */
    public static final long FRAME =
            Virtio.F_VERSION_1
                    | Virtio.F_INDIRECT_DESC
                    | Virtio.F_EVENT_IDX
                    | Virtio.F_RING_PACKED
                    | Virtio.F_ACCESS_PLATFORM;

    /** Features of a draft: tables of the driver's own, and page requests. */
    public static final long TABLES = F_ATTACH_TABLE | F_PAGE_REQUEST;

    /** Everything that is offered; mappings are required. */
    public static final DriverOptions DEFAULT =
            new DriverOptions(FEATURES | FRAME, F_MAP_UNMAP, 256, 1 << 16, List.of());

    /** Both ends included, unsigned. */
    public record Range(long first, long last) {
        public Range {
            if (Long.compareUnsigned(first, last) > 0) {
                throw new IllegalArgumentException(
                        "0x%x..0x%x ends before it begins".formatted(first, last));
            }
        }

        /** Whether the two have an address in common. */
        public boolean overlaps(long otherFirst, long otherLast) {
            return Long.compareUnsigned(first, otherLast) <= 0
                    && Long.compareUnsigned(otherFirst, last) <= 0;
        }

        /** Whether all of the other lies in this one. */
        public boolean holds(long otherFirst, long otherLast) {
            return Long.compareUnsigned(first, otherFirst) <= 0
                    && Long.compareUnsigned(otherLast, last) <= 0;
        }
    }

    public DriverOptions {
        if (((wanted | required) & ~(FEATURES | FRAME | TABLES)) != 0) {
            throw new IllegalArgumentException("features 0x%x".formatted(wanted | required));
        }
        if (queueSize < 2 || Integer.bitCount(queueSize) != 1 || queueSize > 32768) {
            throw new IllegalArgumentException("queue size " + queueSize);
        }
        registers = List.copyOf(registers);
    }

    /** The same with other features. */
    public DriverOptions withFeatures(long wanted, long required) {
        return new DriverOptions(wanted, required, queueSize, probeSize, registers);
    }

    /** The same for a device that takes tables: it must. */
    public DriverOptions withTables() {
        return withFeatures(wanted | TABLES, required | TABLES);
    }

    /** The same with queues of at most {@code entries}. */
    public DriverOptions withQueueSize(int entries) {
        return new DriverOptions(wanted, required, entries, probeSize, registers);
    }

    /** The same with registers of a device at a range of physical addresses. */
    public DriverOptions withRegisters(Range range) {
        List<Range> more = new ArrayList<>(registers);
        more.add(range);
        return new DriverOptions(wanted, required, queueSize, probeSize, more);
    }
}
