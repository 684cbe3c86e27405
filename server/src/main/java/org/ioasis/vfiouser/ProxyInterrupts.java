// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import org.ioasis.loop.EventLoop;
import org.ioasis.spec.VfioUser;

/**
 * The interrupts of a device server, of each type that it may have. Loop thread, but for the count.
 */
final class ProxyInterrupts {
    private final DeviceVectors vectors;
    private final DeviceVectors messages;
    private final DeviceVectors pin;

    /**
     * @param info how many of each type there are
     * @param effects of what the server is told
     */
    ProxyInterrupts(EventLoop loop, DeviceInfo info, DeviceVectors.Server server, Effects effects) {
        vectors =
                new DeviceVectors(
                        loop, VfioUser.VFIO_PCI_MSIX_IRQ_INDEX, info.vectors(), server, effects);
        messages =
                new DeviceVectors(
                        loop, VfioUser.VFIO_PCI_MSI_IRQ_INDEX, info.messages(), server, effects);
        int pins = info.hasPin() ? 1 : 0;
        pin = new DeviceVectors(loop, VfioUser.VFIO_PCI_INTX_IRQ_INDEX, pins, server, effects);
    }

    /** MSI-X. */
    DeviceVectors vectors() {
        return vectors;
    }

    /** MSI. */
    DeviceVectors messages() {
        return messages;
    }

    /** INTx, one at most. */
    DeviceVectors pin() {
        return pin;
    }

    /** The server is told of what the VMM has set up, whatever it knew. */
    void changed() {
        vectors.changed();
        messages.changed();
        pin.changed();
    }

    /** What the server has is nothing any more, and it is not told. */
    void dropAll() {
        vectors.dropAll();
        messages.dropAll();
        pin.dropAll();
    }

    /** Signals so far. Any thread. */
    long count() {
        return vectors.interrupts() + messages.interrupts() + pin.interrupts();
    }
}
