// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.rng;

import java.io.IOException;
import java.security.SecureRandom;
import java.util.Optional;
import org.ioasis.machine.DeviceOptions;
import org.ioasis.machine.DevicePlace;
import org.ioasis.machine.DevicePort;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.spec.Pci;
import org.ioasis.virtio.rng.VirtioRng;
import org.ioasis.virtio.rogue.Rogue;

/**
 * How one entropy device is built. Immutable.
 *
 * @param isRogue it can be made to issue accesses that its driver never asked for
 */
public record RngOptions(DevicePlace place, boolean isRogue) implements DeviceOptions<Rng> {

    @Override
    public Rng build(DevicePort port) throws IOException {
        VirtioRng rng = new VirtioRng(new SecureRandom()::nextBytes, port.tasks());
        VirtioPciFunction function = port.function(rng, Pci.CLASS_OTHER);
        Optional<Rogue> rogue =
                isRogue ? Optional.of(new Rogue(port.dma(), port.tasks())) : Optional.empty();
        return new Rng(place.name(), port.endpoint(), rng, function, port.serve(function), rogue);
    }
}
