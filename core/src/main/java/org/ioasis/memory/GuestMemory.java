// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Guest-physical memory as one device sees it: regions come and go while the device uses it.
 * Changes belong to the machine's loop thread; lookups happen on any thread inside a guarded
 * section.
 *
 * <p>Each session has its own: VMMs tell each device of memory at its own moment, and take RAM away
 * and bring it back a dozen times while firmware boots.
 */
public final class GuestMemory {
    /** Most regions at a time that any memory may have; what VFIO allows a container. */
    public static final int REGION_LIMIT = 65_535;

    /** What became of a change. Anything but DONE has changed nothing. */
    public enum Change {
        DONE,
        /** Some byte of the range already belongs to a region. */
        OVERLAPS,
        /** The limit of regions is reached. */
        LIMIT,
        /** There is no region in this range. */
        MISSING,
        /** A region lies in this range with a part of it only. */
        CUTS
    }

    private final Guards guards;
    private final int regionLimit;
    private final RegionTable table = new RegionTable();
    private final LongAdder unreachable = new LongAdder();
    private final List<MemoryListener> listeners = new ArrayList<>();

    /** Who notes what is written; null: nobody wants to know. */
    private volatile @Nullable WriteLog log;

    /**
     * @param regionLimit most regions at a time, at most {@link #REGION_LIMIT}; what a VMM may make
     *     us keep
     */
    public GuestMemory(Guards guards, int regionLimit) {
        if (regionLimit < 1 || regionLimit > REGION_LIMIT) {
            throw new IllegalArgumentException(
                    "limit of regions must be 1..%d, not %d".formatted(REGION_LIMIT, regionLimit));
        }
        this.guards = guards;
        this.regionLimit = regionLimit;
    }

    /** The region that holds {@code gpa}, or null. In a section: it stays usable to its end. */
    @Nullable Region find(long gpa) {
        return table.find(gpa);
    }

    Guards guards() {
        return guards;
    }

    /** Where a section notes what it is about to write, or null. Any thread. */
    @Nullable WriteLog log() {
        return log;
    }

    /** Accesses note what they write in {@code started} from now on. */
    void log(WriteLog started) {
        assert guards.isOwnThread();
        if (log != null) {
            throw new IllegalStateException("there is a log already");
        }
        log = started;
    }

    /** Nothing is noted any more, if it was in {@code ended}. */
    @SuppressWarnings("ReferenceEquality") // a log is an identity
    void dropLog(WriteLog ended) {
        assert guards.isOwnThread();
        if (log == ended) {
            log = null;
        }
    }

    /** Counts an access to a region that is known and cannot be touched. Any thread. */
    void countUnreachable() {
        unreachable.increment();
    }

    /** Accesses so far that were refused because the VMM does not share that memory. Any thread. */
    public long unreachableAccesses() {
        return unreachable.sum();
    }

    /** Most regions at a time. Any thread. */
    public int regionLimit() {
        return regionLimit;
    }

    /** How many regions there are. Any thread. */
    public int regionCount() {
        return table.size();
    }

    /** All regions in order of address, for diagnostics. */
    public void forEachRegion(Consumer<? super Region> visitor) {
        table.forEach(visitor);
    }

    /** {@code listener} hears of all regions that are there, and from now on of each change. */
    public void listen(MemoryListener listener) {
        assert guards.isOwnThread();
        listeners.add(listener);
        table.forEach(listener::appeared);
    }

    /** Adds a region; visible to accesses that start from now on. */
    public Change add(Region region) {
        assert guards.isOwnThread();
        if (table.firstIn(region.gpaFirst(), region.gpaLast()) != null) {
            return Change.OVERLAPS;
        }
        if (table.size() == regionLimit) {
            return Change.LIMIT;
        }
        WriteLog noted = log;
        if (noted != null) {
            noted.cover(region);
        }
        table.add(region);
        listeners.forEach(listener -> listener.appeared(region));
        return Change.DONE;
    }

    /**
     * Removes the regions that lie in {@code gpaFirst..gpaLast}, each of them whole. {@code
     * whenUnused} runs on the loop thread, perhaps at once, when no access can be in any of them
     * and the listeners have let go: then their mappings may be closed and the VMM answered.
     */
    public Change remove(long gpaFirst, long gpaLast, Runnable whenUnused) {
        assert guards.isOwnThread();
        Region lowest = table.firstIn(gpaFirst, gpaLast);
        if (lowest == null) {
            return Change.MISSING;
        }
        // None overlaps another, so only those at the two ends can be cut.
        if (isCut(lowest, gpaFirst, gpaLast)
                || isCut(table.firstIn(gpaLast, gpaLast), gpaFirst, gpaLast)) {
            return Change.CUTS;
        }
        for (Region region = lowest; region != null; region = table.firstIn(gpaFirst, gpaLast)) {
            table.remove(region);
        }
        vanish(new Removal(gpaFirst, gpaLast, false, whenUnused), listeners);
        return Change.DONE;
    }

    private static boolean isCut(@Nullable Region region, long first, long last) {
        return region != null
                && (Long.compareUnsigned(region.gpaFirst(), first) < 0
                        || Long.compareUnsigned(region.gpaLast(), last) > 0);
    }

    /**
     * Removes every region, taking back leases on them; {@code whenUnused} as with {@link #remove}.
     */
    public void clear(Runnable whenUnused) {
        assert guards.isOwnThread();
        List<MemoryListener> told = table.size() == 0 ? List.of() : listeners;
        table.clear();
        vanish(new Removal(0, -1L, true, whenUnused), told);
    }

    private void vanish(Removal removal, List<MemoryListener> told) {
        // Side by side with each other and with accesses of ours.
        for (MemoryListener listener : told) {
            listener.vanished(removal.gpaFirst, removal.gpaLast, removal.answer());
        }
        guards.await(removal);
    }

    /** Over when accesses of ours have ended and each listener has answered. */
    private final class Removal extends Quiescence {
        private final long gpaFirst;
        private final long gpaLast;
        private final boolean takesBack;
        private final Runnable whenUnused;

        // Answers of listeners, and the end of accesses.
        private int owed = 1;

        Removal(long gpaFirst, long gpaLast, boolean takesBack, Runnable whenUnused) {
            this.gpaFirst = gpaFirst;
            this.gpaLast = gpaLast;
            this.takesBack = takesBack;
            this.whenUnused = whenUnused;
        }

        @Override
        protected boolean isHeldBy(PinnedLease lease) {
            return lease.isOn(GuestMemory.this, gpaFirst, gpaLast);
        }

        @Override
        protected boolean takesBack() {
            return takesBack;
        }

        /** What one listener is to run, once. */
        Runnable answer() {
            owed++;
            return new Runnable() {
                private boolean isThere;

                @Override
                public void run() {
                    assert guards.isOwnThread();
                    if (isThere) {
                        throw new IllegalStateException("a listener let go twice");
                    }
                    isThere = true;
                    oneLess();
                }
            };
        }

        private void oneLess() {
            if (--owed == 0) {
                whenUnused.run();
            }
        }

        @Override
        protected void quiescent() {
            oneLess();
        }
    }
}
