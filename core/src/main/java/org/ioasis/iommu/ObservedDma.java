// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import org.ioasis.iommu.fault.FaultReason;
import org.ioasis.memory.Access;
import org.ioasis.memory.Guard;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Outcome;

/**
 * An endpoint's access to memory of which somebody else is told. A class of its own, so that the
 * usual one has no branch for it: the JVM knows that it is not loaded where nobody observes.
 * Belongs to the thread that owns its guard.
 */
final class ObservedDma extends EndpointDma {
    private final AccessObserver observer;
    private final int endpoint;
    private final int pasid;

    // To go on may become a look of its own, which is the same access.
    private boolean isGoingOn;

    ObservedDma(
            Iommu iommu,
            Attachment attachment,
            GuestMemory memory,
            Guard guard,
            AccessObserver observer) {
        super(iommu, attachment, memory, guard);
        this.observer = observer;
        endpoint = attachment.endpoint().id();
        pasid = attachment.pasid();
    }

    @Override
    public void deviceStarted() {
        super.deviceStarted();
        observer.deviceStarted(endpoint, pasid);
    }

    @Override
    public void deviceReset() {
        super.deviceReset();
        observer.deviceReset(endpoint, pasid);
    }

    @Override
    public Outcome resolve(long address, long length, Access access) {
        Outcome outcome = super.resolve(address, length, access);
        return isGoingOn ? outcome : told(outcome, address, length, access);
    }

    @Override
    public Outcome proceed(long address, long length, Access access) {
        isGoingOn = true;
        Outcome outcome;
        try {
            outcome = super.proceed(address, length, access);
        } finally {
            isGoingOn = false;
        }
        return told(outcome, address, length, access);
    }

    @Override
    public boolean resolveWhole(long address, long length) {
        // Not as where nobody is told: there one look is both, and passes resolve by.
        return peek(address, length) == Outcome.OK
                && reach() == length
                && resolve(address, length, Access.READ) == Outcome.OK
                && reach() == length;
    }

    @Override
    protected Outcome beyondTheEnd(long address, Access access) {
        // One byte more than there is.
        return told(super.beyondTheEnd(address, access), -1L, 2, access);
    }

    /** What is absent or refused for what it is reaches nothing, and is no matter of the IOMMU. */
    private Outcome told(Outcome outcome, long address, long length, Access access) {
        if (outcome == Outcome.OK) {
            observer.accessed(
                    endpoint, pasid, domainOfSection(), address, reach(), access, located());
        } else if (outcome == Outcome.FAULT) {
            FaultReason reason = reasonOfSection();
            observer.refused(endpoint, pasid, domainOfSection(), address, length, access, reason);
        }
        return outcome;
    }
}
