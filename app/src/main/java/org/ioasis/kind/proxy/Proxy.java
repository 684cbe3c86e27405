// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.proxy;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.ioasis.iommu.Endpoint;
import org.ioasis.machine.EndpointDevice;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.peer.Served;
import org.ioasis.vfiouser.DmaCounts;
import org.ioasis.vfiouser.ProxyFunction;
import org.jspecify.annotations.Nullable;

/**
 * A device that somebody else serves, behind the IOMMU, with everything that belongs to it.
 * Counters from any thread.
 *
 * @param name what reports call it
 * @param proxy towards its server
 * @param server towards the VMM
 */
public record Proxy(String name, Endpoint endpoint, ProxyFunction proxy, Served server)
        implements EndpointDevice {

    @Override
    public @Nullable VirtioPciFunction function() {
        return null;
    }

    @Override
    public Map<String, Long> work() {
        DmaCounts dma = proxy.dmaCounts();
        Map<String, Long> work = new LinkedHashMap<>();
        work.put("reads", dma.reads());
        work.put("readBytes", dma.readBytes());
        work.put("writes", dma.writes());
        work.put("writtenBytes", dma.writtenBytes());
        work.put("refused", dma.refused());
        work.put("malformed", dma.malformed());
        work.put("interrupts", proxy.interrupts());
        work.put("losses", proxy.losses());
        return work;
    }

    @Override
    public Map<String, String> facts() {
        Map<String, String> facts = new LinkedHashMap<>();
        facts.put("served at", proxy.server().toString());
        facts.put("isolation", "enforced");
        if (proxy.isConnected()) {
            facts.put("calls", Long.toString(proxy.callCount()));
            facts.put("told of", "0x%x bytes of addresses".formatted(proxy.reach()));
        }
        return facts;
    }

    @Override
    public Optional<Trouble> trouble() {
        return proxy.trouble().isEmpty()
                ? Optional.empty()
                : Optional.of(
                        new Trouble(
                                "the device at %s is lost: %s"
                                        .formatted(proxy.server(), proxy.trouble()),
                                "see that its server listens at that socket again, and start QEMU anew: the next session finds the"
                                        + " device, a guest that is running does not"));
    }

    @Override
    public void close() {
        proxy.close();
    }
}
