// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.iommu.mapping.MappingStore;
import org.ioasis.iommu.mapping.MappingStore.MapResult;
import org.ioasis.iommu.mapping.RunVisitor;
import org.ioasis.memory.Ranges;
import org.jspecify.annotations.Nullable;

/**
 * A domain with mappings: the only kind that can be changed. Every change is checked in one fixed
 * order before anything happens; one that is not answered OK has changed nothing. Loop thread.
 */
public final class PagingDomain extends Domain {
    private final MappingStore store;

    // What the endpoints have in common, renewed at each attach and detach.
    private long commonGranule;
    private long granule;
    private long inputFirst;
    private long inputLast;
    private ReservedWindows reserved = ReservedWindows.NONE;
    private boolean isListenedTo;
    private long mappingLimit;
    private @Nullable DirtySink dirtySink;

    PagingDomain(Iommu iommu, int id, MappingStore store) {
        super(iommu, id, store);
        this.store = store;
        renew();
    }

    // What it is like
    // -------------------------------------------------------------------------------------------

    /**
     * What mappings are aligned to. That of live mappings stands, whoever comes and goes: only a
     * domain without mappings gets another one.
     */
    public long granule() {
        return granule == commonGranule ? granule : renewedGranule();
    }

    private long renewedGranule() {
        if (store.size() == 0) {
            granule = commonGranule;
        }
        return granule;
    }

    public long inputFirst() {
        return inputFirst;
    }

    public long inputLast() {
        return inputLast;
    }

    public ReservedWindows reserved() {
        return reserved;
    }

    /** Number of mappings. */
    public long size() {
        return store.size();
    }

    /** Most mappings that its endpoints together may cause. */
    long mappingLimit() {
        return mappingLimit;
    }

    /** True if some endpoint has a listener, which must hear of every change. */
    boolean isListenedTo() {
        return isListenedTo;
    }

    MappingStore store() {
        return store;
    }

    /** The mappings of a saved state are there, aligned to {@code saved}. */
    void restored(long saved) {
        granule = saved;
        renew();
    }

    @Override
    void renew() {
        IommuOptions options = iommu.options();
        long mask = options.pageSizeMask();
        long first = options.inputFirst();
        long last = options.inputLast();
        ReservedWindows windows = ReservedWindows.NONE;
        boolean isHeard = false;
        for (Attachment attachment : attachments()) {
            EndpointProperties properties = attachment.endpoint().properties();
            mask &= pages(properties);
            first = Ranges.max(first, properties.inputFirst());
            last = Ranges.min(last, properties.inputLast());
            windows = windows.combine(properties.reserved());
            isHeard |= attachment.listener() != null;
        }
        // A domain that nothing is attached to yet is no endpoint's, and may hold what one could.
        int sharers = Math.max(attachments().size(), 1);
        isListenedTo = isHeard;
        mappingLimit = times(sharers, options.endpointMappingLimit());
        store.limitTables(times(sharers, options.endpointTableLimit()));
        commonGranule = Long.lowestOneBit(mask);
        inputFirst = first;
        inputLast = last;
        reserved = windows;
    }

    private static long pages(EndpointProperties properties) {
        return properties.pageSizeMask() == 0 ? -1L : properties.pageSizeMask();
    }

    private static long times(int count, long limit) {
        return limit > Long.MAX_VALUE / count ? Long.MAX_VALUE : count * limit;
    }

    /**
     * An endpoint can join that leaves a common page size, a common input range, that live mappings
     * fit all properties of, and with which no identity region is laid open to others (D-25, D-26).
     */
    @Override
    public @Nullable Refusal check(Attachment attachment) {
        EndpointProperties properties = attachment.endpoint().properties();
        IommuOptions options = iommu.options();
        long mask = options.pageSizeMask() & pages(properties);
        for (Attachment other : attachments()) {
            EndpointProperties theirs = other.endpoint().properties();
            mask &= pages(theirs);
            if (!options.identityBesideNone()
                    && properties.reserved().exposesIdentity(theirs.reserved())) {
                return Refusal.DOES_NOT_FIT;
            }
        }
        long first = Ranges.max(inputFirst, properties.inputFirst());
        long last = Ranges.min(inputLast, properties.inputLast());
        if (mask == 0 || Ranges.isBelow(last, first)) {
            return Refusal.DOES_NOT_FIT;
        }
        if (store.size() == 0) {
            return null;
        }
        // Page sizes are powers of two: what is aligned to the larger one is to the smaller.
        boolean fits =
                Ranges.isAtMost(Long.lowestOneBit(mask), granule())
                        && !reachesOutside(first, last)
                        && !touches(properties.reserved());
        return fits ? null : Refusal.DOES_NOT_FIT;
    }

    private boolean reachesOutside(long first, long last) {
        return (first != 0 && store.overlaps(0, first - 1))
                || (last != -1L && store.overlaps(last + 1, -1L));
    }

    private boolean touches(ReservedWindows windows) {
        for (ReservedRegion region : windows.regions()) {
            if (store.overlaps(region.first(), region.last())) {
                return true;
            }
        }
        return false;
    }

    // MAP
    // ------------------------------------------------------------------------------------------------------------

    /**
     * Everything that can be wrong with a MAP before it is tried, in the one order that decides
     * when several things are; null if nothing is.
     */
    public @Nullable Refusal check(long first, long last, long output) {
        Refusal refusal = checkPlace(granule(), first, last, output);
        if (refusal != null) {
            return refusal;
        }
        boolean isFull = iommu.mappingCount() >= iommu.options().mappingLimit();
        if (!isFull && store.size() < mappingLimit) {
            return null;
        }
        if (store.overlaps(first, last)) {
            return Refusal.OVERLAPS;
        }
        return isFull ? Refusal.MAPPING_LIMIT : Refusal.ENDPOINT_MAPPING_LIMIT;
    }

    /** The part of it that other mappings have nothing to do with. */
    @Nullable Refusal checkPlace(long alignment, long first, long last, long output) {
        if (Ranges.isBelow(last, first)) {
            return Refusal.BACKWARD;
        }
        if (((first | (last + 1) | output) & (alignment - 1)) != 0) {
            return Refusal.UNALIGNED;
        }
        if (Ranges.wraps(output, last - first)) {
            return Refusal.OUTPUT_WRAPS;
        }
        if (!Ranges.covers(inputFirst, inputLast, first, last)) {
            return Refusal.OUTSIDE_INPUT;
        }
        return reserved.overlaps(first, last) ? Refusal.RESERVED_REGION : null;
    }

    /**
     * Maps {@code first..last} to {@code output} and on.
     *
     * @param flags {@link MapFlags}, already known to be ones that the asker may use
     */
    public void map(long first, long last, long output, int flags, Completion completion) {
        assert iommu.isOwnThread();
        requireIdle();
        Refusal refusal = check(first, last, output);
        if (refusal != null) {
            noteRefused(first, last, refusal);
            iommu.refuse(refusal, completion);
            return;
        }
        MapResult result = store.map(first, last, output, flags);
        if (result != MapResult.DONE) {
            Refusal late = result == MapResult.OVERLAPS ? Refusal.OVERLAPS : Refusal.TABLE_MEMORY;
            noteRefused(first, last, late);
            iommu.refuse(late, completion);
            return;
        }
        iommu.countMappings(1);
        if (isListenedTo) {
            tellOfMap(first, last, output, flags, completion);
        } else {
            completion.complete(Status.OK);
        }
    }

    /** Keeps a MAP that was refused, to explain what its device meets. */
    public void noteRefused(long first, long last, Refusal refusal) {
        iommu.unmaps().addRefused(this, first, last, refusal);
    }

    private void tellOfMap(long first, long last, long output, int flags, Completion completion) {
        ListenerRound round = iommu.round(this, null, null);
        for (Attachment attachment : attachments()) {
            DomainListener listener = attachment.listener();
            if (listener != null) {
                listener.begin();
                listener.mapped(first, last, output, flags);
                round.commit(listener, this, true);
            }
        }
        round.finish(status -> {
            if (status == Status.OK) {
                completion.complete(Status.OK);
            } else {
                takeBack(round.agreed(), first, last, status, completion);
            }
        });
    }

    /** Some listener has refused the mapping: those that took it give it up again. */
    private void takeBack(
            List<DomainListener> took,
            long first,
            long last,
            Status status,
            Completion completion) {
        iommu.countMappings(-store.unmap(first, last));
        ListenerRound round = iommu.round(this, null, null);
        for (DomainListener listener : took) {
            listener.begin();
            listener.unmapped(first, last);
            round.commit(listener, this, false);
        }
        // The mapping was there for a moment: an access may have begun under it.
        round.finish(_ -> iommu.unmaps().addUndone(this, first, last, status, completion));
    }

    // UNMAP
    // ----------------------------------------------------------------------------------------------------------

    /**
     * Removes the mappings of {@code first..last}, whole ones only. When it is answered no access
     * uses them any more. A new MAP of the range is legal even before that.
     */
    public void unmap(long first, long last, Completion completion) {
        assert iommu.isOwnThread();
        requireIdle();
        if (Ranges.isBelow(last, first)) {
            iommu.refuse(Refusal.BACKWARD, completion);
            return;
        }
        List<DomainListener> told = isListenedTo ? announce(first, last) : null;
        long removed = store.unmap(first, last);
        if (removed == MappingStore.SPLITS) {
            iommu.refuse(Refusal.CUTS, completion);
            return;
        }
        iommu.countMappings(-removed);
        if (removed == 0 && iommu.isQuiet()) {
            completion.complete(Status.OK);
        } else if (told == null) {
            iommu.unmaps().add(this, first, last, completion);
        } else {
            // Nobody can refuse it, and accesses of ours find nothing there from now on.
            completion.settled(Status.OK);
            commitUnmap(told, first, last, completion);
        }
    }

    /**
     * Begins a batch with each listener about what will be unmapped; it counts for nothing before
     * it is committed. Those that it concerns; null if nothing will be unmapped.
     */
    private @Nullable List<DomainListener> announce(long first, long last) {
        if (!store.overlaps(first, last) || store.splits(first, last)) {
            return null;
        }
        List<DomainListener> told = new ArrayList<>();
        for (Attachment attachment : attachments()) {
            DomainListener listener = attachment.listener();
            if (listener != null) {
                listener.begin();
                store.runs(
                        first,
                        last,
                        (from, to, output, flags) -> {
                            listener.unmapped(from, to);
                            return true;
                        });
                told.add(listener);
            }
        }
        return told;
    }

    private void commitUnmap(
            List<DomainListener> told, long first, long last, Completion completion) {
        ListenerRound round = iommu.round(this, null, null);
        for (DomainListener listener : told) {
            round.commit(listener, this, false);
        }
        round.finish(_ -> iommu.unmaps().add(this, first, last, completion));
    }

    // Looking
    // --------------------------------------------------------------------------------------------------------

    /**
     * Visits the mappings inside {@code first..last} in order, neighbours with equal flags and
     * continuing output as one run, until the visitor has heard enough.
     */
    public void runs(long first, long last, RunVisitor visitor) {
        store.runs(first, last, visitor);
    }

    /** Visits the mappings that touch {@code first..last}, one by one with their exact borders. */
    public void mappings(long first, long last, RunVisitor visitor) {
        store.mappings(first, last, visitor);
    }

    @Override
    void replay(DomainListener listener) {
        super.replay(listener);
        RunVisitor teller =
                (first, last, output, flags) -> {
                    listener.mapped(first, last, output, flags);
                    return true;
                };
        if (listener.hearsEachMapping()) {
            store.mappings(0, -1L, teller);
        } else {
            store.runs(0, -1L, teller);
        }
    }

    /** Sets who takes what listeners tell of pages that were written; null for nobody. */
    public void dirtySink(@Nullable DirtySink sink) {
        dirtySink = sink;
    }

    void dirtied(long first, long last) {
        DirtySink sink = dirtySink;
        if (sink != null) {
            sink.dirtied(first, last);
        }
    }

    @Override
    void release() {
        iommu.countMappings(-store.size());
        store.close();
    }
}
