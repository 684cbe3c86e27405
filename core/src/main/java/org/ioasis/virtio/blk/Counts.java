// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * The numbers behind {@link BlkCounters}: written by the device's thread alone, read by any. Opaque
 * accesses: each number is whole and comes to be seen; no order among them is needed.
 */
final class Counts {
    static final int READS = 0;
    static final int WRITES = 3;
    static final int FLUSHES = 6;
    static final int IDS = 9;
    static final int DISCARDS = 12;
    static final int ZEROES = 15;
    static final int OTHERS = 18;
    static final int MALFORMED = 21;
    static final int BYTES_READ = 22;
    static final int BYTES_WRITTEN = 23;
    static final int KEPT_ABSENT = 24;
    static final int FAULTS = 25;
    static final int REFUSALS = 26;
    static final int RING_FAULTS = 27;
    static final int POOL_EXHAUSTED = 28;
    static final int DROPPED = 29;

    private static final VarHandle ELEMENT = MethodHandles.arrayElementVarHandle(long[].class);

    private final long[] numbers = new long[30];

    /** Counts an answer: {@code type} is one of the first seven constants, {@code status} 0..2. */
    void answer(int type, int status) {
        add(type + status, 1);
    }

    void add(int index, long n) {
        ELEMENT.setOpaque(numbers, index, numbers[index] + n);
    }

    private long read(int index) {
        return (long) ELEMENT.getOpaque(numbers, index);
    }

    private BlkCounters.Answers answers(int type) {
        return new BlkCounters.Answers(read(type), read(type + 1), read(type + 2));
    }

    BlkCounters snapshot() {
        return new BlkCounters(
                answers(READS),
                answers(WRITES),
                answers(FLUSHES),
                answers(IDS),
                answers(DISCARDS),
                answers(ZEROES),
                answers(OTHERS),
                read(MALFORMED),
                read(BYTES_READ),
                read(BYTES_WRITTEN),
                read(KEPT_ABSENT),
                read(FAULTS),
                read(REFUSALS),
                read(RING_FAULTS),
                read(POOL_EXHAUSTED),
                read(DROPPED));
    }
}
