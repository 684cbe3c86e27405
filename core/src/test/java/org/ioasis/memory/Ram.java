// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** Regions of guest memory for tests. Any thread. */
public final class Ram {
    private Ram() {}

    /** Writable memory of {@code size} bytes at {@code gpa}, with a lender. */
    public static Region ram(long gpa, long size) {
        return region(gpa, size, true);
    }

    /** The same read-only. */
    public static Region readOnly(long gpa, long size) {
        return region(gpa, size, false);
    }

    /** A range without memory that can be touched. */
    public static Region rom(long gpa, long size) {
        return new Region(gpa, gpa + (size - 1), null, false, null);
    }

    private static Region region(long gpa, long size, boolean isWritable) {
        MemorySegment segment = Arena.ofAuto().allocate(size, 4096);
        return new Region(gpa, gpa + (size - 1), segment, isWritable, lender(segment));
    }

    /** Lends a copy: what tests look at is how long it can be used. */
    public static Lender lender(MemorySegment segment) {
        return (offset, length, arena) ->
                arena.allocate(length).copyFrom(segment.asSlice(offset, length));
    }
}
