// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.jspecify.annotations.Nullable;

/**
 * A device, or a part of one, that the IOMMU tells apart by a 32-bit id. Attached and detached by
 * the loop thread; translating threads read the domain pointer inside a guarded section.
 */
public final class Endpoint {
    private static final VarHandle DOMAIN;

    static {
        try {
            DOMAIN = MethodHandles.lookup().findVarHandle(Endpoint.class, "domain", Domain.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final int id;
    private final EndpointProperties properties;
    private final List<EndpointDma> accesses = new CopyOnWriteArrayList<>();
    private @Nullable Domain domain;
    private @Nullable DomainListener listener;
    private volatile boolean wasAttached;
    private boolean wasProbed;
    private volatile boolean isLeaving;
    private @Nullable Runnable whenGone;

    // For explanations: the domain it was last detached from, since the last reset.
    private volatile long leftDomain = -1;

    /** A listener still owes an answer for this endpoint's move: its other requests wait. */
    boolean isBusy;

    Endpoint(int id, EndpointProperties properties) {
        this.id = id;
        this.properties = properties;
    }

    /** 32-bit unsigned. */
    public int id() {
        return id;
    }

    public EndpointProperties properties() {
        return properties;
    }

    /** Where the endpoint is attached, as a translating thread may see it. */
    @Nullable Domain domainAcquire() {
        return (Domain) DOMAIN.getAcquire(this);
    }

    void domainRelease(@Nullable Domain next) {
        Domain before = domain;
        if (before != null) {
            leftDomain = Integer.toUnsignedLong(before.id);
        }
        DOMAIN.setRelease(this, next);
        if (next != null) {
            wasAttached = true;
        }
    }

    /** The id of the domain that it was in before, or -1. Any thread. */
    long leftDomain() {
        return leftDomain;
    }

    /** It is being unplugged, and {@code whenGone} will be asked for once. Loop thread. */
    void leave(Runnable whenGone) {
        isLeaving = true;
        this.whenGone = whenGone;
    }

    /** True once it is being unplugged, and for ever. Any thread. */
    boolean isLeaving() {
        return isLeaving;
    }

    /** What is to run now that it has gone; null if that was asked before. Loop thread. */
    @Nullable Runnable left() {
        Runnable task = whenGone;
        whenGone = null;
        return task;
    }

    void forgetAttachments() {
        DOMAIN.setRelease(this, (Domain) null);
        wasAttached = false;
        wasProbed = false;
        leftDomain = -1;
    }

    /** It has been attached in the past that a saved state tells of. Loop thread. */
    public void noteAttached() {
        wasAttached = true;
    }

    /** The driver asks for its properties: it knows of the endpoint. Loop thread. */
    public void noteProbe() {
        wasProbed = true;
    }

    /** True if the driver has asked for its properties since the last reset. Loop thread. */
    public boolean wasProbed() {
        return wasProbed;
    }

    /** True if it has been attached since the last reset. Any thread. */
    public boolean wasAttached() {
        return wasAttached;
    }

    void add(EndpointDma access) {
        accesses.add(access);
    }

    @Nullable DomainListener listener() {
        return listener;
    }

    void listener(@Nullable DomainListener next) {
        listener = next;
    }

    /** What has happened to its accesses since it was added; any thread. */
    public EndpointCounts counts() {
        EndpointCounts sum = EndpointCounts.ZERO;
        for (EndpointDma access : accesses) {
            sum = sum.plus(access.counts());
        }
        return sum;
    }

    boolean isIn(int domainId) {
        return domain != null && domain.id == domainId;
    }

    /** True if it is attached to a domain now. Loop thread. */
    public boolean isAttached() {
        return domain != null;
    }

    /** Its domain's id, {@code 0..2^32-1}, or -1 when it has none. Loop thread. */
    public long domainId() {
        return domain == null ? -1 : Integer.toUnsignedLong(domain.id);
    }
}
