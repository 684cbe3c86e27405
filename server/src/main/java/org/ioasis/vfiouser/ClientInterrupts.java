// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.util.List;
import org.ioasis.pci.PciDevice;
import org.ioasis.pci.VectorSink;
import org.ioasis.peer.EventVectors;
import org.ioasis.spec.VfioUser;
import org.ioasis.sys.Fd;
import org.jspecify.annotations.Nullable;

/**
 * Where one client hears a function's interrupts: an event descriptor for the pin, each message of
 * MSI and each vector of MSI-X. From its making to {@link #leave} the function's interrupts go
 * there. Loop thread only.
 */
final class ClientInterrupts {
    private final PciDevice function;
    private final EventVectors pin;
    private final EventVectors messages;
    private final EventVectors vectors;

    ClientInterrupts(PciDevice function) {
        this.function = function;
        pin = new EventVectors(function.hasPin() ? 1 : 0);
        messages = new EventVectors(function.messageCount());
        vectors = new EventVectors(function.vectorCount());
        function.pin(sink(pin));
        function.messages(sink(messages));
        function.vectors(sink(vectors));
    }

    private static VectorSink sink(EventVectors of) {
        return new VectorSink() {
            @Override
            public boolean trigger(int vector) {
                return of.trigger(vector);
            }

            @Override
            public boolean isSetUp(int vector) {
                return of.isSetUp(vector);
            }
        };
    }

    private @Nullable EventVectors of(int index) {
        return switch (index) {
            case VfioUser.VFIO_PCI_INTX_IRQ_INDEX -> pin;
            case VfioUser.VFIO_PCI_MSI_IRQ_INDEX -> messages;
            case VfioUser.VFIO_PCI_MSIX_IRQ_INDEX -> vectors;
            default -> null;
        };
    }

    /** How many interrupts a type has; none of a type that there is not. */
    int count(int index) {
        EventVectors those = of(index);
        return those == null ? 0 : those.count();
    }

    /**
     * Does what a SET_IRQS asks for.
     *
     * @param fds what came with it: those that are set are taken from the list
     * @return why it is refused, and then nothing has changed; null if it is done
     */
    @Nullable String set(Request.SetIrqs irqs, List<Fd> fds) {
        EventVectors those = of(irqs.index());
        if (irqs.count() == 0) {
            if (irqs.kind() != Request.IrqData.NONE || irqs.start() != 0) {
                return "SET_IRQS of no interrupt";
            }
            if (those != null && irqs.action() == Request.IrqAction.TRIGGER) {
                those.clear();
                changed(those);
            }
            return null;
        }
        if (those == null || irqs.start() + irqs.count() > those.count()) {
            return "SET_IRQS of vectors that are not there";
        }
        int first = (int) irqs.start();
        int end = first + (int) irqs.count();
        return switch (irqs.kind()) {
            case NONE, BOOL -> {
                for (int vector = first; vector < end; vector++) {
                    if (irqs.isMeant(vector)) {
                        act(irqs.action(), those, vector);
                    }
                }
                yield null;
            }
            case EVENTFD -> route(those, first, end, fds);
        };
    }

    private @Nullable String route(EventVectors those, int first, int end, List<Fd> fds) {
        if (!fds.isEmpty() && fds.size() != end - first) {
            return "SET_IRQS with a wrong number of descriptors";
        }
        if (fds.isEmpty()) {
            those.clear(first, end);
        } else if (!those.set(first, fds)) {
            return "SET_IRQS with what is no eventfd";
        }
        changed(those);
        return null;
    }

    private void changed(EventVectors those) {
        if (those == pin) {
            function.pinChanged();
        } else if (those == messages) {
            function.messagesChanged();
        } else {
            function.vectorsChanged();
        }
    }

    private void act(Request.IrqAction action, EventVectors those, int vector) {
        switch (action) {
            case TRIGGER -> {
                boolean _ = those.trigger(vector);
            }
            case MASK -> function.pinMasked(true);
            case UNMASK -> function.pinMasked(false);
        }
    }

    /** The function's interrupts go nowhere from now on. */
    void leave() {
        function.pin(VectorSink.NONE);
        function.messages(VectorSink.NONE);
        function.vectors(VectorSink.NONE);
    }

    /** Closes the descriptors. After {@link #leave}. */
    void close() {
        pin.clear();
        messages.clear();
        vectors.clear();
    }
}
