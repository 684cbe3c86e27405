// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import static org.ioasis.bench.Workload.BASE;
import static org.ioasis.bench.Workload.PAGE;
import static org.ioasis.bench.Workload.SEED_A;
import static org.ioasis.bench.Workload.index;
import static org.ioasis.bench.Workload.next;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.TimeUnit;
import org.ioasis.iommufd.Access;
import org.ioasis.iommufd.Ioas;
import org.ioasis.iommufd.IommufdException;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/**
 * What {@code /dev/iommu} does all day, by the typed face: map, unmap, copy, read and write, and
 * the look-up of an id that every call begins with. The same numbers as in {@code
 * peers/hostmodel.c}. One thread, and for the look-up under churn one more.
 */
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@State(Scope.Benchmark)
public class HostBenchmarks {
    private static final int PAIRS = 200_000;
    private static final int HUGE_PAIRS = 20_000;
    private static final int COPIES = 500_000;
    private static final int LOOKUPS = 20_000_000;
    private static final int OBJECTS = 1024;

    /**
     * {@code map}, {@code copy}, {@code auto}, {@code insert}, {@code access} or {@code lookup}.
     */
    @Param("map")
    public String what = "";

    /** Mappings, or bytes of an access. */
    @Param("4096")
    public int n;

    /** Bytes of a mapping. */
    @Param("4096")
    public long length;

    @Param("0")
    public int domains;

    /** Somebody else makes and destroys objects meanwhile. */
    @Param("false")
    public boolean isChurned;

    private HostModel host = new HostModel();
    private Ioas ioas = host.ioas(0);
    private Ioas copies = ioas;
    private Access access = host.access(ioas);
    private MemorySegment buffer = MemorySegment.NULL;
    private long step;
    private int[] ids = {};
    private volatile boolean isStopped;

    @Setup(Level.Trial)
    public void fill() throws IommufdException {
        host = new HostModel();
        ioas = host.ioas(domains);
        copies = what.equals("copy") ? host.ioas(domains) : ioas;
        step = what.equals("insert") ? 2 * PAGE : length;
        long first = first();
        int mappings = what.equals("access") ? 4096 : n;
        for (int i = 0; i < mappings && !what.equals("lookup"); i++) {
            host.map(ioas, i * length, length, first + i * step);
            if (what.equals("copy")) {
                host.copy(copies, ioas, first + i * step, length, first + i * step);
            }
        }
        if (what.equals("access")) {
            access = host.access(ioas);
            buffer = Arena.ofAuto().allocate(n, 8);
        }
        if (what.equals("lookup")) {
            ids = new int[OBJECTS];
            for (int i = 0; i < OBJECTS; i++) {
                ids[i] = host.context().allocateIoas().id();
            }
        }
    }

    private long first() {
        return what.equals("auto") || what.equals("insert") ? PAGE : BASE;
    }

    @TearDown(Level.Trial)
    public void empty() {
        long mappings = what.equals("access") ? 4096 : n;
        host.close(domains == 0 ? 0 : mappings * (length / PAGE));
    }

    /** Unmaps one of the mappings and maps it again. */
    @Benchmark
    public void map(Meter meter) {
        int pairs = length == PAGE ? PAIRS : HUGE_PAIRS;
        long x = SEED_A;
        long first = first();
        meter.begin();
        for (int i = 0; i < pairs; i++) {
            x = next(x);
            long k = index(x, n);
            host.unmap(ioas, first + k * step, length);
            host.map(ioas, k * length, length, first + k * step);
        }
        meter.end(pairs);
    }

    /** The same by IOVAs that we choose: the only hole. */
    @Benchmark
    public void automatic(Meter meter) {
        long x = SEED_A;
        meter.begin();
        for (int i = 0; i < PAIRS; i++) {
            x = next(x);
            long iova = PAGE + index(x, n) * PAGE;
            host.unmap(ioas, iova, PAGE);
            if (host.map(ioas, 0, PAGE) != iova) {
                throw new IllegalStateException("elsewhere");
            }
        }
        meter.end(PAIRS);
    }

    @Benchmark
    public void copy(Meter meter) {
        int pairs = length == PAGE ? PAIRS : HUGE_PAIRS;
        long x = SEED_A;
        meter.begin();
        for (int i = 0; i < pairs; i++) {
            x = next(x);
            long iova = BASE + index(x, n) * length;
            host.unmap(copies, iova, length);
            host.copy(copies, ioas, iova, length, iova);
        }
        meter.end(pairs);
    }

    @Benchmark
    public void read(Meter meter) throws IommufdException {
        transfer(meter, false);
    }

    @Benchmark
    public void write(Meter meter) throws IommufdException {
        transfer(meter, true);
    }

    private void transfer(Meter meter, boolean isWrite) throws IommufdException {
        long x = SEED_A;
        meter.begin();
        for (int i = 0; i < COPIES; i++) {
            x = next(x);
            access.copy(BASE + (index(x, 4095) << 12) + (x & 0xff8), buffer, isWrite);
        }
        meter.end(COPIES);
    }

    @Benchmark
    public void lookUp(Meter meter) throws InterruptedException {
        isStopped = false;
        Thread churn = new Thread(this::churn);
        if (isChurned) {
            churn.start();
        }
        long x = SEED_A;
        long sum = 0;
        meter.begin();
        for (int i = 0; i < LOOKUPS; i++) {
            x = next(x);
            Ioas found = host.context().lookUp(ids[(int) (x >>> 32) & (OBJECTS - 1)], Ioas.class);
            sum += found == null ? 0 : found.id();
        }
        meter.end(LOOKUPS);
        isStopped = true;
        if (isChurned) {
            churn.join();
        }
        if (sum < LOOKUPS) {
            throw new IllegalStateException("an object was not found");
        }
    }

    private void churn() {
        try {
            while (!isStopped) {
                host.context().destroy(host.context().allocateIoas().id());
            }
        } catch (IommufdException e) {
            throw new IllegalStateException(e);
        }
    }
}
