package org.ioasis.iommu.mapping;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;

/** Memory for tables in a segment that checks every access: a wrong address fails the test. */
public final class SegmentTables implements TableMemory {
    private static final VarHandle WORD = JAVA_LONG.varHandle();
    private static final long FIRST = TablePool.TABLE_BYTES;

    private final MemorySegment segment;

    public SegmentTables(long size) {
        segment = Arena.ofAuto().allocate(FIRST + size, TablePool.TABLE_BYTES);
    }

    @Override
    public long first() {
        return FIRST;
    }

    @Override
    public long size() {
        return segment.byteSize() - FIRST;
    }

    @Override
    public long get(long address) {
        return segment.get(JAVA_LONG, address);
    }

    @Override
    public long getAcquire(long address) {
        return (long) WORD.getAcquire(segment, address);
    }

    @Override
    public void setRelease(long address, long value) {
        WORD.setRelease(segment, address, value);
    }

    @Override
    public void clear(long address, long bytes) {
        segment.asSlice(address, bytes).fill((byte) 0);
    }

    byte[] bytes() {
        return segment.toArray(JAVA_BYTE);
    }
}
