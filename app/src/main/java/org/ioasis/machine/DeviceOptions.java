// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.io.IOException;
import java.nio.file.Path;
import org.ioasis.iommu.EndpointProperties;

/**
 * How one device behind an IOMMU is built, whatever its kind. Immutable.
 *
 * @param <D> what it is then
 */
public interface DeviceOptions<D extends EndpointDevice> {
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

    /**
     * Builds it. Nothing is left of what this class has opened if that fails.
     *
     * @throws IOException something on the host cannot be opened or made
     */
    D build(DevicePort port) throws IOException;
}
