// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import org.ioasis.memory.Guards;

/** Memory for tables in a segment that checks every access: a wrong number fails the test. */
public class SegmentTables extends TableMemory {
    private static final VarHandle WORD = JAVA_LONG.varHandle();
    private static final long FIRST = TablePool.TABLE_WORDS;

    private final MemorySegment segment;

    public SegmentTables(long size) {
        segment = MemorySegment.ofArray(new long[(int) (FIRST + size / Long.BYTES)]);
    }

    /** A pool of {@code size} bytes of tables in such memory. */
    public static TablePool pool(long size, Guards guards) {
        return new TablePool(new SegmentTables(size), size, guards);
    }

    @Override
    public long first() {
        return FIRST;
    }

    @Override
    public long size() {
        return segment.byteSize() / Long.BYTES - FIRST;
    }

    @Override
    public long get(long word) {
        return segment.getAtIndex(JAVA_LONG, word);
    }

    @Override
    public long getAcquire(long word) {
        return (long) WORD.getAcquire(segment, word * Long.BYTES);
    }

    @Override
    public void setRelease(long word, long value) {
        WORD.setRelease(segment, word * Long.BYTES, value);
    }

    @Override
    public void clear(long word, long count) {
        segment.asSlice(word * Long.BYTES, count * Long.BYTES).fill((byte) 0);
    }

    byte[] bytes() {
        return segment.toArray(JAVA_BYTE);
    }
}
