// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.io.IOException;

/**
 * How one device behind an IOMMU is built, whatever its kind. Immutable.
 *
 * @param <D> what it is then
 */
public interface DeviceOptions<D extends EndpointDevice> {
    DevicePlace place();

    /**
     * Builds it. Nothing is left of what this class has opened if that fails.
     *
     * @throws IOException something on the host cannot be opened or made
     */
    D build(DevicePort port) throws IOException;
}
