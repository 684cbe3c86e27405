// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

/**
 * Access by guest-physical address, for a device that no IOMMU stands before: the IOMMU's own
 * queues. Belongs to the thread that owns its guard.
 */
public final class DirectDma extends RegionDma {
    private final GuestMemory memory;

    public DirectDma(GuestMemory memory, Guard guard) {
        super(memory, guard);
        this.memory = memory;
    }

    @Override
    public Outcome resolve(long address, long length, Access access) {
        return locate(address, length, access);
    }

    @Override
    protected Outcome beyondTheEnd(long address, Access access) {
        return Outcome.REFUSED;
    }

    @Override
    protected Object leaseSpace() {
        return memory;
    }

    @Override
    protected Object leaseOwner() {
        return this;
    }

    @Override
    protected void leaseExpired(long first, long last, Access access) {
        // No IOMMU, no fault: the borrower sees the closed segment.
    }
}
