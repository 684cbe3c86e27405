// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import static org.ioasis.bench.Workload.PAGE;
import static org.ioasis.bench.Workload.SEED_A;
import static org.ioasis.bench.Workload.index;
import static org.ioasis.bench.Workload.next;

import java.util.concurrent.TimeUnit;
import org.ioasis.iova.IovaAllocator;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;

/**
 * A driver's IOVAs: one goes and another one comes, or nothing fits any more. The same numbers as
 * in {@code peers/iova.c}. One thread.
 */
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@State(Scope.Benchmark)
public class IovaBenchmarks {
    private static final int STEPS = 300_000;
    private static final int TRIES = 2000;
    private static final long LARGE = 1L << 24;

    /** A space of 1 GiB. */
    private static final long SMALL = 1L << 18;

    private static final int PIECE = 64;

    /** How many are live. */
    @Param("256")
    public int live;

    /** The largest, in pages. */
    @Param("16")
    public int most;

    private static IovaAllocator space(long pages) {
        return new IovaAllocator(PAGE, PAGE, pages * PAGE - 1);
    }

    private static long take(IovaAllocator space, long pages) {
        return space.allocate(pages * PAGE, -1L);
    }

    private long take(IovaAllocator space, long[] pages, int i, long x) {
        pages[i] = 1 + index(x, most);
        long iova = take(space, pages[i]);
        if (iova == IovaAllocator.NONE) {
            throw new IllegalStateException("nothing free");
        }
        return iova;
    }

    @Benchmark
    public void churn(Meter meter) {
        IovaAllocator space = space(LARGE);
        long[] iovas = new long[live];
        long[] pages = new long[live];
        long x = SEED_A;
        for (int i = 0; i < live; i++) {
            x = next(x);
            iovas[i] = take(space, pages, i, x);
        }
        meter.begin();
        for (int i = 0; i < STEPS; i++) {
            x = next(x);
            int k = (int) index(x, live);
            space.free(iovas[k], pages[k] * PAGE);
            x = next(x);
            iovas[k] = take(space, pages, k, x);
        }
        meter.end(STEPS);
    }

    /** Hands out 1 to 64 pages until something does not fit; returns how many times. */
    private static int fill(IovaAllocator space, long[] iovas, long[] pages) {
        long x = SEED_A;
        for (int n = 0; ; n++) {
            x = next(x);
            pages[n] = 1 + index(x, PIECE);
            iovas[n] = take(space, pages[n]);
            if (iovas[n] == IovaAllocator.NONE) {
                return n;
            }
        }
    }

    @Benchmark
    public void full(Meter meter) {
        IovaAllocator space = space(SMALL);
        fill(space, new long[(int) SMALL], new long[(int) SMALL]);
        long iova = take(space, PIECE);
        while (iova != IovaAllocator.NONE) {
            iova = take(space, PIECE);
        }
        long failures = space.failures();
        meter.begin();
        for (int i = 0; i < TRIES; i++) {
            take(space, PIECE);
        }
        meter.end(TRIES);
        if (space.failures() != failures + TRIES) {
            throw new IllegalStateException("something fits after all");
        }
    }

    /** How far a space can be filled, and how much of what comes back is of use, in words. */
    static String pieces() {
        IovaAllocator space = space(SMALL);
        long[] iovas = new long[(int) SMALL];
        long[] pages = new long[(int) SMALL];
        int count = fill(space, iovas, pages);
        long sum = 0;
        for (int i = 0; i < count; i++) {
            sum += pages[i];
        }
        long before = space.usedPages();
        for (int i = 0; i < count; i += 2) {
            space.free(iovas[i], pages[i] * PAGE);
        }
        long back = before - space.usedPages();
        long again = 0;
        while (take(space, PIECE) != IovaAllocator.NONE) {
            again += PIECE;
        }
        return "IOVAs: %.1f %% of the space handed out when 1 to 64 pages do not fit first; of every other one given back, %.1f %% again as 64 pages%n"
                .formatted(100.0 * sum / (SMALL - 1), 100.0 * again / back);
    }
}
