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
public final class SharedMemoryFunction extends DeclaredFunction {
    /** The number of a function among the peers of its memory: there are no others. */
    private static final int POSITION = 0;

    private final int vectors;
    private final MemorySegment own;
    private MemorySegment memory;

    /**
     * @param bytes of its memory, a power of two and whole pages
     */
    public SharedMemoryFunction(int bytes, int vectors) {
        super(
                FunctionLayout.builder(Ivshmem.VENDOR_ID, Ivshmem.DEVICE_ID)
                        .revision(Ivshmem.REVISION)
                        .classCode(Pci.CLASS_MEMORY_RAM)
                        .bar(Ivshmem.REGISTER_BAR, Ivshmem.REGISTERS_SIZE)
                        .bar(Ivshmem.MEMORY_BAR, bytes)
                        .msix(Ivshmem.MSIX_BAR, vectors)
                        .build());
        this.vectors = vectors;
        own = Arena.ofAuto().allocate(bytes, Long.BYTES);
        memory = own;
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
    protected long readRegister(int bar, long offset, int size) {
        return switch (bar) {
            case Ivshmem.REGISTER_BAR ->
                    offset == Ivshmem.IV_POSITION && size == Integer.BYTES ? POSITION : 0;
            case Ivshmem.MEMORY_BAR -> RegionAccess.register(memory, offset, size);
            default -> 0;
        };
    }

    @Override
    protected void writeRegister(int bar, long offset, int size, long value) {
        switch (bar) {
            case Ivshmem.REGISTER_BAR -> {
                if (offset == Ivshmem.DOORBELL && size == Integer.BYTES) {
                    ring((int) value);
                }
            }
            case Ivshmem.MEMORY_BAR -> RegionAccess.register(memory, offset, size, value);
            default -> {}
        }
    }

    /** A peer or a vector that is not there hears nothing. */
    private void ring(int value) {
        int vector = value & Ivshmem.DOORBELL_VECTOR_MASK;
        if (value >>> Ivshmem.DOORBELL_PEER_SHIFT == POSITION && vector < vectors) {
            raise(vector);
        }
    }

    @Override
    protected void restart() {
        memory.fill((byte) 0);
    }
}
