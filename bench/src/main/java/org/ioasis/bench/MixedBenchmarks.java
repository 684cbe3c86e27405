// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import static org.ioasis.bench.Workload.BASE;
import static org.ioasis.bench.Workload.SEED_B;
import static org.ioasis.bench.Workload.index;
import static org.ioasis.bench.Workload.next;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/**
 * W8: one thread churns W2 while another translates W3 or W4 addresses, each on a processor of its
 * own, free running for a fixed time; both together and each alone. Wall time. The mapper's
 * requests come in batches as in W2, and a batch is answered before the next one begins.
 */
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@State(Scope.Benchmark)
public class MixedBenchmarks {
    private static final int WINDOW = 4096;
    private static final int PAIRS = 400_000;
    private static final int MAPPINGS = 65_536;
    private static final long RUN_NANOS = 300_000_000;

    /** Translations between two looks at the clock's flag. */
    private static final int BLOCK = 256;

    /** {@code rnd} or {@code hot}. */
    @Param("rnd")
    public String addresses = "";

    /** {@code both}, {@code map} or {@code translate}. */
    @Param("both")
    public String threads = "";

    private final Trace trace = new Trace(WINDOW, WINDOW + PAIRS);

    // Each alone on its cache lines: the two threads must not meet in our own fields.
    private final Flag stop = new Flag();

    /** Wall time and operations of each thread. */
    @State(Scope.Thread)
    @AuxCounters(AuxCounters.Type.EVENTS)
    public static class Meters {
        public long translateNanos;
        public long translateOperations;
        public long mapNanos;
        public long mapOperations;

        @Setup(Level.Iteration)
        public void clear() {
            translateNanos = 0;
            translateOperations = 0;
            mapNanos = 0;
            mapOperations = 0;
        }
    }

    private static final class Flag {
        @SuppressWarnings("unused") // padding
        private long p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, pa, pb, pc, pd, pe, pf;

        private volatile boolean isSet;

        @SuppressWarnings("unused") // padding
        private long q0, q1, q2, q3, q4, q5, q6, q7, q8, q9, qa, qb, qc, qd, qe, qf;
    }

    @Benchmark
    public void w8(Meters meters) throws InterruptedException {
        try (Engine engine = new Engine()) {
            engine.fill(MAPPINGS, false);
            for (int i = 0; i < WINDOW; i++) {
                engine.map(trace.first[i], trace.last[i], trace.gpa[i]);
            }
            stop.isSet = false;
            Thread mapper = new Thread(() -> churn(engine, meters));
            Thread translator = new Thread(() -> translate(engine, meters));
            boolean maps = !threads.equals("translate");
            boolean translates = !threads.equals("map");
            if (maps) {
                mapper.start();
            }
            if (translates) {
                translator.start();
            }
            LockSupport.parkNanos(RUN_NANOS);
            stop.isSet = true;
            if (maps) {
                mapper.join();
            }
            if (translates) {
                translator.join();
            }
        }
    }

    private void churn(Engine engine, Meters meters) {
        pin(0);
        long begin = System.nanoTime();
        long pairs = 0;
        int i = WINDOW;
        while (!stop.isSet) {
            engine.unmap(trace.first[i - WINDOW], trace.last[i - WINDOW]);
            engine.map(trace.first[i], trace.last[i], trace.gpa[i]);
            pairs++;
            if (++i == WINDOW + PAIRS) {
                rewind(engine);
                pairs += WINDOW;
                i = WINDOW;
            }
        }
        engine.settle();
        meters.mapNanos += System.nanoTime() - begin;
        meters.mapOperations += pairs;
    }

    /** Back to the window that the trace begins with. */
    private void rewind(Engine engine) {
        for (int i = PAIRS; i < WINDOW + PAIRS; i++) {
            engine.unmap(trace.first[i], trace.last[i]);
        }
        for (int i = 0; i < WINDOW; i++) {
            engine.map(trace.first[i], trace.last[i], trace.gpa[i]);
        }
    }

    private void translate(Engine engine, Meters meters) {
        pin(1);
        Dma dma = engine.dma();
        long[] hot = TranslateBenchmarks.hot();
        boolean isHot = addresses.equals("hot");
        long begin = System.nanoTime();
        long operations = 0;
        long x = SEED_B;
        while (!stop.isSet) {
            x = isHot ? hotBlock(dma, hot, x) : randomBlock(dma, x);
            operations += BLOCK;
        }
        meters.translateNanos += System.nanoTime() - begin;
        meters.translateOperations += operations;
    }

    private static long randomBlock(Dma dma, long x) {
        for (int i = 0; i < BLOCK; i += TranslateBenchmarks.PER_SECTION) {
            dma.enter();
            for (int j = 0; j < TranslateBenchmarks.PER_SECTION; j++) {
                x = next(x);
                long iova = BASE + (index(x, MAPPINGS) << 12) + (x & 0xff8);
                checkNotNull(Engine.translate(dma, iova, Access.READ));
            }
            dma.leave();
        }
        return x;
    }

    private static long hotBlock(Dma dma, long[] hot, long x) {
        for (int i = 0; i < BLOCK; i += TranslateBenchmarks.PER_SECTION) {
            dma.enter();
            for (int j = 0; j < TranslateBenchmarks.PER_SECTION; j++) {
                x = next(x);
                long iova = hot[(int) (x >>> 60)] + (x & 0xff8);
                checkNotNull(Engine.translate(dma, iova, Access.READ));
            }
            dma.leave();
        }
        return x;
    }

    private static void checkNotNull(long host) {
        if (host == 0) {
            throw new IllegalStateException("no address");
        }
    }

    /** Keeps this thread on one processor: else both may be put on the same one. */
    private static void pin(int processor) {
        try {
            Path self = Files.readSymbolicLink(Path.of("/proc/thread-self"));
            new ProcessBuilder(
                            "taskset", "-cp", Integer.toString(processor), "" + self.getFileName())
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start()
                    .waitFor();
        } catch (IOException e) {
            throw new IllegalStateException("taskset is needed to pin threads", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
