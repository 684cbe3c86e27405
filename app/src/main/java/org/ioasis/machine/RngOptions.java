// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.nio.file.Path;
import org.ioasis.iommu.EndpointProperties;

/**
 * How one entropy device is built. Immutable.
 *
 * @param isRogue it can be made to issue accesses that its driver never asked for
 */
public record RngOptions(
        String name, Path socket, int endpoint, EndpointProperties properties, boolean isRogue)
        implements DeviceOptions {}
