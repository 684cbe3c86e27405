// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.net;

import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.ioasis.iommu.Endpoint;
import org.ioasis.machine.EndpointDevice;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.peer.Served;
import org.ioasis.virtio.net.NetCounters;
import org.ioasis.virtio.net.NetSettings;
import org.ioasis.virtio.net.VirtioNet;

/**
 * A network device behind the IOMMU, with everything that belongs to it. Counters from any thread.
 *
 * @param name what reports call it
 * @param settings what the guest sees of it
 * @param link to who carries its frames
 */
public record Nic(
        String name,
        Endpoint endpoint,
        VirtioNet net,
        NetSettings settings,
        Carrier link,
        VirtioPciFunction function,
        Served server)
        implements EndpointDevice {

    public NetCounters frames() {
        return net.counters();
    }

    @Override
    public Map<String, Long> work() {
        NetCounters counters = frames();
        Map<String, Long> work = new LinkedHashMap<>();
        work.put("sent", counters.sent());
        work.put("sentBytes", counters.sentBytes());
        work.put("received", counters.received());
        work.put("receivedBytes", counters.receivedBytes());
        work.put("lost", counters.lost());
        work.put("overrun", counters.overrun());
        work.put("buffersTooSmall", counters.buffersTooSmall());
        work.put("sentTooLong", counters.sentTooLong());
        work.put("receivedTooLong", counters.receivedTooLong());
        work.put("malformed", counters.malformed());
        return work;
    }

    @Override
    public Map<String, String> facts() {
        Map<String, String> facts = new LinkedHashMap<>();
        facts.put("frames", link.description());
        facts.put("link", link.isUp() ? "up" : "down");
        facts.put("mac", HexFormat.ofDelimiter(":").formatHex(macBytes()));
        facts.put("mtu", Integer.toString(settings.mtu()));
        return facts;
    }

    private byte[] macBytes() {
        byte[] mac = new byte[org.ioasis.spec.VirtioNet.MAC_BYTES];
        for (int i = 0; i < mac.length; i++) {
            mac[i] = (byte) (settings.mac() >>> (Byte.SIZE * (mac.length - 1 - i)));
        }
        return mac;
    }

    @Override
    public Optional<Trouble> trouble() {
        return NicTrouble.of(link.description(), link.isUp(), settings, frames());
    }

    @Override
    public void close() {
        link.close();
    }
}
