// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

import static org.ioasis.spec.VirtioIommu.F_MAP_UNMAP;
import static org.ioasis.spec.VirtioIommu.F_MMIO;
import static org.ioasis.spec.VirtioIommu.MAP_F_MMIO;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import org.ioasis.virtio.driver.DriverException;
import org.ioasis.virtio.iommu.driver.DriverOptions.Range;
import org.jspecify.annotations.Nullable;

/**
 * An address space of the driver's: what it has mapped, and which endpoints are in it. While no
 * endpoint is, the device knows nothing of it (5.13.6.3); what is mapped meanwhile is told with the
 * first ATTACH.
 *
 * <p>What a driver must not ask is refused here, by an {@link IllegalArgumentException} or {@link
 * IllegalStateException}: it does not reach the device. Driver's thread.
 */
public final class DriverDomain {
    private final IommuDriver driver;
    private final int id;
    private final boolean isBypass;
    private final NavigableMap<Long, DriverMapping> mappings = new TreeMap<>(Long::compareUnsigned);
    private final SortedSet<Integer> endpoints = new TreeSet<>();
    private List<Range> reserved = List.of();

    DriverDomain(IommuDriver driver, int id, boolean isBypass) {
        this.driver = driver;
        this.id = id;
        this.isBypass = isBypass;
    }

    /** Its number on the wire, unsigned. */
    public int id() {
        return id;
    }

    /** Whether its endpoints reach memory as it is, without mappings. */
    public boolean isBypass() {
        return isBypass;
    }

    /** Who is in it. */
    public List<Integer> endpoints() {
        return List.copyOf(endpoints);
    }

    /** Number of mappings, those that a batch has not sent yet included. */
    public int mappingCount() {
        return mappings.size();
    }

    /** What must not be mapped, because of the endpoints that are in it. */
    public List<Range> reserved() {
        return reserved;
    }

    /** The driver that it belongs to. */
    public IommuDriver driver() {
        return driver;
    }

    /** Maps {@code first..last} and waits for the answer. */
    public void map(long first, long last, long output, Permission permission)
            throws DriverException {
        Batch batch = batch();
        batch.map(first, last, output, permission);
        batch.commit();
    }

    /**
     * Takes away the mappings in {@code first..last} and waits for the answer: no endpoint reaches
     * them any more when it returns.
     */
    public void unmap(long first, long last) throws DriverException {
        Batch batch = batch();
        batch.unmap(first, last);
        batch.commit();
    }

    /** Requests that are sent together. */
    public Batch batch() {
        return new Batch(driver, this);
    }

    // --- what a driver may ask

    /** A mapping that may be asked for, in the table from now on. */
    DriverMapping ask(long first, long last, long output, Permission permission) {
        mustMap();
        IommuConfig config = driver.config();
        String range = "0x%x..0x%x".formatted(first, last);
        // One byte is legal where the granule is one, but not for a driver (5.13.6.5.1).
        if (Long.compareUnsigned(first, last) >= 0) {
            throw new IllegalArgumentException(range + " does not end behind its first byte");
        }
        if (!config.isAligned(first, last) || (output & (config.granule() - 1)) != 0) {
            throw new IllegalArgumentException(
                    "%s to 0x%x is not aligned to 0x%x".formatted(range, output, config.granule()));
        }
        long outputLast = output + (last - first);
        if (Long.compareUnsigned(output, outputLast) > 0) {
            throw new IllegalArgumentException(
                    "%s to 0x%x goes beyond the last address".formatted(range, output));
        }
        if (!config.isInput(first, last)) {
            throw new IllegalArgumentException(range + " is not in the input range");
        }
        if (isReserved(first, last)) {
            throw new IllegalArgumentException(range + " is reserved");
        }
        if (isMapped(first, last)) {
            throw new IllegalArgumentException(range + " is mapped");
        }
        int flags = permission.flags() | memoryType(output, outputLast);
        DriverMapping mapping = new DriverMapping(first, last, output, flags);
        mappings.put(first, mapping);
        return mapping;
    }

    /** The flag for what lies there, which must be of one kind (5.13.6.5.1). */
    private int memoryType(long output, long outputLast) {
        for (Range registers : driver.options().registers()) {
            if (!registers.overlaps(output, outputLast)) {
                continue;
            }
            if (!registers.holds(output, outputLast)) {
                throw new IllegalArgumentException(
                        "0x%x..0x%x is memory in part and registers in part"
                                .formatted(output, outputLast));
            }
            if (!driver.config().has(F_MMIO)) {
                throw new IllegalArgumentException(
                        "0x%x..0x%x are registers, and the device maps none"
                                .formatted(output, outputLast));
            }
            return MAP_F_MMIO;
        }
        return 0;
    }

    /**
     * The mappings of a range that may be taken away, marked as leaving. Holes are fine, a mapping
     * that would be cut is not.
     *
     * @return how many there are
     */
    int askLeave(long first, long last) {
        mustMap();
        DriverMapping cut = cutBy(first, last);
        if (cut != null) {
            throw new IllegalArgumentException(
                    "0x%x..0x%x cuts the mapping %s".formatted(first, last, cut));
        }
        Collection<DriverMapping> inside = inside(first, last);
        for (DriverMapping mapping : inside) {
            if (mapping.state != DriverMapping.State.MAPPED) {
                throw new IllegalArgumentException(
                        "the mapping %s is in a batch".formatted(mapping));
            }
        }
        inside.forEach(mapping -> mapping.state = DriverMapping.State.LEAVING);
        return inside.size();
    }

    /** What is mapped in a range, which cuts nothing. */
    private Collection<DriverMapping> inside(long first, long last) {
        return mappings.subMap(first, true, last, true).values();
    }

    private @Nullable DriverMapping cutBy(long first, long last) {
        if (Long.compareUnsigned(first, last) > 0) {
            throw new IllegalArgumentException(
                    "0x%x..0x%x ends before it begins".formatted(first, last));
        }
        Map.Entry<Long, DriverMapping> below = mappings.lowerEntry(first);
        if (below != null && Long.compareUnsigned(below.getValue().last, first) >= 0) {
            return below.getValue();
        }
        Map.Entry<Long, DriverMapping> highest = mappings.floorEntry(last);
        if (highest != null && Long.compareUnsigned(highest.getValue().last, last) > 0) {
            return highest.getValue();
        }
        return null;
    }

    private void mustMap() {
        driver.mustKnow(this);
        if (isBypass) {
            throw new IllegalStateException(
                    "domain %s is a bypass domain".formatted(Integer.toUnsignedString(id)));
        }
        if (!driver.config().has(F_MAP_UNMAP)) {
            throw new IllegalStateException("MAP_UNMAP is not negotiated");
        }
    }

    /** Whether an address of it is mapped, or about to be. */
    public boolean isMapped(long first, long last) {
        Map.Entry<Long, DriverMapping> below = mappings.floorEntry(last);
        return below != null && Long.compareUnsigned(below.getValue().last, first) >= 0;
    }

    /** Whether an address of it must not be mapped. */
    public boolean isReserved(long first, long last) {
        for (Range range : reserved) {
            if (range.overlaps(first, last)) {
                return true;
            }
        }
        return false;
    }

    // --- what the device has answered

    void mapped(DriverMapping mapping, boolean isThere) {
        if (isThere) {
            mapping.state = DriverMapping.State.MAPPED;
        } else {
            mappings.remove(mapping.first);
        }
    }

    void left(long first, long last, boolean isGone) {
        if (isGone) {
            inside(first, last).clear();
        } else {
            inside(first, last).forEach(each -> each.state = DriverMapping.State.MAPPED);
        }
    }

    // --- endpoints

    /** Whether the device knows of it. */
    boolean isLive() {
        return !endpoints.isEmpty();
    }

    Collection<DriverMapping> mappings() {
        return mappings.values();
    }

    void add(int endpoint) {
        endpoints.add(endpoint);
        unite();
    }

    void remove(int endpoint) {
        endpoints.remove(endpoint);
        unite();
    }

    private void unite() {
        List<Range> all = new ArrayList<>();
        for (int endpoint : endpoints) {
            all.addAll(driver.info(endpoint).reserved());
        }
        reserved = List.copyOf(all);
    }

    /** A mapping that an endpoint must not have, or null. */
    @Nullable DriverMapping reservedBy(EndpointInfo info) {
        for (Range range : info.reserved()) {
            Map.Entry<Long, DriverMapping> below = mappings.floorEntry(range.last());
            if (below != null && Long.compareUnsigned(below.getValue().last, range.first()) >= 0) {
                return below.getValue();
            }
        }
        return null;
    }

    /** A mapping that the device cannot have any more, or null. */
    @Nullable DriverMapping outside(IommuConfig config) {
        for (DriverMapping each : mappings.values()) {
            boolean isOutput = (each.output & (config.granule() - 1)) == 0;
            if (!config.isAligned(each.first, each.last)
                    || !isOutput
                    || !config.isInput(each.first, each.last)
                    || ((each.flags & MAP_F_MMIO) != 0 && !config.has(F_MMIO))) {
                return each;
            }
        }
        return null;
    }
}
