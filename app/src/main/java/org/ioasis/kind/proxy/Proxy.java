// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.proxy;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.ioasis.iommu.Endpoint;
import org.ioasis.machine.EndpointDevice;
import org.ioasis.peer.Served;
import org.ioasis.vfiouser.DmaCounts;
import org.ioasis.vfiouser.PassedCounts;
import org.ioasis.vfiouser.ProxyFunction;

/**
 * A device that somebody else serves, behind the IOMMU, with everything that belongs to it.
 * Counters from any thread.
 *
 * @param name what reports call it
 * @param function towards its server
 * @param server towards the VMM
 */
public record Proxy(String name, Endpoint endpoint, ProxyFunction function, Served server)
        implements EndpointDevice {

    @Override
    public Map<String, Long> work() {
        DmaCounts dma = function.dmaCounts();
        Map<String, Long> work = new LinkedHashMap<>();
        work.put("reads", dma.reads());
        work.put("readBytes", dma.readBytes());
        work.put("writes", dma.writes());
        work.put("writtenBytes", dma.writtenBytes());
        work.put("refused", dma.refused());
        work.put("malformed", dma.malformed());
        work.put("interrupts", function.interrupts());
        work.put("losses", function.losses());
        work.put("returns", function.returns());
        PassedCounts passed = function.passedCounts();
        if (passed != null) {
            work.put("maps", passed.maps());
            work.put("unmaps", passed.unmaps());
            work.put("refusedMaps", passed.refusals());
        }
        return work;
    }

    @Override
    public Map<String, String> facts() {
        Map<String, String> facts = new LinkedHashMap<>();
        facts.put("served at", function.server().toString());
        PassedCounts passed = function.passedCounts();
        facts.put("isolation", passed == null ? "enforced" : "mapped");
        if (function.isConnected()) {
            facts.put("calls", Long.toString(function.callCount()));
            facts.put(
                    "told of",
                    passed == null
                            ? "0x%x bytes of addresses".formatted(function.reach())
                            : "%d of %d regions of memory"
                                    .formatted(passed.regions(), passed.regionsMax()));
        }
        return facts;
    }

    @Override
    public Optional<Trouble> trouble() {
        PassedCounts passed = function.passedCounts();
        if (!function.trouble().isEmpty()) {
            return Optional.of(
                    new Trouble(
                            "the device at %s is lost: %s"
                                    .formatted(function.server(), function.trouble()),
                            "see that its server listens at that socket again, and start QEMU anew: the next session finds the"
                                    + " device, a guest that is running does not, unless reconnect_ms lets it wait"));
        }
        if (passed != null && passed.refusals() > 0) {
            return Optional.of(
                    new Trouble(
                            "the device at %s has no room for what the guest maps: %d requests were refused, it takes %d regions"
                                    .formatted(
                                            function.server(),
                                            passed.refusals(),
                                            passed.regionsMax()),
                            "let the guest map little and long (a driver in its user space with large pages, or iommu.passthrough=1), or"
                                    + " let the device ask for each access (isolation=enforced), if its server can"));
        }
        return Optional.empty();
    }

    @Override
    public String silence() {
        PassedCounts passed = function.passedCounts();
        if (passed != null) {
            return function.isMaster()
                    ? "its server reaches its %d regions of memory itself, which is not seen"
                            .formatted(passed.regions())
                    : "";
        }
        return function.isSilent()
                ? "it has asked for no memory: if its driver waits for it, its server is one that must map memory (as SPDK's"
                        + " nvmf target), which takes isolation=mapped"
                : "";
    }

    @Override
    public void close() {
        function.close();
    }
}
