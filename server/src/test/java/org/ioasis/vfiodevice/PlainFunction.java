// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiodevice;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.pci.PciFunction;
import org.ioasis.pci.VectorSink;
import org.ioasis.spec.Pci;

/** A function that is two pieces of memory, and writes down which accesses came to it. */
final class PlainFunction implements PciFunction {
    static final int VECTORS = 3;
    static final int BAR = 2;
    static final int BAR_SIZE = 1024;

    final byte[] config = new byte[Pci.CONFIG_SPACE_SIZE];
    final byte[] bar = new byte[BAR_SIZE];
    final List<String> accesses = new ArrayList<>();

    /** Of the BAR; if it is more, what there is repeats. */
    long barSize = BAR_SIZE;

    int resets;
    int memoryChanges;

    /** The program has cut the memory short that it works on. */
    boolean isMemoryGone;

    VectorSink sink = VectorSink.NONE;

    private static long get(byte[] from, long offset, int size) {
        long value = 0;
        for (int i = size - 1; i >= 0; i--) {
            value = value << 8 | (from[(int) offset + i] & 0xff);
        }
        return value;
    }

    private static void put(byte[] to, long offset, int size, long value) {
        for (int i = 0; i < size; i++) {
            to[(int) offset + i] = (byte) (value >>> (8 * i));
        }
    }

    @Override
    public int configRead(int offset, int size) {
        accesses.add("config read %d,%d".formatted(offset, size));
        return (int) get(config, offset, size);
    }

    @Override
    public void configWrite(int offset, int size, int value) {
        accesses.add("config write %d,%d".formatted(offset, size));
        put(config, offset, size, value);
    }

    @Override
    public long barSize(int index) {
        return index == BAR ? barSize : 0;
    }

    @Override
    public long barRead(int index, long offset, int size) {
        accesses.add("read %d,%d".formatted(offset, size));
        return get(bar, offset % BAR_SIZE, size);
    }

    @Override
    public void barWrite(int index, long offset, int size, long value) {
        work();
        accesses.add("write %d,%d".formatted(offset, size));
        put(bar, offset % BAR_SIZE, size, value);
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
        accesses.add("vectors changed");
    }

    @Override
    public void reset() {
        resets++;
    }

    @Override
    public void memoryChanged() {
        work();
        memoryChanges++;
    }

    private void work() {
        if (isMemoryGone) {
            throw new InternalError("it was cut short");
        }
    }
}
