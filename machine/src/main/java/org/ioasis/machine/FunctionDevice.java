// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.io.Closeable;
import java.io.IOException;
import java.util.Map;
import org.ioasis.iommu.Endpoint;
import org.ioasis.pci.PciFunction;
import org.ioasis.peer.Served;

/**
 * A function of one's own behind the IOMMU, with everything that belongs to it. Any thread.
 *
 * @param name what reports call it
 */
public record FunctionDevice(String name, Endpoint endpoint, PciFunction function, Served server)
        implements EndpointDevice {
    @Override
    public Map<String, Long> work() {
        return function.counters();
    }

    @Override
    public void close() throws IOException {
        if (function instanceof Closeable closeable) {
            closeable.close();
        }
    }
}
