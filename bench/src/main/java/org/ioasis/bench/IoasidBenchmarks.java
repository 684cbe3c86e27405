// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import static org.ioasis.bench.Workload.SEED_A;
import static org.ioasis.bench.Workload.next;

import java.util.concurrent.TimeUnit;
import org.ioasis.ioasid.IoasidAllocator;
import org.ioasis.ioasid.IoasidFind;
import org.ioasis.ioasid.IoasidGetter;
import org.ioasis.ioasid.IoasidReader;
import org.ioasis.ioasid.IoasidSet;
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
 * From a PASID to its owner, as a page fault asks: alone, beside somebody who allocates and frees,
 * and beside another who looks up. The same numbers as in {@code peers/hostmodel.c}.
 */
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@State(Scope.Benchmark)
public class IoasidBenchmarks {
    private static final int LOOKUPS = 20_000_000;
    private static final int IDS = 1024;

    /** Ids of whoever allocates and frees meanwhile. */
    private static final int CHURNED = 2000;

    /** Who works beside the look-ups: {@code alone}, {@code churn} or {@code reader}. */
    @Param("alone")
    public String beside = "";

    private IoasidAllocator ids = new IoasidAllocator();
    private IoasidSet<Owner> set = new IoasidSet<>("shared", Owner.class);
    private volatile boolean isStopped;

    /** An owner, and what a look-up takes of it. */
    private record Owner(long value) {}

    /** Sums up what it is given. */
    private static final class Sum implements IoasidGetter<Owner> {
        private long sum;

        @Override
        public boolean get(Owner owner) {
            sum += owner.value();
            return true;
        }
    }

    @Setup(Level.Trial)
    public void fill() {
        ids = new IoasidAllocator();
        set = new IoasidSet<>("shared", Owner.class);
        for (int i = 1; i <= IDS; i++) {
            if (ids.allocate(set, 1, IDS, new Owner(i)) != i) {
                throw new IllegalStateException("not the lowest");
            }
        }
    }

    @Benchmark
    public void find(Meter meter) throws InterruptedException {
        isStopped = false;
        Thread other = new Thread(beside.equals("churn") ? this::churn : this::read);
        if (!beside.equals("alone")) {
            other.start();
        }
        meter.begin();
        long found = look(LOOKUPS);
        meter.end(LOOKUPS);
        isStopped = true;
        if (!beside.equals("alone")) {
            other.join();
        }
        if (found != LOOKUPS) {
            throw new IllegalStateException("an owner was not found");
        }
    }

    private long look(int times) {
        long x = SEED_A;
        long found = 0;
        Sum sum = new Sum();
        try (IoasidReader reader = ids.openReader()) {
            for (int i = 0; i < times; i++) {
                x = next(x);
                int id = 1 + ((int) (x >>> 32) & (IDS - 1));
                found += reader.find(set, id, sum) == IoasidFind.FOUND ? 1 : 0;
            }
        }
        if (sum.sum < found) {
            throw new IllegalStateException("the getter was not asked");
        }
        return found;
    }

    private void read() {
        while (!isStopped) {
            if (look(1 << 16) != 1 << 16) {
                throw new IllegalStateException("an owner was not found");
            }
        }
    }

    private void churn() {
        Owner owner = new Owner(0);
        while (!isStopped) {
            int id = ids.allocate(set, CHURNED, CHURNED + 63, owner);
            if (!ids.put(id)) {
                throw new IllegalStateException("somebody else's");
            }
        }
    }
}
