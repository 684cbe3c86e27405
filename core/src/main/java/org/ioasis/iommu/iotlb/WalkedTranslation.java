// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.iotlb;

import org.ioasis.iommu.mapping.Extent;
import org.ioasis.iommu.mapping.Translation;
import org.ioasis.iommu.mapping.Untranslated;
import org.ioasis.iommu.pagetable.AddressSpace;
import org.ioasis.iommu.pagetable.Bits;
import org.ioasis.iommu.pagetable.EntryKind;
import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.Stage;
import org.ioasis.iommu.pagetable.TwoStageFault;
import org.ioasis.iommu.pagetable.Walk;
import org.ioasis.iommu.pagetable.WalkFault;
import org.ioasis.iommu.pagetable.Walker;
import org.ioasis.memory.Access;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Outcome;

/**
 * A table of somebody else's, walked for each access that no translation is kept for: a guest's
 * own, as it is or behind a second stage, which may be mappings or a table again. Any thread,
 * inside a guarded section; takes no lock and allocates nothing but a {@link WalkSpace} for each
 * owner of an {@link Extent}.
 *
 * <p>Who owns the table changes it under us and says so by invalidations, which the {@link Iotlb}
 * carries out. A table whose memory is absent is no fault: the access is tried again.
 */
public final class WalkedTranslation extends Translation {
    // Sizes that a piece of the second stage may be cut down to, largest first: the leaves that
    // formats have, and none smaller than the smallest that is kept.
    private static final int[] SIZES_LG2 = {39, 36, 34, 30, 29, 25, 21, 16, 14, 12};

    private static final int PAGE_LG2 = 12;
    private static final int READ_WRITE = Rights.READ | Rights.WRITE;

    private final Stage stage;
    private final PageTableFormat format;
    private final Translation second;
    private final boolean isBehind;
    private final boolean isFirst;
    private final int rights;
    private final GuestMemory memory;
    private final Iotlb tlb;
    private final long tag;

    private WalkedTranslation(
            Stage stage,
            boolean isFirst,
            Translation second,
            AddressSpace space,
            GuestMemory memory,
            Iotlb tlb) {
        super(Kind.WALKED);
        this.stage = stage;
        this.format = stage.format();
        this.isFirst = isFirst;
        this.second = second;
        this.isBehind = second.kind() != Kind.IDENTITY;
        this.rights = space.rights();
        this.memory = memory;
        this.tlb = tlb;
        int stages = (isFirst ? Iotlb.FIRST : 0) | (isFirst && !isBehind ? 0 : Iotlb.SECOND);
        this.tag = Iotlb.tag(space.domain(), isFirst ? space.space() : 0, stages);
    }

    /**
     * What an address space's own stages say.
     *
     * @param memory what the last of them leads to, with the tables of both
     */
    public static Translation of(AddressSpace space, GuestMemory memory, Iotlb tlb) {
        Stage last = space.second();
        Translation second =
                last == null
                        ? Untranslated.IDENTITY
                        : new WalkedTranslation(
                                last, false, Untranslated.IDENTITY, space, memory, tlb);
        Stage first = space.first();
        return first == null
                ? second
                : new WalkedTranslation(first, true, second, space, memory, tlb);
    }

    /**
     * The first stage of an address space, behind whatever is the second here.
     *
     * @param memory what the second leads to, with the table of the first
     */
    public static WalkedTranslation behind(
            Translation second, AddressSpace space, GuestMemory memory, Iotlb tlb) {
        Stage first = space.first();
        if (first == null || space.second() != null) {
            throw new IllegalArgumentException("no first stage alone: " + space);
        }
        return new WalkedTranslation(first, true, second, space, memory, tlb);
    }

    @Override
    public long translate(long iova, long length, int flags) {
        long hit = tlb.find(tag, format.untagged(iova));
        if (hit == Iotlb.NONE || (flags & ~Iotlb.rights(hit)) != 0) {
            return UNCLEAR;
        }
        long within = iova & Bits.mask(Iotlb.pageLg2(hit));
        return Long.compareUnsigned(length - 1, Bits.mask(Iotlb.pageLg2(hit)) - within) <= 0
                ? Iotlb.output(hit, iova)
                : UNCLEAR;
    }

    @Override
    public boolean lookup(long iova, Extent found) {
        long address = format.untagged(iova);
        long hit = tlb.find(tag, address);
        if (hit != Iotlb.NONE) {
            return found(hit, iova, found);
        }
        return walk(tlb.epoch(), iova, address, 0, false, found) == Outcome.OK;
    }

    @Override
    public Outcome access(long iova, long length, int flags, Extent found) {
        long address = format.untagged(iova);
        return isKept(iova, address, flags, found)
                ? Outcome.OK
                : walk(tlb.epoch(), iova, address, flags, true, found);
    }

    /**
     * The same for who has learnt of this table just now.
     *
     * @param epoch of the IOTLB, read before that
     */
    Outcome accessSince(long epoch, long iova, int flags, Extent found) {
        long address = format.untagged(iova);
        return isKept(iova, address, flags, found)
                ? Outcome.OK
                : walk(epoch, iova, address, flags, true, found);
    }

    private boolean isKept(long iova, long address, int flags, Extent found) {
        long hit = tlb.find(tag, address);
        return hit != Iotlb.NONE && (flags & ~Iotlb.rights(hit)) == 0 && found(hit, iova, found);
    }

    private static boolean found(long hit, long iova, Extent found) {
        long last = iova | Bits.mask(Iotlb.pageLg2(hit));
        found.set(last, Iotlb.output(hit, iova) - iova, Iotlb.rights(hit));
        return true;
    }

    // Walking
    // ---------------------------------------------------------------------------------------------

    private WalkSpace workspace(Extent found) {
        if (found.workspace() instanceof WalkSpace known && known.owner == this) {
            return known;
        }
        WalkSpace made = new WalkSpace(this, memory, second);
        found.workspace(made);
        return made;
    }

    /**
     * @param epoch of the IOTLB before anything is read that the answer comes from
     */
    private Outcome walk(
            long epoch, long iova, long address, int access, boolean isAccess, Extent found) {
        WalkSpace space = workspace(found);
        Walk walk = space.walk;
        boolean marks = isAccess && stage.marks();
        space.isLooking = !isAccess;
        space.isRefused = false;
        if ((access & ~rights) != 0) {
            return space.refuse(
                    TwoStageFault.CONTEXT, WalkFault.PERMISSION, format.firstTop(), address);
        }
        int asked = access | stage.needs();
        if (!Walker.walk(format, space, stage.root(), address, asked, marks, walk)) {
            return refuse(space, address);
        }
        int allowed = walk.rights() & rights & READ_WRITE;
        if (marks && format.marked(walk.entry(), EntryKind.LEAF, true) != walk.entry()) {
            // Not marked as written yet, so the next access that writes has to come here again.
            allowed &= ~Rights.WRITE | access;
        }
        long output = walk.output();
        int pageLg2 = walk.pageLg2();
        long last = iova | Bits.mask(pageLg2);
        if (isBehind) {
            Outcome outcome = askSecond(space, output, access);
            if (outcome != Outcome.OK) {
                return outcome;
            }
            allowed &= space.behind.flags();
            long behindLast = iova + (space.behind.last() - output);
            output += space.behind.delta();
            pageLg2 = space.isWhole ? alike(space, walk.output(), pageLg2) : 0;
            last = pageLg2 == 0 ? min(iova, last, behindLast) : iova | Bits.mask(pageLg2);
        }
        found.set(last, output - iova, allowed);
        if (isAccess) {
            boolean isGlobal = isFirst && format.isGlobal(walk.entry());
            boolean _ =
                    tlb.fill(
                            epoch,
                            tag,
                            address,
                            output,
                            allowed,
                            pageLg2,
                            walk.pageLg2(),
                            isGlobal);
        }
        return Outcome.OK;
    }

    /** The nearer one of two addresses from {@code from} on. */
    private static long min(long from, long a, long b) {
        return Long.compareUnsigned(a - from, b - from) < 0 ? a : b;
    }

    private Outcome refuse(WalkSpace space, long address) {
        Walk walk = space.walk;
        if (walk.fault() == WalkFault.TABLE && walk.tableOutcome() == Outcome.ABSENT) {
            return Outcome.ABSENT;
        }
        if (space.isRefused) {
            return space.refuseBehind(TwoStageFault.SECOND_FOR_TABLE, walk.entryAddress());
        }
        TwoStageFault which = isFirst ? TwoStageFault.FIRST : TwoStageFault.SECOND_FOR_INPUT;
        return space.refuse(which, walk.fault(), walk.level(), address);
    }

    /**
     * Asks for the smallest page that is kept around the address, and where it has none as a whole,
     * for the address alone.
     */
    private Outcome askSecond(WalkSpace space, long address, int access) {
        long page = address & -1L << PAGE_LG2;
        Extent behind = space.behind;
        space.isWhole =
                space.askSecond(page, 1L << PAGE_LG2, access) == Outcome.OK
                        && behind.reaches(page, 1L << PAGE_LG2);
        if (space.isWhole) {
            return Outcome.OK;
        }
        Outcome outcome = space.askSecond(address, 1, access);
        return outcome == Outcome.FAULT
                ? space.refuseBehind(TwoStageFault.SECOND_FOR_INPUT, address)
                : outcome;
    }

    /**
     * Size of what both stages translate alike around an address, given that the second does so for
     * the smallest page: as much of the first's page as the second has in one piece.
     */
    private int alike(WalkSpace space, long address, int pageLg2) {
        Extent behind = space.behind;
        long delta = behind.delta();
        int flags = behind.flags();
        int size = pageLg2;
        for (int i = 0; size > PAGE_LG2; i++) {
            long base = address & -1L << size;
            if (second.lookup(base, 1L << size, behind)
                    && behind.reaches(base, 1L << size)
                    && behind.delta() == delta
                    && (flags & ~behind.flags()) == 0) {
                return size;
            }
            while (SIZES_LG2[i] >= size) {
                i++;
            }
            size = SIZES_LG2[i];
        }
        return size;
    }

    @Override
    public String explain(String name, long iova, Access access) {
        Extent extent = new Extent();
        Outcome outcome =
                walk(tlb.epoch(), iova, format.untagged(iova), access.bit(), false, extent);
        if (outcome == Outcome.OK) {
            return "%s translates 0x%x by now".formatted(name, iova);
        }
        return outcome == Outcome.FAULT
                ? name + ": " + workspace(extent).words()
                : "%s has its tables in memory that is absent".formatted(name);
    }
}
