// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import static org.ioasis.bench.Workload.PAGE;
import static org.ioasis.bench.Workload.SEED_A;
import static org.ioasis.bench.Workload.index;
import static org.ioasis.bench.Workload.next;

import java.lang.foreign.MemorySegment;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.LockedMemory;
import org.ioasis.iommufd.PageRun;
import org.ioasis.iommufd.PageSource;
import org.ioasis.iommufd.ProgramMemory;
import org.ioasis.spapr.GuestMemory;
import org.ioasis.spapr.GuestTables;
import org.ioasis.spapr.HcallResult;
import org.ioasis.spapr.Hypercalls;
import org.ioasis.spapr.SpaprGroup;
import org.ioasis.spapr.SpaprHost;
import org.ioasis.spapr.SpaprV2;
import org.ioasis.spapr.Task;
import org.ioasis.spapr.TceTable;
import org.ioasis.spapr.UserTier;
import org.ioasis.spec.SpaprTce;
import org.jspecify.annotations.Nullable;
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
 * H_PUT_TCE of a guest on POWER: an entry that is there is led to another page, straight into the
 * hardware table or through the container. The same numbers as in {@code peers/hostmodel.c}. One
 * thread.
 */
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@State(Scope.Benchmark)
public class TceBenchmarks {
    private static final int PUTS = 1_000_000;
    private static final int ENTRIES = 4096;
    private static final long BYTES = 1L << 30;
    private static final long USER = 0x7f00_0000_0000L;
    private static final long LIOBN = 0x8000_0001L;

    /** The first tier answers; otherwise the last one does. */
    @Param("true")
    public boolean isDirect;

    private final IommufdNode node = IommufdNode.builder().build();
    private final Task task = new Task(new Program(), false, new FailureInjector());
    private final SpaprHost host = new SpaprHost(node);
    private final SpaprV2 container = new SpaprV2(host);
    private final GuestTables tables = new GuestTables(host, task);
    private final GuestMemory memory = new GuestMemory();
    private final UserTier user = new UserTier(tables, memory, task);
    private Hypercalls calls = Hypercalls.plain(user);

    @Setup(Level.Trial)
    public void attach() throws IommufdException {
        SpaprGroup group = SpaprGroup.builder().build();
        container.attach(group, task.failures());
        container.register(task, USER, BYTES);
        container.unmap(task, 0, 0);
        memory.add(0, BYTES, USER);
        TceTable table = tables.create(task, LIOBN, 12, 0, BYTES / PAGE);
        tables.attach(table, group);
        user.connect(table, container);
        if (isDirect) {
            calls = Hypercalls.accelerated(tables, memory, task.failures(), user);
        }
        for (int i = 0; i < ENTRIES; i++) {
            put(i, i);
        }
    }

    @TearDown(Level.Trial)
    public void end() {
        tables.close();
        container.close();
        if (node.heldPages() != 0) {
            throw new IllegalStateException(node.heldPages() + " pages are held");
        }
    }

    private void put(long entry, long page) {
        HcallResult result =
                calls.put(LIOBN, entry * PAGE, page * PAGE | SpaprTce.READ | SpaprTce.WRITE);
        if (result != HcallResult.SUCCESS) {
            throw new IllegalStateException("entry " + entry + ": " + result);
        }
    }

    @Benchmark
    public void put(Meter meter) {
        long x = SEED_A;
        meter.begin();
        for (int i = 0; i < PUTS; i++) {
            x = next(x);
            put(index(x, ENTRIES), (x & 0xffff_ffffL) % (BYTES / PAGE));
        }
        meter.end(PUTS);
    }

    /** Memory in one piece, which nobody reads. */
    private static final class Program implements ProgramMemory, PageSource {
        private final LockedMemory locked = new LockedMemory(new AtomicLong(), -1);

        @Override
        public boolean isGone() {
            return false;
        }

        @Override
        public LockedMemory locked() {
            return locked;
        }

        @Override
        public @Nullable PageRun pages(long address, long length, boolean isWrite) {
            return new PageRun(this, address - USER, Math.min(length, USER + BYTES - address));
        }

        @Override
        public int read(long offset, MemorySegment to, long at, long length) {
            return 0;
        }

        @Override
        public int write(long offset, MemorySegment from, long at, long length) {
            return 0;
        }
    }
}
