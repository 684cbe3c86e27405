// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static org.ioasis.spec.VirtioIommuTables.*;

import org.ioasis.iommu.Attachment;
import org.ioasis.iommu.HandedTable;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.Refusal;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.TableDomain;
import org.ioasis.iommu.fault.PageRequest.Response;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.memory.GuestMemory;
import org.ioasis.virtio.iommu.DomainTable.Invalidation;

/**
 * Carries out the requests that a {@link Profile} adds: what is about the wire is checked here, and
 * in this order: that the feature is negotiated, the request by itself, then what it names.
 * Device's thread.
 */
final class TableRequests {
    /** Translations that are kept: a table that is walked costs four reads of guest memory. */
    private static final int CACHED = 4096;

    /** Answer of {@link #pasid}: none that there is. */
    private static final int IMPOSSIBLE = -2;

    private static final int PAGE_LG2 = 12;
    private static final int SHORT = 0xffff;
    private static final int TYPES = TYPE_IOTLB | TYPE_DEVICE_TLB | TYPE_PASID_CACHE;
    private static final int FLAGS = FLAG_PASID | FLAG_ARCHID | FLAG_LEAF;

    private final Iommu iommu;
    private final DomainTable domains;
    private final Profile profile;
    private final Iotlb cached = new Iotlb(CACHED);

    // Made once, so that a request makes nothing.
    private final Invalidation ofAll = this::invalidateAll;
    private final Invalidation ofSpace = this::invalidateSpace;
    private final Invalidation ofRange = this::invalidateRange;
    private long negotiated;

    /**
     * @param memory where the driver's tables lie
     */
    TableRequests(Iommu iommu, DomainTable domains, GuestMemory memory, Profile profile) {
        this.iommu = iommu;
        this.domains = domains;
        this.profile = profile;
        domains.handTables((id, table) -> iommu.tableDomain(id, table, memory, cached));
    }

    Profile profile() {
        return profile;
    }

    /** What is kept of walks. Any thread. */
    Iotlb cached() {
        return cached;
    }

    /** A driver has started the device. */
    void start(long features) {
        negotiated = features;
        iommu.pageRequests().accept((features & F_PAGE_REQUEST) != 0);
    }

    /** The driver is gone. */
    void forget() {
        iommu.pageRequests().accept(false);
    }

    /** True if a driver of tables has started the device. */
    boolean isNegotiated() {
        return (negotiated & F_ATTACH_TABLE) != 0;
    }

    boolean hasPageRequests() {
        return (negotiated & F_PAGE_REQUEST) != 0;
    }

    // ATTACH_TABLE
    // ----------------------------------------------------------------------------------------------------

    void attach(RequestSlot slot) {
        TableForm form = TableForm.of(profile, slot);
        if (!isNegotiated()) {
            slot.refused(Refusal.NO_PROFILE);
        } else if (!TableForm.hasZeroes(profile, slot)) {
            slot.refused(Refusal.RESERVED_BITS);
        } else if (unknownFlags(slot) != 0) {
            slot.refused(Refusal.UNKNOWN_FLAGS);
        } else if (form == null) {
            slot.refused(Refusal.UNKNOWN_FORMAT);
        } else {
            attach(slot, form);
        }
    }

    private void attach(RequestSlot slot, TableForm form) {
        HandedTable table = form.table(slot);
        int pasid = pasid(form.pasid(slot), form.hasPasid(slot));
        if (!form.hasOwnZeroes(slot)) {
            slot.refused(Refusal.RESERVED_BITS);
        } else if (!table.isPossible()) {
            slot.refused(Refusal.NO_TABLE);
        } else if (pasid == IMPOSSIBLE) {
            slot.refused(Refusal.NO_PASID);
        } else {
            domains.attachTable(
                    slot.le32(ATTACH_ENDPOINT), pasid, slot.le32(ATTACH_DOMAIN), table, slot);
        }
    }

    /** Flags of the request that are none. */
    static int unknownFlags(RequestSlot slot) {
        return switch (slot.type) {
            case ATTACH_TABLE -> TableForm.unknownFlags(slot);
            case INVALIDATE -> slot.le32(INVALIDATE_FLAGS) & SHORT & ~FLAGS;
            case PAGE_RESPONSE -> slot.le32(RESPONSE_FLAGS) & ~RESPONSE_PASID_VALID;
            case ATTACH, DETACH, MAP, UNMAP, PROBE, UNKNOWN -> 0;
        };
    }

    /** The PASID as the engine knows it, which has -1 for none. */
    private static int pasid(int pasid, boolean isOne) {
        if (!isOne) {
            return Attachment.NO_PASID;
        }
        return pasid >>> PASID_BITS == 0 ? pasid : IMPOSSIBLE;
    }

    // INVALIDATE
    // ------------------------------------------------------------------------------------------------------

    void invalidate(RequestSlot slot) {
        int what = slot.le32(INVALIDATE_GRANULARITY);
        int flags = slot.le32(INVALIDATE_FLAGS);
        int type = what >>> Short.SIZE;
        int granuleLg2 = slot.u8(INVALIDATE_GRANULE);
        boolean isReserved =
                flags >>> Short.SIZE != 0
                        || slot.le32(INVALIDATE_RESERVED2) != 0
                        || slot.le32(INVALIDATE_GRANULE) >>> Byte.SIZE != 0
                        || !slot.isZero(INVALIDATE_GRANULE + Integer.BYTES, INVALIDATE_TAIL);
        boolean isSpace =
                pasid(slot.le32(INVALIDATE_PASID), (flags & FLAG_PASID) != 0) != IMPOSSIBLE
                        && (!hasSpaces(flags) || slot.le64(INVALIDATE_ARCHID) >>> ASID_BITS == 0);
        if (!isNegotiated()) {
            slot.refused(Refusal.NO_PROFILE);
        } else if (isReserved) {
            slot.refused(Refusal.RESERVED_BITS);
        } else if (unknownFlags(slot) != 0) {
            slot.refused(Refusal.UNKNOWN_FLAGS);
        } else if (type == 0 || (type & ~TYPES) != 0 || !isSpace) {
            slot.refused(Refusal.NO_SCOPE);
        } else {
            switch (what & SHORT) {
                case GRANULARITY_DOMAIN ->
                        domains.invalidate(slot.le32(INVALIDATE_DOMAIN), slot, ofAll);
                case GRANULARITY_PASID -> {
                    if ((flags & (FLAG_PASID | FLAG_ARCHID)) == 0) {
                        slot.refused(Refusal.NO_SCOPE);
                    } else {
                        domains.invalidate(slot.le32(INVALIDATE_DOMAIN), slot, ofSpace);
                    }
                }
                case GRANULARITY_VA -> invalidateRange(slot, type, granuleLg2);
                default -> slot.refused(Refusal.NO_SCOPE);
            }
        }
    }

    private void invalidateRange(RequestSlot slot, int type, int granuleLg2) {
        long first = slot.le64(INVALIDATE_VIRT_START);
        long pages = slot.le64(INVALIDATE_NR_PAGES);
        boolean isSize = granuleLg2 >= PAGE_LG2 && granuleLg2 < Long.SIZE;
        if (pages == 0
                || (type & TYPE_PASID_CACHE) != 0
                || !isSize
                || (first & ((1L << granuleLg2) - 1)) != 0) {
            slot.refused(Refusal.NO_SCOPE);
            return;
        }
        // Pages behind the first: so many there are up to the last address, and not one more.
        long behind = (-1L - first) >>> granuleLg2;
        if (Long.compareUnsigned(pages - 1, behind) > 0) {
            slot.refused(Refusal.SCOPE_WRAPS);
            return;
        }
        domains.invalidate(slot.le32(INVALIDATE_DOMAIN), slot, ofRange);
    }

    /** Whether an INVALIDATE names one of several spaces that a domain can have here. */
    private boolean hasSpaces(int flags) {
        return profile == Profile.TABLES_2021 && (flags & FLAG_ARCHID) != 0;
    }

    private void invalidateAll(TableDomain domain, RequestSlot slot) {
        renewContexts(domain, slot);
        domain.invalidate(slot);
    }

    /** By a PASID alone nobody knows which spaces it had before its context was changed. */
    private void invalidateSpace(TableDomain domain, RequestSlot slot) {
        renewContexts(domain, slot);
        if (hasSpaces(slot.le32(INVALIDATE_FLAGS))) {
            domain.invalidateSpace((int) slot.le64(INVALIDATE_ARCHID), slot);
        } else {
            domain.invalidate(slot);
        }
    }

    private void invalidateRange(TableDomain domain, RequestSlot slot) {
        int granuleLg2 = slot.u8(INVALIDATE_GRANULE);
        long first = slot.le64(INVALIDATE_VIRT_START);
        long size = slot.le64(INVALIDATE_NR_PAGES) << granuleLg2; // 0: 2^64
        long last = first + size - 1;
        if (hasSpaces(slot.le32(INVALIDATE_FLAGS))) {
            domain.invalidate((int) slot.le64(INVALIDATE_ARCHID), first, last, slot);
        } else {
            domain.invalidate(first, last, slot);
        }
    }

    private static void renewContexts(TableDomain domain, RequestSlot slot) {
        int types = slot.le32(INVALIDATE_GRANULARITY) >>> Short.SIZE;
        if ((types & TYPE_PASID_CACHE) != 0) {
            domain.renewContexts();
        }
    }

    // PAGE_RESPONSE
    // ---------------------------------------------------------------------------------------------------

    void respond(RequestSlot slot) {
        int code = slot.le32(RESPONSE_CODE) & SHORT;
        int pasid =
                pasid(
                        slot.le32(RESPONSE_PASID),
                        (slot.le32(RESPONSE_FLAGS) & RESPONSE_PASID_VALID) != 0);
        if (!hasPageRequests()) {
            slot.refused(Refusal.NO_PROFILE);
        } else if (unknownFlags(slot) != 0) {
            slot.refused(Refusal.UNKNOWN_FLAGS);
        } else if (code > CODE_FAILURE) {
            slot.refused(Refusal.NO_RESPONSE);
        } else {
            answer(slot, pasid, response(code));
        }
    }

    private static Response response(int code) {
        return switch (code) {
            case CODE_SUCCESS -> Response.SUCCESS;
            case CODE_INVALID -> Response.INVALID;
            default -> Response.FAILURE;
        };
    }

    /** The domain of the draft says nothing that the endpoint does not. */
    private void answer(RequestSlot slot, int pasid, Response response) {
        int endpoint = slot.le32(RESPONSE_ENDPOINT);
        if (iommu.endpoint(endpoint) == null) {
            slot.refused(Refusal.NO_ENDPOINT);
        } else if (iommu.pageRequests()
                .answer(endpoint, pasid, slot.le32(RESPONSE_GROUP), response)) {
            slot.complete(Status.OK);
        } else {
            slot.refused(Refusal.NO_GROUP);
        }
    }
}
