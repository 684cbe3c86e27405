// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import org.ioasis.pci.Doorbell;
import org.ioasis.pci.PciFunction;
import org.ioasis.pci.RegionAccess;
import org.ioasis.pci.VectorSink;

/**
 * A function whose BAR 0 is 4 KiB of plain memory and whose configuration space is 256 bytes of it.
 * Counts what is asked of it; a hook can make a write to the last dword of the BAR do something.
 */
final class RecordingFunction implements PciFunction {
    static final int VECTORS = 3;
    static final long HOOK = 0xffc;

    /** Its reset and writes have not all of their effect yet. */
    volatile boolean isLate;

    final Queue<Runnable> unsettled = new ConcurrentLinkedQueue<>();
    final AtomicInteger resets = new AtomicInteger();
    final AtomicInteger vectorChanges = new AtomicInteger();

    /** Doorbells that have rung, as their numbers. */
    final Queue<Integer> rung = new ConcurrentLinkedQueue<>();

    final AtomicInteger memoryChanges = new AtomicInteger();
    volatile Runnable hook = () -> {};
    volatile VectorSink sink = VectorSink.NONE;
    private final MemorySegment bar = MemorySegment.ofArray(new byte[4096]);
    private final MemorySegment config = MemorySegment.ofArray(new byte[256]);

    @Override
    public List<Doorbell> doorbells() {
        return List.of(new Doorbell(0, 0x10, 4, 7), new Doorbell(0, 0x20, 2, 1));
    }

    @Override
    public void rung(int doorbell) {
        rung.add(doorbell);
    }

    @Override
    public int configRead(int offset, int size) {
        return (int) RegionAccess.register(config, offset, size);
    }

    @Override
    public void configWrite(int offset, int size, int value) {
        RegionAccess.register(config, offset, size, value);
    }

    @Override
    public long barSize(int index) {
        return index == 0 ? bar.byteSize() : 0;
    }

    @Override
    public long barRead(int index, long offset, int size) {
        return RegionAccess.register(bar, offset, size);
    }

    @Override
    public void barWrite(int index, long offset, int size, long value) {
        RegionAccess.register(bar, offset, size, value);
        if (offset == HOOK) {
            hook.run();
        }
    }

    byte barByte(long offset) {
        return bar.get(ValueLayout.JAVA_BYTE, offset);
    }

    @Override
    public int vectorCount() {
        return VECTORS;
    }

    @Override
    public void vectors(VectorSink to) {
        sink = to;
    }

    @Override
    public void vectorsChanged() {
        vectorChanges.incrementAndGet();
    }

    @Override
    public void reset() {
        resets.incrementAndGet();
    }

    @Override
    public void whenSettled(Runnable task) {
        if (isLate) {
            unsettled.add(task);
        } else {
            task.run();
        }
    }

    /** What waits for it goes on. Loop thread. */
    void settle() {
        isLate = false;
        for (Runnable task = unsettled.poll(); task != null; task = unsettled.poll()) {
            task.run();
        }
    }

    @Override
    public void memoryChanged() {
        memoryChanges.incrementAndGet();
    }
}
