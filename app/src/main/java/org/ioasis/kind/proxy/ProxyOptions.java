// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.proxy;

import java.io.IOException;
import java.nio.file.Path;
import org.ioasis.machine.DeviceOptions;
import org.ioasis.machine.DevicePlace;
import org.ioasis.machine.DevicePort;
import org.ioasis.vfiouser.ProxyFunction;

/**
 * How a device that somebody else serves is put behind an IOMMU. Immutable.
 *
 * @param server its socket
 * @param answerMillis how long it may take for an answer
 */
public record ProxyOptions(DevicePlace place, Path server, int answerMillis)
        implements DeviceOptions<Proxy> {

    @Override
    public Proxy build(DevicePort port) throws IOException {
        ProxyFunction function;
        try {
            function = new ProxyFunction(port.loop(), server, port.dma(), port.io(), answerMillis);
        } catch (IOException e) {
            throw new IOException(
                    "%s: no device at %s: %s".formatted(place.name(), server, e.getMessage()), e);
        }
        boolean isBuilt = false;
        try {
            Proxy proxy = new Proxy(place.name(), port.endpoint(), function, port.serve(function));
            function.servedBy(proxy.server());
            isBuilt = true;
            return proxy;
        } finally {
            if (!isBuilt) {
                function.close();
            }
        }
    }
}
