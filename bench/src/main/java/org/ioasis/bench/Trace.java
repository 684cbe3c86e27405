// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import static org.ioasis.bench.Workload.PAGE;
import static org.ioasis.bench.Workload.SEED_A;
import static org.ioasis.bench.Workload.index;
import static org.ioasis.bench.Workload.next;

/**
 * The requests of W2: a window of live buffers of 4 to 64 KiB, mapped and unmapped first in first
 * out, at IOVAs that a driver's allocator hands out from the top of 4 GiB down and uses again last
 * in first out. One thread.
 */
final class Trace {
    private static final int ORDERS = 5;

    final long[] first;
    final long[] last;
    final long[] gpa;

    Trace(int window, int steps) {
        first = new long[steps];
        last = new long[steps];
        gpa = new long[steps];
        long[][] free = new long[ORDERS][window + 1];
        int[] frees = new int[ORDERS];
        long top = 1L << 32;
        long x = SEED_A;
        for (int i = 0; i < steps; i++) {
            if (i >= window) {
                long size = last[i - window] - first[i - window] + 1;
                int order = Long.numberOfTrailingZeros(size / PAGE);
                free[order][frees[order]++] = first[i - window];
            }
            x = next(x);
            int order = (int) index(x, ORDERS);
            long size = PAGE << order;
            if (frees[order] > 0) {
                first[i] = free[order][--frees[order]];
            } else {
                top = (top - size) & -size;
                first[i] = top;
            }
            last[i] = first[i] + size - 1;
            x = next(x);
            gpa[i] = index(x, (1 << 24) - 16) << 12;
        }
    }

    /** What the trace must be, in every language. */
    long fingerprint() {
        long sum = 0;
        for (int i = 0; i < first.length; i++) {
            sum = sum * 31 + (first[i] ^ last[i] << 1 ^ gpa[i]);
        }
        return sum;
    }
}
