// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * A device, or a part of one, that the IOMMU tells apart by a 32-bit id. It has one address space
 * and may have more, a PASID each. Loop thread, except where it says otherwise.
 */
public final class Endpoint {
    /** Most PASIDs of an endpoint at a time: each costs a look at every reset. */
    public static final int PASID_LIMIT = 1 << 12;

    private final Iommu iommu;
    private final int id;
    private final EndpointProperties properties;
    private final Attachment attachment = new Attachment(this, Attachment.NO_PASID);
    private final IdMap<Attachment> pasids = new IdMap<>();
    private boolean wasProbed;
    private volatile boolean isLeaving;
    private boolean isOut;
    private @Nullable Runnable whenGone;

    Endpoint(Iommu iommu, int id, EndpointProperties properties) {
        this.iommu = iommu;
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

    Iommu iommu() {
        return iommu;
    }

    // Address spaces
    // --------------------------------------------------------------------------------------------

    /** What it does without a PASID. Any thread. */
    public Attachment attachment() {
        return attachment;
    }

    /** What it does with {@code pasid}, if that was opened. */
    public @Nullable Attachment attachment(int pasid) {
        return pasids.get(pasid);
    }

    /**
     * A further address space, detached; null if {@link #PASID_LIMIT} is reached.
     * IllegalArgumentException if there is one already.
     */
    public @Nullable Attachment open(int pasid) {
        if (pasid < 0 || pasids.get(pasid) != null) {
            throw new IllegalArgumentException("PASID %d of endpoint 0x%x".formatted(pasid, id));
        }
        if (pasids.size() == PASID_LIMIT) {
            return null;
        }
        Attachment opened = new Attachment(this, pasid);
        pasids.put(pasid, opened);
        return opened;
    }

    /** Ends an address space of a PASID, which must be detached and not on its way. */
    public void close(Attachment opened) {
        if (pasids.get(opened.pasid()) != opened || opened.isBusy() || opened.domain() != null) {
            throw new IllegalStateException(
                    "PASID %d of endpoint 0x%x is attached or unknown"
                            .formatted(opened.pasid(), id));
        }
        pasids.remove(opened.pasid());
    }

    /** The same for a driver that names a PASID: what no driver needs any more makes room. */
    public @Nullable Attachment openForDriver(int pasid) {
        if (pasids.size() == PASID_LIMIT) {
            closeUnused();
        }
        Attachment opened = open(pasid);
        if (opened != null) {
            opened.noteDrivers();
        }
        return opened;
    }

    private void closeUnused() {
        List<Attachment> unused = new ArrayList<>();
        pasids.forEach(one -> {
            if (!one.isUsed()) {
                unused.add(one);
            }
        });
        unused.forEach(one -> pasids.remove(one.pasid()));
    }

    /** PASIDs that are open. */
    public int pasidCount() {
        return pasids.size();
    }

    void forEachAttachment(Consumer<Attachment> visitor) {
        visitor.accept(attachment);
        pasids.forEach(visitor);
    }

    /** Those that are attached or moving. */
    List<Attachment> inUse() {
        List<Attachment> used = new ArrayList<>();
        forEachAttachment(one -> {
            if (one.domain() != null || one.isBusy()) {
                used.add(one);
            }
        });
        return used;
    }

    // Coming and going
    // ------------------------------------------------------------------------------------------

    /** It is being unplugged, and {@code whenGone} will be asked for once. */
    void leave(Runnable task) {
        isLeaving = true;
        whenGone = task;
    }

    /** True once it is being unplugged, and for ever. Any thread. */
    boolean isLeaving() {
        return isLeaving;
    }

    /** It is being unplugged and out of every domain: only its accesses are waited for. */
    void noteOut() {
        isOut = true;
    }

    boolean isOut() {
        return isOut;
    }

    /** What is to run now that it has gone; null if that was asked before. */
    @Nullable Runnable left() {
        Runnable task = whenGone;
        whenGone = null;
        return task;
    }

    /** The IOMMU has been reset. */
    void forget() {
        wasProbed = false;
        forEachAttachment(one -> {
            one.forget();
            one.iommuWasReset();
        });
        closeUnused();
    }

    // What the driver has done with it
    // ----------------------------------------------------------------------------------

    /** It has been attached in the past that a saved state tells of. */
    public void noteAttached() {
        attachment.noteAttached();
    }

    /** It was {@linkplain #isStale stale} when a state was saved. */
    public void noteStale() {
        attachment.noteStale();
        iommu.unattached().tell();
    }

    /**
     * True if a device behind it runs on since before a reset of the IOMMU, by addresses that mean
     * nothing any more: until its own reset it reaches nothing but what it is attached to.
     */
    public boolean isStale() {
        return attachment.isStale();
    }

    /** The driver asks for its properties: it knows of the endpoint. */
    public void noteProbe() {
        wasProbed = true;
    }

    /** True if the driver has asked for its properties since the last reset. */
    public boolean wasProbed() {
        return wasProbed;
    }

    /** True if it has been attached since the last reset. Any thread. */
    public boolean wasAttached() {
        return attachment.wasAttached();
    }

    /** What has happened to its accesses without a PASID since it was added; any thread. */
    public EndpointCounts counts() {
        return attachment.counts();
    }

    /** True if it is attached to a domain now. */
    public boolean isAttached() {
        return attachment.domain() != null;
    }

    /** Its domain's id, {@code 0..2^32-1}, or -1 when it has none. */
    public long domainId() {
        Domain domain = attachment.domain();
        return domain == null ? -1 : Integer.toUnsignedLong(domain.id());
    }
}
