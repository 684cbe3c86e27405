// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.net;

import java.io.IOException;
import java.nio.file.Path;
import org.ioasis.machine.DeviceOptions;
import org.ioasis.machine.DevicePlace;
import org.ioasis.machine.DevicePort;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.spec.Pci;
import org.ioasis.sys.ErrnoException;
import org.ioasis.virtio.net.NetSettings;
import org.ioasis.virtio.net.VirtioNet;

/**
 * How one network device is built. Immutable.
 *
 * @param stream socket of who carries its frames: passt, or a QEMU's {@code -netdev stream}
 * @param settings what the guest sees of it
 */
public record NicOptions(DevicePlace place, Path stream, NetSettings settings)
        implements DeviceOptions<Nic> {

    @Override
    public Nic build(DevicePort port) throws IOException {
        StreamLink link = connect();
        boolean isBuilt = false;
        try {
            VirtioNet net = new VirtioNet(settings, link, port.tasks());
            VirtioPciFunction function = port.function(net, Pci.CLASS_NETWORK_ETHERNET);
            Nic nic =
                    new Nic(
                            place.name(),
                            port.endpoint(),
                            net,
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

    private StreamLink connect() throws IOException {
        try {
            return StreamLink.connect(stream);
        } catch (ErrnoException e) {
            throw new IOException(
                    "nobody carries frames at %s: %s".formatted(stream, e.getMessage()), e);
        }
    }
}
