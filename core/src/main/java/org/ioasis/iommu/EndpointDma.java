// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.function.Supplier;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.fault.FaultReason;
import org.ioasis.iommu.mapping.Blocked;
import org.ioasis.iommu.mapping.Extent;
import org.ioasis.iommu.mapping.MappingStore;
import org.ioasis.iommu.mapping.Translation;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.iommu.mapping.Workspace;
import org.ioasis.iommu.pagetable.TwoStageFault;
import org.ioasis.iommu.pagetable.WalkFault;
import org.ioasis.memory.Access;
import org.ioasis.memory.Count;
import org.ioasis.memory.Guard;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Outcome;
import org.ioasis.memory.Ranges;
import org.ioasis.memory.RegionDma;
import org.jspecify.annotations.Nullable;

/**
 * An endpoint's access to memory: every address is an IOVA and goes through the endpoint's domain.
 * Belongs to the thread that owns its guard. Lock-free; an access that is refused is reported when
 * the section ends, because the fault queue has a lock.
 */
class EndpointDma extends RegionDma {
    private static final int LG2_4_GIB = 32;

    // A translation to above 4 GiB, in the upper half of what a section counts. What is counted is
    // added without a branch: below or above is nothing that a processor could predict.
    private static final long ONE_ABOVE = 1L << LG2_4_GIB;

    private final Iommu iommu;
    private final Attachment attachment;
    private final Extent extent;
    private final Supplier<String> explanation = this::explain;
    private final Supplier<Fault.@Nullable Table> table = this::faultTable;
    private final Count translations = new Count();
    private final Count translatedBytes = new Count();
    private final Count translationsAbove4GiB = new Count();
    private final Count walked = new Count();
    private final Count identity = new Count();
    private final Count identityBytes = new Count();
    private final Count bypassed = new Count();
    private final Count bypassedAfterAttach = new Count();
    private final Count faults = new Count();

    // A count has one writer: this one the loop thread, which takes leases back.
    private final Count expiredLeases = new Count();

    // What addresses become in this section: chosen when it begins, and that to its end, since an
    // endpoint that is moved is answered for only after it. The kind that is mapped is kept beside
    // it once more, by its own type: it is the common one, and its access should be no call that
    // has
    // to ask which kind it is.
    private Translation translation = Blocked.BLOCKED;
    private @Nullable MappingStore store;

    // The domain of the section, if it is in one. A lease is known under it.
    private @Nullable Domain domain;

    // The device works by its driver's order; and it did so when the IOMMU was reset, and was not
    // reset itself since: then its addresses mean nothing here. The first is the loop thread's.
    private boolean isStarted;
    private volatile boolean isStale;

    // The device asks for what is not there, and nobody needs to be told that it was not.
    private boolean asksForPages;

    // The section has been in an identity region of the endpoint, which no UNMAP takes away.
    private boolean inOwnRegion;

    // Of a section that a flight recording has a look at; used again, and made for the first.
    private @Nullable SectionEvent sample;
    private boolean isSampled;
    private int untilSample;

    // Translations of this section, and in the upper half those above 4 GiB; added when it ends.
    private long translatedNow;

    // The first fault of the section; later ones of the same section are its consequences and only
    // counted.
    private boolean hasFaulted;
    private Kind faultKind = Kind.BLOCKED;
    private long faultAddress;
    private Access faultAccess = Access.READ;

    // Where its walk has ended, if the domain's table is walked.
    private TwoStageFault faultStage = TwoStageFault.NONE;
    private WalkFault faultOfWalk = WalkFault.NONE;
    private int faultLevel;
    private long faultOfStage;

    EndpointDma(Iommu iommu, Attachment attachment, GuestMemory memory, Guard guard) {
        super(memory, guard);
        this.iommu = iommu;
        this.attachment = attachment;
        extent = new Extent(attachment.pasid());
    }

    /** Before its first section. */
    void asksForPages() {
        asksForPages = true;
    }

    EndpointCounts counts() {
        return new EndpointCounts(
                translations.read(),
                translatedBytes.read(),
                translationsAbove4GiB.read(),
                walked.read(),
                identity.read(),
                identityBytes.read(),
                bypassed.read(),
                bypassedAfterAttach.read(),
                faults.read() + expiredLeases.read());
    }

    // The device behind
    // ---------------------------------------------------------------------------------------------

    @Override
    public void deviceStarted() {
        isStarted = true;
    }

    @Override
    public void deviceReset() {
        isStarted = false;
        iommu.pageRequests().deviceReset(attachment.endpoint().id());
        if (isStale) {
            isStale = false;
            attachment.deviceReset();
            iommu.unattached().tell();
        }
    }

    /** Loop thread. */
    void iommuWasReset() {
        if (isStarted) {
            isStale = true;
        }
    }

    /** As a saved state tells. Loop thread. */
    void noteStale() {
        isStale = true;
    }

    /** Any thread. */
    boolean isStale() {
        return isStale;
    }

    // Accesses
    // -------------------------------------------------------------------------------------------------------

    @Override
    public void enter() {
        if (SectionEvent.isRecorded()) {
            beginSample();
        }
        super.enter();
        Domain attached = attachment.domainAcquire();
        domain = attached;
        Translation chosen =
                attached == null
                        ? iommu.unattached().translation(attachment, isStale)
                        : attached.translation();
        translation = chosen;
        store = chosen instanceof MappingStore mapped ? mapped : null;
        inOwnRegion = false;
        extent.forget();
    }

    /** One section in so many is timed: a clock twice would be felt in each. */
    private void beginSample() {
        if (--untilSample >= 0) {
            return;
        }
        untilSample = SectionEvent.INTERVAL - 1;
        SectionEvent next = sample;
        if (next == null) {
            next = new SectionEvent();
            sample = next;
        }
        isSampled = true;
        next.begin();
    }

    private void endSample(SectionEvent sampled, @Nullable Domain attached) {
        isSampled = false;
        sampled.end();
        sampled.record(
                iommu.options().name(),
                attachment,
                attached == null ? "" : attached.name(),
                (int) (translatedNow & (ONE_ABOVE - 1)),
                hasFaulted);
    }

    @Override
    public Outcome resolve(long address, long length, Access access) {
        MappingStore mappings = store;
        if (mappings == null) {
            return resolveOtherwise(address, length, access);
        }
        long output = mappings.translate(address, length, access.bit());
        if (output != Translation.UNCLEAR) {
            count(output);
            return locate(output, length, access);
        }
        return lookUp(mappings, address, length, access);
    }

    @Override
    public Outcome peek(long address, long length) {
        Extent found = extent;
        if (!translation.lookup(address, found)) {
            ReservedRegion own = attachment.endpoint().properties().reserved().identityAt(address);
            if (own == null || store == null) {
                return Outcome.FAULT;
            }
            return Ranges.within(address, own.last(), length) == length
                    ? locate(address, length, Access.READ)
                    : Outcome.REFUSED;
        }
        if (!found.permits(Access.READ)) {
            return Outcome.FAULT;
        }
        // In pieces, it is for an access to find out.
        return found.reaches(address, length)
                ? locate(address + found.delta(), length, Access.READ)
                : Outcome.REFUSED;
    }

    @Override
    public boolean resolveWhole(long address, long length) {
        MappingStore mappings = store;
        long output =
                mappings == null
                        ? Translation.UNCLEAR
                        : mappings.translate(address, length, Access.READ.bit());
        if (output == Translation.UNCLEAR) {
            return super.resolveWhole(address, length);
        }
        // One look is both: nothing was said or counted before it is whole.
        if (locate(output, length, Access.READ) != Outcome.OK || reach() != length) {
            return false;
        }
        count(output);
        return true;
    }

    private Outcome lookUp(MappingStore mappings, long address, long length, Access access) {
        Extent found = extent;
        return mappings.lookup(address, found)
                ? resolveMapped(mappings, found, address, length, access)
                : resolveUnmapped(address, length, access);
    }

    /** Every kind but the one that is mapped. */
    private Outcome resolveOtherwise(long address, long length, Access access) {
        Extent found = extent;
        Outcome outcome = translation.access(address, length, access.bit(), found);
        if (outcome != Outcome.OK) {
            return outcome == Outcome.FAULT ? fault(address, access) : outcome;
        }
        long output = address + found.delta();
        switch (translation.kind()) {
            case BYPASS -> countBypassed();
            case IDENTITY -> identity.increment();
            case WALKED -> {
                walked.increment();
                count(output);
            }
            case MAPPED, BLOCKED -> count(output);
        }
        return locate(output, Ranges.within(address, found.last(), length), access);
    }

    private void countBypassed() {
        bypassed.increment();
        if (attachment.wasAttached()) {
            bypassedAfterAttach.increment();
        }
    }

    @Override
    public Outcome proceed(long address, long length, Access access) {
        MappingStore mappings = store;
        Extent found = extent;
        return mappings != null && mappings.lookupNext(address, found)
                ? resolveMapped(mappings, found, address, length, access)
                : resolve(address, length, access);
    }

    private Outcome resolveMapped(
            MappingStore mappings, Extent found, long address, long length, Access access) {
        if (!found.permits(access)) {
            return fault(address, access);
        }
        long output = address + found.delta();
        count(output);
        if (found.reaches(address, length)) {
            return locate(output, length, access);
        }
        mappings.extend(address, length, found);
        return locate(output, Ranges.within(address, found.last(), length), access);
    }

    private void count(long output) {
        translatedNow += 1 + (-(output >>> LG2_4_GIB) & ONE_ABOVE);
    }

    /**
     * An identity region of the endpoint's own, or nothing. No mapping can be there: MAP refuses
     * what overlaps a region of any endpoint of the domain, so looking here second costs the usual
     * access nothing.
     */
    private Outcome resolveUnmapped(long address, long length, Access access) {
        ReservedRegion own = attachment.endpoint().properties().reserved().identityAt(address);
        if (own == null) {
            return fault(address, access);
        }
        inOwnRegion = true;
        identity.increment();
        return locate(address, Ranges.within(address, own.last(), length), access);
    }

    private Outcome fault(long address, Access access) {
        faults.increment();
        if (!hasFaulted) {
            hasFaulted = true;
            faultKind = translation.kind();
            faultAddress = address;
            faultAccess = access;
            Workspace walked = faultKind == Kind.WALKED ? extent.workspace() : null;
            faultStage = walked == null ? TwoStageFault.NONE : walked.stage();
            if (walked != null) {
                faultOfWalk = walked.fault();
                faultLevel = walked.level();
                faultOfStage = walked.address();
            }
        }
        return Outcome.FAULT;
    }

    @Override
    public void leave() {
        super.leave();
        SectionEvent sampled = sample;
        if (sampled != null && isSampled) {
            endSample(sampled, domain);
        }
        domain = null;
        store = null;
        translation = Blocked.BLOCKED;
        if (translatedNow != 0) {
            translations.add(translatedNow & (ONE_ABOVE - 1));
            translationsAbove4GiB.add(translatedNow >>> LG2_4_GIB);
            translatedNow = 0;
        }
        if (hasFaulted) {
            hasFaulted = false;
            if (asksForPages && faultKind == Kind.WALKED) {
                return;
            }
            report(faultKind, faultAddress, faultAccess, explanation, table);
        }
    }

    private void report(
            Kind kind,
            long address,
            Access access,
            Supplier<String> why,
            Supplier<Fault.@Nullable Table> where) {
        FaultReason reason = reason(kind);
        int endpoint = attachment.endpoint().id();
        iommu.faults()
                .report(reason, kind, endpoint, attachment.pasid(), address, access, why, where);
    }

    private static FaultReason reason(Kind kind) {
        return kind == Kind.BLOCKED ? FaultReason.DOMAIN : FaultReason.MAPPING;
    }

    /** What a fault is called in this section. */
    final FaultReason reasonOfSection() {
        return reason(translation.kind());
    }

    /** The number of this section's domain, or {@link AccessObserver#NO_DOMAIN}. */
    final long domainOfSection() {
        Domain attached = domain;
        return attached == null ? AccessObserver.NO_DOMAIN : Integer.toUnsignedLong(attached.id());
    }

    private Fault.@Nullable Table faultTable() {
        return faultStage == TwoStageFault.NONE
                ? null
                : new Fault.Table(faultStage, faultOfWalk, faultLevel, faultOfStage);
    }

    private String explain() {
        // A section of its own: looks at mappings, and the one that faulted has ended.
        super.enter();
        try {
            return explain(faultAddress, faultAccess);
        } finally {
            super.leave();
        }
    }

    /** Why an access is refused, for people. */
    private String explain(long address, Access access) {
        Domain attached = attachment.domainAcquire();
        if (attachment.endpoint().isLeaving()) {
            return "the endpoint has been unplugged";
        }
        if (attached != null) {
            String late =
                    attached.kind() == Kind.MAPPED
                            ? iommu.unmaps().lateness(attached, address)
                            : "";
            return attached.translation().explain(attached.name(), address, access) + late;
        }
        if (isStale) {
            return "the IOMMU has been reset and the device behind the endpoint has not";
        }
        String left = attachment.leftDomain();
        String now = left == null ? "no domain" : "no domain any more, it was to " + left + ";";
        return attachment.isDefault()
                ? "the endpoint is attached to "
                        + now
                        + (left == null ? " and" : "")
                        + " bypass is 0"
                : "its PASID %d is attached to %s".formatted(attachment.pasid(), now);
    }

    @Override
    protected void copied(long length) {
        if (inOwnRegion || translation.kind() == Kind.IDENTITY) {
            identityBytes.add(length);
        } else if (domain != null) {
            translatedBytes.add(length);
        }
    }

    @Override
    protected Outcome beyondTheEnd(long address, Access access) {
        // What lies past 2^64-1 is mapped nowhere; the last address that exists stands for it.
        return fault(-1L, access);
    }

    @Override
    protected Object leaseSpace() {
        return domain == null || inOwnRegion ? attachment : domain;
    }

    @Override
    protected Object leaseOwner() {
        return attachment;
    }

    @Override
    protected void leaseExpired(long first, long last, Access access) {
        expiredLeases.increment();
        report(
                Kind.MAPPED,
                first,
                access,
                () ->
                        "the endpoint held 0x%x..0x%x past the deadline of its lease"
                                .formatted(first, last),
                () -> null);
    }
}
