// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.nio.file.Path;
import org.ioasis.iommu.EndpointProperties;

/** How one device behind an IOMMU is built, whatever its kind. Immutable. */
public sealed interface DeviceOptions permits DiskOptions, RngOptions {
    /** What reports call it. */
    String name();

    /** Where the VMM connects it. */
    Path socket();

    /**
     * What the IOMMU tells it by, 32-bit unsigned; the topology table must give its function the
     * same id.
     */
    int endpoint();

    EndpointProperties properties();
}
