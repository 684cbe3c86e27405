// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

import org.ioasis.spec.Pci;
import org.jspecify.annotations.Nullable;

/**
 * A function of one's own whose {@link FunctionLayout} is all there is to say of its configuration
 * space and its MSI-X: what is left to a subclass are the registers in its BARs. One that touches
 * the guest's memory is a {@link DmaFunction}. Loop thread only.
 *
 * <p>Whatever a subclass throws ends the session with the VMM as an internal error, and no other.
 */
public abstract class DeclaredFunction implements PciFunction {
    private final FunctionLayout layout;
    private final ConfigSpace config;
    private final @Nullable MsixTable msix;
    private final int msixAt;
    private boolean isMaster;

    /** A function after power-on. */
    protected DeclaredFunction(FunctionLayout layout) {
        this.layout = layout;
        config = new ConfigSpace(layout.configSize());
        layout.define(config);
        msix = layout.vectors() == 0 ? null : new MsixTable(layout.vectors());
        msixAt = layout.capabilityAt(Pci.CAP_ID_MSIX);
    }

    /**
     * Reads a register.
     *
     * @param bar one of the layout's
     * @param offset in the BAR, a multiple of {@code size}
     * @param size 1, 2, 4 or 8 bytes
     * @return its low {@code size} bytes; the rest is not looked at
     */
    protected abstract long readRegister(int bar, long offset, int size);

    /**
     * Writes a register.
     *
     * @param bar one of the layout's
     * @param offset in the BAR, a multiple of {@code size}
     * @param size 1, 2, 4 or 8 bytes
     * @param value zero-extended
     */
    protected abstract void writeRegister(int bar, long offset, int size, long value);

    /** Back to the state of power-on: forgets all that a driver has told it. */
    protected abstract void restart();

    /**
     * The driver has allowed the function to touch memory and to send interrupts (COMMAND.MASTER;
     * PCI 3.0, 6.2.2), or no longer does.
     */
    protected void masterChanged(boolean isMaster) {}

    /** The driver has written to the configuration space, {@code size} bytes at {@code offset}. */
    protected void configWritten(int offset, int size) {}

    /** What stands in the configuration space: {@code size} bytes (1, 2 or 4), zero-extended. */
    protected final int config(int offset, int size) {
        return config.read(offset, size);
    }

    /** True while the function may touch memory and send interrupts. */
    @Override
    public final boolean isMaster() {
        return isMaster;
    }

    /**
     * Sends a vector of MSI-X: now, or once it is no longer masked and has been set up; once,
     * however often it was sent meanwhile.
     *
     * @param vector 0 to one less than the layout has
     */
    protected final void raise(int vector) {
        if (msix == null || vector < 0 || vector >= layout.vectors()) {
            throw new IllegalArgumentException("there is no vector " + vector);
        }
        msix.raise(vector);
    }

    @Override
    public final int configSize() {
        return layout.configSize();
    }

    @Override
    public final int configRead(int offset, int size) {
        return config.read(offset, size);
    }

    @Override
    public final void configWrite(int offset, int size, int value) {
        config.write(offset, size, value);
        follow();
        configWritten(offset, size);
    }

    /** What the configuration space says is so. */
    private void follow() {
        boolean isMasterNow = (config.read(Pci.COMMAND, 2) & Pci.COMMAND_MASTER) != 0;
        if (msix != null) {
            int flags = config.read(msixAt + Pci.MSIX_FLAGS, 2);
            if ((flags & Pci.MSIX_FLAGS_ENABLE) == 0) {
                msix.forgetPending();
            }
            msix.maskFunction((flags & Pci.MSIX_FLAGS_MASKALL) != 0);
            msix.permit(isMasterNow);
        }
        if (isMasterNow != isMaster) {
            isMaster = isMasterNow;
            masterChanged(isMaster);
        }
    }

    @Override
    public final long barSize(int bar) {
        return layout.barSize(bar);
    }

    @Override
    public final long barRead(int bar, long offset, int size) {
        if (offset % size != 0) {
            return 0;
        }
        long value =
                msix != null && bar == layout.msixBar()
                        ? msix.read((int) offset, size)
                        : readRegister(bar, offset, size);
        return size == Long.BYTES ? value : value & ((1L << (8 * size)) - 1);
    }

    @Override
    public final void barWrite(int bar, long offset, int size, long value) {
        if (offset % size != 0) {
            return;
        }
        if (msix != null && bar == layout.msixBar()) {
            msix.write((int) offset, size, value);
        } else {
            writeRegister(bar, offset, size, value);
        }
    }

    @Override
    public final int vectorCount() {
        return layout.vectors();
    }

    @Override
    public final void vectors(VectorSink sink) {
        if (msix != null) {
            msix.sendTo(sink);
        }
    }

    @Override
    public final void vectorsChanged() {
        if (msix != null) {
            msix.sendPending();
        }
    }

    @Override
    public void reset() {
        config.reset();
        if (msix != null) {
            msix.reset();
        }
        follow();
        restart();
    }

    /** Memory that was absent may be there now. */
    @Override
    public void memoryChanged() {}
}
