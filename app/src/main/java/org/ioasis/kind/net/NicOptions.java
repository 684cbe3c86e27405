// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.net;

import java.io.IOException;
import org.ioasis.machine.DeviceOptions;
import org.ioasis.machine.DevicePlace;
import org.ioasis.machine.DevicePort;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.spec.Pci;
import org.ioasis.virtio.net.NetSettings;
import org.ioasis.virtio.net.VirtioNet;

/**
 * How one network device is built. Immutable.
 *
 * @param backend who is to carry its frames
 * @param settings what the guest sees of it
 */
public record NicOptions(DevicePlace place, Backend backend, NetSettings settings)
        implements DeviceOptions<Nic> {

    @Override
    public Nic build(DevicePort port) throws IOException {
        Carrier link = backend.open();
        boolean isBuilt = false;
        try {
            VirtioNet net = new VirtioNet(settings, link, port.tasks());
            VirtioPciFunction function = port.function(net, Pci.CLASS_NETWORK_ETHERNET);
            Nic nic =
                    new Nic(
                            place.name(),
                            port.endpoint(),
                            net,
                            settings,
                            link,
                            function,
                            port.serve(function));
            link.begin(port.loop(), net);
            isBuilt = true;
            return nic;
        } finally {
            if (!isBuilt) {
                link.close();
            }
        }
    }
}
