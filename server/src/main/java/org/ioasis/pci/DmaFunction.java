// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

import java.lang.foreign.MemorySegment;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;

/**
 * A declared function that reads and writes the guest's memory, through the IOMMU that it stands
 * behind and no other way. Loop thread only.
 *
 * <p>Addresses are what its driver has given it: IOVAs, 64-bit unsigned. A function whose driver
 * has not set COMMAND.MASTER touches no memory (PCI 3.0, 6.2.2).
 */
public abstract class DmaFunction extends DeclaredFunction {
    /** How much is copied in one guarded section: an UNMAP waits no longer than for that. */
    private static final long PIECE_BYTES = 256 << 10;

    private final Dma dma;

    /** A function after power-on, whose way to memory this is. */
    protected DmaFunction(FunctionLayout layout, Dma dma) {
        super(layout);
        this.dma = dma;
    }

    /**
     * Copies from memory.
     *
     * @param address where to begin
     * @param target where to, from {@code at} on
     * @param length bytes, 0 or more
     * @return OK; FAULT if the IOMMU has refused it, which it has told the driver of; ABSENT if no
     *     memory is there now, so that it is worth another try at {@link #memoryChanged}; REFUSED
     *     if it can never be, or COMMAND.MASTER is not set. The target is undefined unless OK
     */
    protected final Outcome readMemory(long address, MemorySegment target, long at, long length) {
        return copy(address, target, at, length, false);
    }

    /**
     * Copies to memory. As {@link #readMemory}; unless OK a part may have been written, as with any
     * DMA.
     */
    protected final Outcome writeMemory(long address, MemorySegment source, long at, long length) {
        return copy(address, source, at, length, true);
    }

    private Outcome copy(long address, MemorySegment data, long at, long length, boolean isWrite) {
        if (length < 0) {
            throw new IllegalArgumentException(length + " bytes");
        }
        if (!isMaster()) {
            return Outcome.REFUSED;
        }
        // What goes beyond 2^64-1 is left whole, or a piece of it would begin at 0.
        boolean isBeyondTheEnd = Long.compareUnsigned(length - 1, -1 - address) > 0;
        long piece = isBeyondTheEnd ? length : PIECE_BYTES;
        Outcome outcome = Outcome.OK;
        for (long done = 0; done < length && outcome == Outcome.OK; done += piece) {
            long size = Math.min(piece, length - done);
            dma.enter();
            try {
                outcome =
                        isWrite
                                ? dma.write(address + done, data, at + done, size)
                                : dma.read(address + done, data, at + done, size);
            } finally {
                dma.leave();
            }
        }
        return outcome;
    }

    @Override
    protected void masterChanged(boolean isMaster) {
        if (isMaster) {
            dma.deviceStarted();
        }
    }

    @Override
    public final void reset() {
        dma.deviceReset();
        super.reset();
    }
}
