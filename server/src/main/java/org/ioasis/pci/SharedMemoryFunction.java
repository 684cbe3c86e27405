// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.ioasis.spec.Ivshmem;
import org.ioasis.spec.Pci;
import org.jspecify.annotations.Nullable;

/**
 * Memory as a function, with a doorbell whose only peer it is itself (ivshmem, revision 1): what is
 * written to BAR 2 is read from it, and a vector that is asked for in BAR 0 is raised. It makes no
 * DMA and does nothing by itself. Loop thread only.
 */
public final class SharedMemoryFunction implements PciFunction {
    /** The number of a function among the peers of its memory: there are no others. */
    private static final int POSITION = 0;

    private static final int MSIX_BAR_SIZE = 0x1000;
    private static final int MSIX_CAP = Pci.HEADER_END;

    private final ConfigSpace config = new ConfigSpace();
    private final MsixTable msix;
    private final MemorySegment own;
    private MemorySegment memory;

    /**
     * @param bytes of its memory, a power of two and whole pages
     */
    public SharedMemoryFunction(int bytes, int vectors) {
        msix = new MsixTable(vectors);
        own = Arena.ofAuto().allocate(bytes, Long.BYTES);
        memory = own;
        config.define(Pci.VENDOR_ID, 2, Ivshmem.VENDOR_ID);
        config.define(Pci.DEVICE_ID, 2, Ivshmem.DEVICE_ID);
        config.define(Pci.STATUS, 2, Pci.STATUS_CAP_LIST);
        config.define(Pci.REVISION_ID, 1, Ivshmem.REVISION);
        config.define(Pci.CLASS_PROG, 3, Pci.CLASS_MEMORY_RAM);
        config.define(Pci.CAPABILITY_LIST, 1, MSIX_CAP);
        config.allow(
                Pci.COMMAND, 2, Pci.COMMAND_MEMORY | Pci.COMMAND_MASTER | Pci.COMMAND_INTX_DISABLE);
        config.allow(Pci.INTERRUPT_LINE, 1, 0xff);
        config.defineBar(Ivshmem.REGISTER_BAR, Ivshmem.REGISTERS_SIZE);
        config.defineBar(Ivshmem.MSIX_BAR, MSIX_BAR_SIZE);
        config.defineBar(Ivshmem.MEMORY_BAR, bytes);
        config.define(MSIX_CAP + Pci.CAP_LIST_ID, 1, Pci.CAP_ID_MSIX);
        config.define(MSIX_CAP + Pci.MSIX_FLAGS, 2, vectors - 1);
        config.allow(MSIX_CAP + Pci.MSIX_FLAGS, 2, Pci.MSIX_FLAGS_ENABLE | Pci.MSIX_FLAGS_MASKALL);
        config.define(MSIX_CAP + Pci.MSIX_TABLE, 4, Ivshmem.MSIX_BAR);
        config.define(MSIX_CAP + Pci.MSIX_PBA, 4, MsixTable.PENDING_OFFSET | Ivshmem.MSIX_BAR);
    }

    @Override
    public int configRead(int offset, int size) {
        return config.read(offset, size);
    }

    @Override
    public void configWrite(int offset, int size, int value) {
        config.write(offset, size, value);
        follow();
    }

    private void follow() {
        msix.permit((config.read(Pci.COMMAND, 2) & Pci.COMMAND_MASTER) != 0);
        int flags = config.read(MSIX_CAP + Pci.MSIX_FLAGS, 2);
        if ((flags & Pci.MSIX_FLAGS_ENABLE) == 0) {
            msix.forgetPending();
        }
        msix.maskFunction((flags & Pci.MSIX_FLAGS_MASKALL) != 0);
    }

    @Override
    public long barSize(int bar) {
        return switch (bar) {
            case Ivshmem.REGISTER_BAR -> Ivshmem.REGISTERS_SIZE;
            case Ivshmem.MSIX_BAR -> MSIX_BAR_SIZE;
            case Ivshmem.MEMORY_BAR -> own.byteSize();
            default -> 0;
        };
    }

    @Override
    public boolean isBarMemory(int bar) {
        return bar == Ivshmem.MEMORY_BAR;
    }

    @Override
    public void barMemory(int bar, @Nullable MemorySegment bytes) {
        MemorySegment before = memory;
        // First of all, so that what is left can be closed whatever becomes of the copy.
        memory = bytes == null ? own : bytes;
        memory.copyFrom(before);
    }

    @Override
    public long barRead(int bar, long offset, int size) {
        if (offset % size != 0) {
            return 0;
        }
        return switch (bar) {
            case Ivshmem.REGISTER_BAR ->
                    offset == Ivshmem.IV_POSITION && size == Integer.BYTES ? POSITION : 0;
            case Ivshmem.MSIX_BAR -> msix.read((int) offset, size);
            case Ivshmem.MEMORY_BAR -> RegionAccess.register(memory, offset, size);
            default -> 0;
        };
    }

    @Override
    public void barWrite(int bar, long offset, int size, long value) {
        if (offset % size != 0) {
            return;
        }
        switch (bar) {
            case Ivshmem.REGISTER_BAR -> {
                if (offset == Ivshmem.DOORBELL && size == Integer.BYTES) {
                    ring((int) value);
                }
            }
            case Ivshmem.MSIX_BAR -> msix.write((int) offset, size, value);
            case Ivshmem.MEMORY_BAR -> RegionAccess.register(memory, offset, size, value);
            default -> {}
        }
    }

    /** A peer or a vector that is not there hears nothing. */
    private void ring(int value) {
        int vector = value & Ivshmem.DOORBELL_VECTOR_MASK;
        if (value >>> Ivshmem.DOORBELL_PEER_SHIFT == POSITION && vector < msix.vectorCount()) {
            msix.raise(vector);
        }
    }

    @Override
    public int vectorCount() {
        return msix.vectorCount();
    }

    @Override
    public void vectors(VectorSink sink) {
        msix.sendTo(sink);
    }

    @Override
    public void vectorsChanged() {
        msix.sendPending();
    }

    @Override
    public void reset() {
        config.reset();
        msix.reset();
        follow();
        memory.fill((byte) 0);
    }

    @Override
    public void memoryChanged() {}
}
