// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * Guest-physical memory as one device sees it: regions come and go while the device uses it. The
 * table is immutable and swapped as a whole, so that a reader sees a region or does not. Changes
 * belong to the machine's loop thread; lookups happen on any thread inside a guarded section.
 *
 * <p>Each session has its own: VMMs tell each device of memory at its own moment, and take RAM away
 * and bring it back a dozen times while firmware boots.
 */
public final class GuestMemory {
    /** What became of a change. Anything but DONE has changed nothing. */
    public enum Change {
        DONE,
        /** Some byte of the range already belongs to a region. */
        OVERLAPS,
        /** The limit of regions is reached. */
        LIMIT,
        /** No region is exactly this range. */
        MISSING
    }

    private static final VarHandle TABLE;

    static {
        try {
            TABLE =
                    MethodHandles.lookup()
                            .findVarHandle(GuestMemory.class, "table", RegionTable.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final Guards guards;
    private final int regionLimit;
    private RegionTable table = RegionTable.EMPTY;

    /**
     * @param regionLimit most regions at a time, at most 32767; what a VMM may make us keep and
     *     rebuild at each change
     */
    public GuestMemory(Guards guards, int regionLimit) {
        if (regionLimit < 1 || regionLimit > Short.MAX_VALUE) {
            throw new IllegalArgumentException(
                    "limit of regions must be 1..32767, not " + regionLimit);
        }
        this.guards = guards;
        this.regionLimit = regionLimit;
    }

    RegionTable table() {
        return (RegionTable) TABLE.getAcquire(this);
    }

    Guards guards() {
        return guards;
    }

    public int regionCount() {
        return table.size();
    }

    /** The i-th region in order of address, for diagnostics and for who must undo what it added. */
    public Region region(int i) {
        return table.get(i);
    }

    /** Adds a region; visible to accesses that start from now on. */
    public Change add(Region region) {
        if (table.overlaps(region.gpaFirst(), region.gpaLast())) {
            return Change.OVERLAPS;
        }
        if (table.size() == regionLimit) {
            return Change.LIMIT;
        }
        TABLE.setRelease(this, table.with(region));
        return Change.DONE;
    }

    /**
     * Removes the region that is exactly {@code gpaFirst..gpaLast}. {@code whenUnused} runs on the
     * loop thread, perhaps at once, when no access can be in it any more: then its mapping may be
     * closed and the VMM answered.
     */
    public Change remove(long gpaFirst, long gpaLast, Runnable whenUnused) {
        RegionTable rest = table.without(gpaFirst, gpaLast);
        if (rest == null) {
            return Change.MISSING;
        }
        TABLE.setRelease(this, rest);
        guards.await(new Removal(gpaFirst, gpaLast, false, whenUnused));
        return Change.DONE;
    }

    /**
     * Removes every region, taking back leases on them; {@code whenUnused} as with {@link #remove}.
     */
    public void clear(Runnable whenUnused) {
        TABLE.setRelease(this, RegionTable.EMPTY);
        guards.await(new Removal(0, -1L, true, whenUnused));
    }

    private final class Removal extends Quiescence {
        private final long gpaFirst;
        private final long gpaLast;
        private final boolean takesBack;
        private final Runnable whenUnused;

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

        @Override
        protected void quiescent() {
            whenUnused.run();
        }
    }
}
