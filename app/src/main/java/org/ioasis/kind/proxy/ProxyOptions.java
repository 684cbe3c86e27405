// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.proxy;

import java.io.IOException;
import java.lang.System.Logger.Level;
import java.nio.file.Path;
import java.util.concurrent.Executor;
import org.ioasis.iommu.DomainListener;
import org.ioasis.machine.DeviceOptions;
import org.ioasis.machine.DevicePlace;
import org.ioasis.machine.DevicePort;
import org.ioasis.memory.MemoryListener;
import org.ioasis.vfiouser.ProxyFunction;
import org.ioasis.vfiouser.ProxySettings;

/**
 * How a device that somebody else serves is put behind an IOMMU. Immutable.
 *
 * @param server its socket
 * @param settings how that is treated
 */
public record ProxyOptions(DevicePlace place, Path server, ProxySettings settings)
        implements DeviceOptions<Proxy> {
    private static final System.Logger LOG = System.getLogger("org.ioasis.proxy");

    @Override
    public Proxy build(DevicePort port) throws IOException {
        ProxyFunction function;
        try {
            function = new ProxyFunction(port.loop(), server, port.dma(), asking(), settings);
        } catch (IOException e) {
            throw new IOException(
                    "%s: no device at %s: %s".formatted(place.name(), server, e.getMessage()), e);
        }
        boolean isBuilt = false;
        try {
            DomainListener domains = function.domainListener();
            MemoryListener memory = function.memoryListener();
            if (domains != null && memory != null) {
                port.listen(domains, memory);
                LOG.log(
                        Level.WARNING,
                        "{0}: the device at {1} is trusted with memory: it is given the file of what is mapped for it, and nobody sees"
                                + " what it does there",
                        place.name(),
                        server);
            }
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

    /**
     * A thread for each time that the server is asked what it is, of which there is one at a time:
     * it takes as long as the server likes, and is nobody else's.
     */
    private Executor asking() {
        return task -> {
            Thread _ = Thread.ofPlatform().daemon().name(place.name() + "-asks").start(task);
        };
    }
}
