// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.jspecify.annotations.Nullable;

/**
 * An address space of an endpoint: what it puts on the bus with one PASID, or with none, and the
 * domain that this goes through. Counters, leases and faults belong to an attachment. Attached and
 * detached by the loop thread; translating threads read the domain pointer inside a guarded
 * section.
 */
public final class Attachment {
    /** What an endpoint does without saying a PASID. */
    public static final int NO_PASID = -1;

    private static final VarHandle DOMAIN;

    static {
        try {
            DOMAIN = MethodHandles.lookup().findVarHandle(Attachment.class, "domain", Domain.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final Endpoint endpoint;
    private final int pasid;
    private final List<EndpointDma> accesses = new CopyOnWriteArrayList<>();
    private @Nullable Domain domain;
    private @Nullable DomainListener listener;
    private volatile boolean wasAttached;

    // For explanations: the domain it was last detached from, since the last reset.
    private volatile @Nullable String leftDomain;

    /** A listener still owes an answer for this attachment's move. */
    private boolean isMoving;

    private boolean wasSavedStale;
    private boolean isDrivers;

    // What the listener was told last of who is attached to nothing.
    private @Nullable Kind toldKind;

    Attachment(Endpoint endpoint, int pasid) {
        this.endpoint = endpoint;
        this.pasid = pasid;
    }

    public Endpoint endpoint() {
        return endpoint;
    }

    /** 20 bits, or {@link #NO_PASID}. */
    public int pasid() {
        return pasid;
    }

    boolean isDefault() {
        return pasid == NO_PASID;
    }

    /** What its accesses go through, as a translating thread may see it. */
    @Nullable Domain domainAcquire() {
        Domain own = (Domain) DOMAIN.getAcquire(this);
        return own != null || pasid == NO_PASID ? own : endpoint.attachment().ofEachPasid();
    }

    /** The domain if each PASID of the endpoint goes through it, too. */
    private @Nullable Domain ofEachPasid() {
        Domain shared = (Domain) DOMAIN.getAcquire(this);
        return shared != null && shared.hasContexts() ? shared : null;
    }

    /**
     * Where it is attached itself: a PASID may go by the {@linkplain Domain#hasContexts contexts}
     * of its endpoint and be attached to nothing. Loop thread.
     */
    public @Nullable Domain domain() {
        return domain;
    }

    void domainRelease(@Nullable Domain next) {
        Domain before = domain;
        if (before != null) {
            leftDomain = before.name();
        }
        DOMAIN.setRelease(this, next);
        if (next != null) {
            wasAttached = true;
        }
    }

    /** What the domain is called that it was in before, or null. Any thread. */
    @Nullable String leftDomain() {
        return leftDomain;
    }

    void forget() {
        DOMAIN.setRelease(this, (Domain) null);
        wasAttached = false;
        leftDomain = null;
        isMoving = false;
    }

    void noteAttached() {
        wasAttached = true;
    }

    /** True if it has been attached since the last reset. Any thread. */
    public boolean wasAttached() {
        return wasAttached;
    }

    void moving(boolean value) {
        isMoving = value;
    }

    /** True while a request to it must wait for a listener's answer. Loop thread. */
    public boolean isBusy() {
        Domain attached = domain;
        return isMoving || (attached != null && attached.isBusy());
    }

    void add(EndpointDma access) {
        accesses.add(access);
        if (wasSavedStale) {
            access.noteStale();
        }
    }

    /** It is there because a driver has named its PASID, and no longer than that. */
    void noteDrivers() {
        isDrivers = true;
    }

    /** True unless only a driver has named it, and has no use for it now. */
    boolean isUsed() {
        return !isDrivers || !accesses.isEmpty() || listener != null || domain != null || isMoving;
    }

    /** As a saved state tells; for ways to memory that are made later, too. */
    void noteStale() {
        wasSavedStale = true;
        accesses.forEach(EndpointDma::noteStale);
    }

    /** The device has been reset. */
    void deviceReset() {
        wasSavedStale = false;
    }

    /** The IOMMU has been reset, and knows nothing of what the device behind this does. */
    void iommuWasReset() {
        accesses.forEach(EndpointDma::iommuWasReset);
    }

    /** True if a device behind it runs on since before the IOMMU's reset. Loop thread. */
    boolean isStale() {
        return accesses.isEmpty()
                ? wasSavedStale
                : accesses.stream().anyMatch(EndpointDma::isStale);
    }

    @Nullable DomainListener listener() {
        return listener;
    }

    void listener(@Nullable DomainListener next) {
        listener = next;
    }

    /** True if its listener does not know what is left to it while it is attached to nothing. */
    boolean isToBeTold() {
        return listener != null && domain == null && !isMoving && toldKind != kind();
    }

    /** True if its listener may go by another rule than the one of now. */
    boolean isUnknown() {
        return listener != null && (isMoving || isToBeTold());
    }

    /**
     * Begins a batch that says what is left to who is attached to nothing. Null if nobody hears.
     */
    @Nullable DomainListener beginUnattached() {
        DomainListener told = listener;
        if (told != null) {
            Kind kind = endpoint.iommu().unattached().translation(this, isStale()).kind();
            toldKind = kind;
            told.begin();
            told.translation(kind);
        }
        return told;
    }

    /** What has happened to its accesses since it was added; any thread. */
    public EndpointCounts counts() {
        EndpointCounts sum = EndpointCounts.ZERO;
        for (EndpointDma access : accesses) {
            sum = sum.plus(access.counts());
        }
        return sum;
    }

    /** What it goes through: its domain's kind, or what is left to who has none. Loop thread. */
    public Kind kind() {
        Domain attached = domain;
        return attached == null
                ? endpoint.iommu().unattached().translation(this, isStale()).kind()
                : attached.kind();
    }
}
