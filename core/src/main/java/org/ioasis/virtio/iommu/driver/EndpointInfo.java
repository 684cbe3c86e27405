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
 */
public record EndpointInfo(List<Range> reserved, @Nullable Range msi, int ignoredProperties) {
    /** Of an endpoint that nothing is told of. */
    static final EndpointInfo NONE = new EndpointInfo(List.of(), null, 0);

    public EndpointInfo {
        reserved = List.copyOf(reserved);
    }
}
