// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;

/**
 * The layout of a journal of an IOMMU's state ({@code docs/save-restore.md}): a head and two halves
 * of records, of which one is in use. Of our own, and only for the same version of this program.
 * Device's thread.
 */
final class StateRecords {
    private static final VarHandle U64 = JAVA_LONG.withOrder(LITTLE_ENDIAN).varHandle();

    // The head.
    static final long MAGIC_AT = 0;
    static final long CAPACITY_AT = 8;
    static final long ACTIVE_AT = 16;
    static final long LOST_AT = 24;

    /** Of the first half; the other's follows. */
    static final long COUNT_AT = 32;

    /** The queue was taken back, with all of its chains done, where {@link #suspended} says. */
    static final long SUSPENDED_AT = 48;

    static final long HEAD_SIZE = 64;

    /** "ioasisJ1". */
    static final long MAGIC = 0x314a_7369_7361_6f69L;

    // A record: kind, status and flags; the chain's number; endpoint and domain; a mapping.
    static final int RECORD_SIZE = 48;
    static final int WORDS = RECORD_SIZE / Long.BYTES;

    // Kinds. What a request was decided to be, with its status:
    static final int ATTACH = 1;
    static final int DETACH = 2;
    static final int MAP = 3;
    static final int UNMAP = 4;

    /** Who is attached to nothing bypasses (flags 1) or not (0). */
    static final int BYPASS = 5;

    /** What the mappings of a domain, of which none is there yet, are aligned to. */
    static final int GRANULE = 6;

    /** The answer to a chain that may not have been given back. */
    static final int ANSWER = 7;

    /** Fewer records are of no use. */
    static final int CAPACITY_MIN = 1024;

    private StateRecords() {}

    /** Records of each half of so many bytes; 0 if they are too few. */
    static int capacity(long bytes) {
        long records = (bytes - HEAD_SIZE) / 2 / RECORD_SIZE;
        return records < CAPACITY_MIN ? 0 : (int) Math.min(records, Integer.MAX_VALUE);
    }

    static long bytes(int capacity) {
        return HEAD_SIZE + 2L * capacity * RECORD_SIZE;
    }

    static long place(int capacity, int half, int record) {
        return HEAD_SIZE + ((long) half * capacity + record) * RECORD_SIZE;
    }

    static long countAt(int half) {
        return COUNT_AT + (long) half * Long.BYTES;
    }

    /** What is written of a queue that was taken back; 0 stands for one that was not. */
    static long suspended(int base) {
        return 1L << Integer.SIZE | Integer.toUnsignedLong(base);
    }

    static long get(MemorySegment region, long at) {
        return (long) U64.getOpaque(region, at);
    }

    static void set(MemorySegment region, long at, long value) {
        U64.set(region, at, value);
    }

    /**
     * Behind all stores before. Not by setRelease, for the reason that {@code virtqueue.ChainLog}
     * gives.
     */
    static void setRelease(MemorySegment region, long at, long value) {
        VarHandle.releaseFence();
        U64.set(region, at, value);
    }
}
