// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import static org.ioasis.bench.Workload.BASE;
import static org.ioasis.bench.Workload.HUGE_BASE;
import static org.ioasis.bench.Workload.PAGE;
import static org.ioasis.bench.Workload.check;

import org.ioasis.iommu.Status;
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
 * The workloads that change mappings: W1, W2, the pairs of W6, and W7; and requests that change
 * nothing, because they are refused. A call is one repetition as the peers do it; {@link Meter}
 * says what part of it counts. One thread.
 */
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(java.util.concurrent.TimeUnit.MILLISECONDS)
@State(Scope.Benchmark)
public class ChangeBenchmarks {
    private static final int PAIRS = 500_000;
    private static final int W7_CYCLES = 20;

    /** UNMAPs until all that W7 measures is compiled: it makes only some hundreds of its own. */
    private static final int W7_WARM_UP = 30_000;

    /** As many pages as one table takes. */
    private static final int W7_WARM_PAGES = 512;

    private static final int REFUSALS = 200_000;

    /** Mappings (W1), window (W2), or nothing. */
    @Param("0")
    public int n;

    /** Which range of W6. */
    @Param("1g")
    public String range = "";

    private Engine engine;
    private boolean isWarm;
    private Dma dma;
    private Trace trace;

    public ChangeBenchmarks() {
        engine = new Engine();
        dma = engine.dma();
        trace = new Trace(0, 0);
    }

    @Setup
    public void readTrace() {
        if (n == 0) {
            return; // W6 follows none
        }
        trace = new Trace(n, n + PAIRS);
        long expected =
                switch (n) {
                    case 256 -> 0x6b63977eb7f41c00L;
                    case 4096 -> 0x6ef65dad444a7c00L;
                    case 65536 -> 0x832619ce37a83c00L;
                    default -> trace.fingerprint();
                };
        check(trace.fingerprint(), expected);
    }

    @TearDown
    public void close() {
        engine.close();
    }

    @Benchmark
    public void w1Map(Meter meter) {
        engine.renew();
        meter.begin();
        engine.fill(n, false);
        meter.end(n);
    }

    @Benchmark
    public void w1Unmap(Meter meter) {
        engine.renew();
        engine.fill(n, false);
        meter.begin();
        unmapPages();
        meter.end(n);
    }

    private void unmapPages() {
        for (long i = 0; i < n; i++) {
            engine.unmap(BASE + i * PAGE, BASE + i * PAGE + PAGE - 1);
        }
        engine.settle();
    }

    @Benchmark
    public void w2(Meter meter) {
        engine.renew();
        for (int i = 0; i < n; i++) {
            engine.map(trace.first[i], trace.last[i], trace.gpa[i]);
        }
        engine.settle();
        meter.begin();
        churn(engine, trace, n, n, n + PAIRS);
        meter.end(PAIRS);
    }

    /** Each step unmaps what was mapped {@code window} steps ago and maps the next. */
    static void churn(Engine engine, Trace trace, int window, int from, int to) {
        for (int i = from; i < to; i++) {
            engine.unmap(trace.first[i - window], trace.last[i - window]);
            engine.map(trace.first[i], trace.last[i], trace.gpa[i]);
        }
        engine.settle();
    }

    @Benchmark
    public void w6Pair(Meter meter) {
        HugeRange huge = HugeRange.of(range);
        engine.renew();
        meter.begin();
        for (int i = 0; i < huge.cycles(); i++) {
            engine.map(huge.first(), huge.last(), huge.gpa());
            engine.unmap(huge.first(), huge.last());
        }
        engine.settle();
        meter.end(huge.cycles());
    }

    @Benchmark
    public void w7(Meter meter) {
        warmUp();
        engine.renew();
        for (int i = 0; i < W7_CYCLES; i++) {
            engine.fill(n, false);
            meter.begin();
            engine.unmap(BASE, BASE + n * PAGE - 1);
            engine.settle();
            meter.end(1);
            dma.enter();
            if (dma.resolve(BASE + 5 * PAGE, 8, Access.READ) != Outcome.FAULT) {
                throw new IllegalStateException("still mapped");
            }
            dma.leave();
        }
    }

    private void warmUp() {
        if (isWarm) {
            return;
        }
        isWarm = true;
        engine.renew();
        for (int i = 0; i < W7_WARM_UP; i++) {
            engine.fill(W7_WARM_PAGES, false);
            engine.unmap(BASE, BASE + W7_WARM_PAGES * PAGE - 1);
        }
        engine.settle();
    }

    /** Requests that are refused: MAPs of what is mapped, UNMAPs that would split a mapping. */
    @Benchmark
    public void refused(Meter meter) {
        engine.renew();
        for (long i = 0; i < n; i++) {
            engine.map(BASE + 2 * i * PAGE, BASE + 2 * i * PAGE + 2 * PAGE - 1, 0);
        }
        engine.settle();
        meter.begin();
        boolean isRefused = true;
        for (int i = 0; i < REFUSALS; i++) {
            long first = BASE + (long) (i % n) * 2 * PAGE;
            isRefused &= engine.refusedMap(first, first + PAGE - 1, 0) == Status.INVAL;
            isRefused &= engine.refusedUnmap(first, first + PAGE - 1) == Status.RANGE;
        }
        meter.end(2L * REFUSALS);
        if (!isRefused) {
            throw new IllegalStateException("not refused");
        }
    }

    /** The ranges of W6. */
    record HugeRange(long first, long last, long gpa, int cycles) {
        static HugeRange of(String name) {
            return switch (name) {
                case "1g" -> at(HUGE_BASE, 1L << 30, 1L << 30, 1000);
                case "64g" -> at(HUGE_BASE, 1L << 36, 0, 1000);
                case "1gm" -> at(HUGE_BASE + PAGE, 1L << 30, (1L << 30) + 3 * PAGE, 3);
                default -> throw new IllegalArgumentException(name);
            };
        }

        private static HugeRange at(long first, long size, long gpa, int cycles) {
            return new HugeRange(first, first + size - 1, gpa, cycles);
        }

        long size() {
            return last - first + 1;
        }
    }
}
