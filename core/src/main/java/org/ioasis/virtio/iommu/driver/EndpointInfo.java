// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

import java.util.List;
import org.ioasis.virtio.iommu.driver.DriverOptions.Range;
import org.jspecify.annotations.Nullable;

/**
 * What a device has told of an endpoint (5.13.6.7).
 *
 * @param reserved addresses that must not be mapped, those for interrupts included
 * @param msi addresses where the endpoint writes its interrupts, or null
 * @param ignoredProperties properties of a type that this driver does not know, or of a later form
 * @param tables what tables of the driver's own it can have, or null
 */
public record EndpointInfo(
        List<Range> reserved, @Nullable Range msi, int ignoredProperties, @Nullable Tables tables) {
    /** Of an endpoint that nothing is told of. */
    static final EndpointInfo NONE = new EndpointInfo(List.of(), null, 0);

    /**
     * Tables that an endpoint can have.
     *
     * @param format FORMAT_ of {@code VirtioIommuTables}, of tables of one space
     * @param cap what of it there is, as a register of VT-d says it; 0 of other formats
     * @param ecap likewise
     * @param contextFormat FORMAT_, of tables with something for each PASID; 0: none
     * @param pasidBits bits of a PASID, 0 if it has none
     */
    public record Tables(int format, long cap, long ecap, int contextFormat, int pasidBits) {}

    /** Of an endpoint without tables. */
    public EndpointInfo(List<Range> reserved, @Nullable Range msi, int ignoredProperties) {
        this(reserved, msi, ignoredProperties, null);
    }

    public EndpointInfo {
        reserved = List.copyOf(reserved);
    }
}
