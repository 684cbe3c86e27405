// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import static org.ioasis.bench.Workload.BASE;
import static org.ioasis.bench.Workload.PAGE;
import static org.ioasis.bench.Workload.SEED_A;
import static org.ioasis.bench.Workload.SEED_B;
import static org.ioasis.bench.Workload.check;
import static org.ioasis.bench.Workload.index;
import static org.ioasis.bench.Workload.next;

import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/**
 * The workloads that translate: W3, W4, W5 and the random part of W6, through the endpoint's {@link
 * Dma} with guard and endpoint lookup. A guarded section spans {@link #PER_SECTION} translations,
 * as it spans the descriptors of a chain; W5 has one per access. One thread.
 */
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(java.util.concurrent.TimeUnit.MILLISECONDS)
@State(Scope.Benchmark)
public class TranslateBenchmarks {
    static final int PER_SECTION = 64;

    private static final Access[] ACCESSES = {Access.READ, Access.WRITE};
    private static final int OPERATIONS = 2_000_000;
    private static final int HOT_OPERATIONS = 4_000_000;
    private static final int SCATTER_OPERATIONS = 200_000;
    private static final int FAULTS = 200_000;
    private static final long LENGTH = 65_536;

    /** Mappings. */
    @Param("65536")
    public int n;

    /** Which range of W6, or how the pages of W5 lie. */
    @Param("scatter")
    public String range = "";

    /** 0, and nobody tells the compiler. */
    public volatile long zero;

    private final Engine engine = new Engine();
    private final Dma dma = engine.dma();
    private final long[] hot = hot();

    static long[] hot() {
        long[] pages = new long[16];
        long y = SEED_B;
        for (int i = 0; i < pages.length; i++) {
            y = next(y);
            pages[i] = BASE + (index(y, 65_536) << 12);
        }
        return pages;
    }

    @Setup
    public void fill() {
        switch (range) {
            case "scatter" -> engine.fill(n, false);
            case "contig" -> engine.fill(n, true);
            default -> {
                ChangeBenchmarks.HugeRange huge = ChangeBenchmarks.HugeRange.of(range);
                engine.map(huge.first(), huge.last(), huge.gpa());
                engine.settle();
            }
        }
    }

    @TearDown
    public void close() {
        engine.close();
    }

    // No branch: the peers have none for it either.
    private static Access access(long x) {
        return ACCESSES[(int) (x >>> 12) & 1];
    }

    @Benchmark
    public void w3(Meter meter) {
        meter.begin();
        long sum = random(dma, n);
        meter.end(OPERATIONS);
        check(sum - OPERATIONS * engine.bias(), expectedRandom());
    }

    private static long random(Dma dma, long n) {
        long x = SEED_A;
        long sum = 0;
        for (int i = 0; i < OPERATIONS; i += PER_SECTION) {
            dma.enter();
            for (int j = 0; j < PER_SECTION; j++) {
                x = next(x);
                sum += Engine.translate(dma, BASE + (index(x, n) << 12) + (x & 0xff8), access(x));
            }
            dma.leave();
        }
        return sum;
    }

    @Benchmark
    public void w3Latency(Meter meter) {
        meter.begin();
        long sum = dependent(dma, n, zero);
        meter.end(OPERATIONS);
        check(sum - OPERATIONS * engine.bias(), expectedRandom());
    }

    private static long dependent(Dma dma, long n, long zero) {
        long x = SEED_A;
        long sum = 0;
        long before = 0;
        for (int i = 0; i < OPERATIONS; i += PER_SECTION) {
            dma.enter();
            for (int j = 0; j < PER_SECTION; j++) {
                x = next(x + before);
                long host =
                        Engine.translate(dma, BASE + (index(x, n) << 12) + (x & 0xff8), access(x));
                sum += host;
                before = host & zero;
            }
            dma.leave();
        }
        return sum;
    }

    private long expectedRandom() {
        return switch (n) {
            case 1024 -> 0x24af018d139fb800L;
            case 65_536 -> 0x24af6eaead17e800L;
            case 1 << 20 -> 0x24afbba6b3e2d800L;
            default -> throw new IllegalArgumentException("n=" + n);
        };
    }

    @Benchmark
    public void w4(Meter meter) {
        meter.begin();
        long sum = hot(dma, hot);
        meter.end(HOT_OPERATIONS);
        check(sum - HOT_OPERATIONS * engine.bias(), 0x4974338beb747738L);
    }

    private static long hot(Dma dma, long[] hot) {
        long x = SEED_A;
        long sum = 0;
        for (int i = 0; i < HOT_OPERATIONS; i += PER_SECTION) {
            dma.enter();
            for (int j = 0; j < PER_SECTION; j++) {
                x = next(x);
                sum += Engine.translate(dma, hot[(int) (x >>> 60)] + (x & 0xff8), access(x));
            }
            dma.leave();
        }
        return sum;
    }

    @Benchmark
    public void w5(Meter meter) {
        meter.begin();
        long sum = segments(dma, n, engine.bias());
        meter.end(SCATTER_OPERATIONS);
        check(sum, range.equals("contig") ? 0x83939bc1e3003498L : 0xbd983bb7ad11d498L);
    }

    /** Accesses of 64 KiB as lists of segments, neighbours merged. */
    private static long segments(Dma dma, long n, long bias) {
        long x = SEED_A;
        long sum = 0;
        for (int i = 0; i < SCATTER_OPERATIONS; i++) {
            x = next(x);
            long iova = BASE + (index(x, n - 17) << 12) + (x & 0xff8);
            long start = 0;
            long length = 0;
            dma.enter();
            for (long done = 0; done < LENGTH; done += dma.reach()) {
                if ((done == 0
                                ? dma.resolve(iova, LENGTH, Access.READ)
                                : dma.proceed(iova + done, LENGTH - done, Access.READ))
                        != Outcome.OK) {
                    throw new IllegalStateException("fault");
                }
                long host = dma.segment().address() + dma.offset();
                if (length > 0 && start + length == host) {
                    length += dma.reach();
                } else {
                    sum += length > 0 ? start - bias + length : 0;
                    start = host;
                    length = dma.reach();
                }
            }
            dma.leave();
            sum += start - bias + length;
        }
        return sum;
    }

    @Benchmark
    public void w6(Meter meter) {
        ChangeBenchmarks.HugeRange huge = ChangeBenchmarks.HugeRange.of(range);
        meter.begin();
        long sum = huge(dma, huge.first(), huge.size());
        meter.end(OPERATIONS);
        long expected =
                switch (range) {
                    case "1g" -> 0x23c6f21f971a7b08L;
                    case "64g" -> 0x24af9bb3571a7b08L;
                    default -> 0x23c6f2254ff27b08L;
                };
        check(sum - OPERATIONS * engine.bias(), expected);
    }

    /** Accesses that are refused, each in a section of its own, which reports the fault. */
    @Benchmark
    public void fault(Meter meter) {
        meter.begin();
        boolean isRefused = true;
        for (int i = 0; i < FAULTS; i++) {
            dma.enter();
            isRefused &= dma.resolve((long) (i & 0xff) * PAGE, 8, Access.READ) == Outcome.FAULT;
            dma.leave();
        }
        meter.end(FAULTS);
        if (!isRefused) {
            throw new IllegalStateException("no fault");
        }
    }

    private static long huge(Dma dma, long first, long size) {
        long x = SEED_A;
        long sum = 0;
        for (int i = 0; i < OPERATIONS; i += PER_SECTION) {
            dma.enter();
            for (int j = 0; j < PER_SECTION; j++) {
                x = next(x);
                sum += Engine.translate(dma, first + ((x >>> 8) & (size - 1) & ~7L), access(x));
            }
            dma.leave();
        }
        return sum;
    }

    /** Bytes of tables for each of {@code n} mappings of a page, {@code distance} bytes apart. */
    static double bytesPerMapping(int n, long distance) {
        try (Engine engine = new Engine()) {
            for (long i = 0; i < n; i++) {
                engine.map(BASE + i * distance, BASE + i * distance + Workload.PAGE - 1, 0);
            }
            engine.settle();
            return (double) engine.tableBytes() / n;
        }
    }
}
