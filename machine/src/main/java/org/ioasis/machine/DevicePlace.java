// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.nio.file.Path;
import org.ioasis.iommu.EndpointProperties;

/**
 * What a device behind an IOMMU is given, whatever its kind. Immutable.
 *
 * @param name what reports call it
 * @param socket where the VMM connects it
 * @param endpoint what the IOMMU tells it by, 32-bit unsigned; the topology table must give its
 *     function the same id
 */
public record DevicePlace(String name, Path socket, int endpoint, EndpointProperties properties) {
    /** One beside an x86 VMM. */
    public static DevicePlace of(String name, Path socket, int endpoint) {
        return new DevicePlace(name, socket, endpoint, Machine.X86_ENDPOINT);
    }
}
