// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;
import static org.ioasis.spec.VirtioIommu.*;

import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.Refusal;
import org.ioasis.iommu.Status;
import org.jspecify.annotations.Nullable;

/**
 * Carries out one request of the driver: what is about the wire is checked here, the rest is the
 * {@link DomainTable}'s and the engine's. Device's thread.
 */
final class RequestExecution {
    private final Iommu iommu;
    private final DomainTable domains;
    private final long offered;
    private final Injections injections;
    private final @Nullable TableRequests tables;
    private @Nullable KnownAnswers before;
    private long negotiated;
    private long unknownEndpoint = -1;

    /**
     * @param tables null: 1.4 and nothing else
     */
    RequestExecution(
            Iommu iommu,
            DomainTable domains,
            long offered,
            Injections injections,
            @Nullable TableRequests tables) {
        this.iommu = iommu;
        this.domains = domains;
        this.offered = offered;
        this.injections = injections;
        this.tables = tables;
    }

    /** True if requests of a profile are known. */
    boolean hasTables() {
        return tables != null;
    }

    /** What the device is besides 1.4, or null. */
    @Nullable Profile profile() {
        return tables == null ? null : tables.profile();
    }

    /** What chains were answered that may be taken again; null: none. */
    void known(@Nullable KnownAnswers answers) {
        before = answers;
    }

    /** A driver has started the device. */
    void start(long features) {
        negotiated = features;
    }

    /** The driver is gone. */
    void forget() {
        unknownEndpoint = -1;
    }

    /** The endpoint that the driver named last and that is not there, or -1. */
    long unknownEndpoint() {
        return unknownEndpoint;
    }

    /** Takes over what was saved. */
    void restore(long unknown) {
        unknownEndpoint = unknown;
    }

    /** True unless a listener owes an answer to a request. */
    boolean isSettled() {
        return domains.isSettled();
    }

    void execute(RequestSlot slot) {
        // Unknown types (D-11, D-12), PROBE where it is not offered (D-48), and what is too short
        // to hold its type's fields or a tail (P-02).
        RequestType type = slot.type;
        if (type == RequestType.UNKNOWN
                || isProbeWithoutFeature(slot)
                || !slot.holds(type.readableSize)
                || slot.chain().writableLength() < TAIL_SIZE) {
            slot.giveBack();
            return;
        }
        // The chain may be another than was carried out: the driver can have changed it since.
        Status known = before == null ? null : before.of(slot);
        if (known != null) {
            slot.answerAgain(known);
        } else if (type == RequestType.MAP) {
            map(slot);
        } else if (type == RequestType.UNMAP) {
            unmap(slot);
        } else {
            executeOther(slot);
        }
    }

    /** What a driver asks for now and then, while it maps and unmaps all day. */
    private void executeOther(RequestSlot slot) {
        switch (slot.type) {
            case ATTACH -> attach(slot);
            case DETACH ->
                    domains.detach(slot.le32(DETACH_ENDPOINT), slot.le32(DETACH_DOMAIN), slot);
            case PROBE -> probe(slot);
            case ATTACH_TABLE -> {
                noteEndpoint(slot.le32(ATTACH_ENDPOINT));
                requireNonNull(tables).attach(slot);
            }
            case INVALIDATE -> requireNonNull(tables).invalidate(slot);
            case PAGE_RESPONSE -> requireNonNull(tables).respond(slot);
            case MAP, UNMAP, UNKNOWN -> throw new IllegalStateException("no other request");
        }
    }

    private boolean isProbeWithoutFeature(RequestSlot slot) {
        return slot.type == RequestType.PROBE && (offered & F_PROBE) == 0;
    }

    private void attach(RequestSlot slot) {
        if (slot.le32(ATTACH_RESERVED) != 0) {
            slot.refused(Refusal.RESERVED_BITS);
        } else if (unknownFlags(slot) != 0) {
            slot.refused(Refusal.UNKNOWN_FLAGS);
        } else {
            noteEndpoint(slot.le32(ATTACH_ENDPOINT));
            boolean bypass = (slot.le32(ATTACH_FLAGS) & ATTACH_F_BYPASS) != 0;
            domains.attach(slot.le32(ATTACH_ENDPOINT), slot.le32(ATTACH_DOMAIN), bypass, slot);
        }
    }

    private void noteEndpoint(int endpoint) {
        if (iommu.endpoint(endpoint) == null) {
            unknownEndpoint = Integer.toUnsignedLong(endpoint);
        }
    }

    private void map(RequestSlot slot) {
        if ((negotiated & F_MAP_UNMAP) == 0) {
            slot.refused(Refusal.NOT_NEGOTIATED);
        } else if (unknownMapFlags(slot) != 0) {
            slot.refused(Refusal.UNKNOWN_FLAGS);
        } else if (injections.failsMap()) {
            domains.refuseMap(
                    slot.le32(MAP_DOMAIN),
                    slot.le64(MAP_VIRT_START),
                    slot.le64(MAP_VIRT_END),
                    Refusal.PLANTED,
                    slot);
        } else {
            // The engine's flags have the wire's values.
            domains.map(
                    slot.le32(MAP_DOMAIN),
                    slot.le64(MAP_VIRT_START),
                    slot.le64(MAP_VIRT_END),
                    slot.le64(MAP_PHYS_START),
                    slot.le32(MAP_FLAGS),
                    slot);
        }
    }

    private void unmap(RequestSlot slot) {
        if ((negotiated & F_MAP_UNMAP) == 0) {
            slot.refused(Refusal.NOT_NEGOTIATED);
        } else if (slot.le32(UNMAP_RESERVED) != 0) {
            // D-39; and nothing is removed, which D-40 leaves open
            slot.refused(Refusal.RESERVED_BITS);
        } else {
            domains.unmap(
                    slot.le32(UNMAP_DOMAIN),
                    slot.le64(UNMAP_VIRT_START),
                    slot.le64(UNMAP_VIRT_END),
                    injections.ofUnmap(slot));
        }
    }

    /**
     * Flags of the request that the driver may not use: those of features it did not accept, too.
     */
    private int unknownFlags(RequestSlot slot) {
        return switch (slot.type) {
            // A flag like any unknown one unless its feature is negotiated (P-12).
            case ATTACH ->
                    slot.le32(ATTACH_FLAGS)
                            & ~((negotiated & F_BYPASS_CONFIG) != 0 ? ATTACH_F_BYPASS : 0);
            case MAP -> unknownMapFlags(slot);
            case ATTACH_TABLE, INVALIDATE, PAGE_RESPONSE -> TableRequests.unknownFlags(slot);
            case DETACH, UNMAP, PROBE, UNKNOWN -> 0;
        };
    }

    private int unknownMapFlags(RequestSlot slot) {
        int mmio = (negotiated & F_MMIO) != 0 ? MAP_F_MMIO : 0;
        return slot.le32(MAP_FLAGS) & ~(MAP_F_READ | MAP_F_WRITE | mmio);
    }

    private void probe(RequestSlot slot) {
        slot.endpoint = slot.le32(PROBE_ENDPOINT);
        noteEndpoint(slot.endpoint);
        Endpoint endpoint = iommu.endpoint(slot.endpoint);
        if (slot.chain().writableLength() < VirtioIommuDevice.PROPERTIES_SIZE + TAIL_SIZE) {
            slot.refused(Refusal.SMALL_BUFFER); // D-53
        } else if (endpoint == null) {
            slot.refused(Refusal.NO_ENDPOINT);
        } else {
            endpoint.noteProbe();
            slot.truncatedTo = injections.truncatesProbe();
            slot.complete(Status.OK);
        }
    }

    /** Why the answer is not OK, for people; empty if it is. While nothing has changed since. */
    String reason(RequestSlot slot, IommuRequest request) {
        if (slot.status == Status.OK) {
            return "";
        }
        Refusal refusal = slot.refusal;
        if (refusal != null) {
            return refusal.explain(question(slot, request));
        }
        if (slot.isAgain) {
            return "as it was answered before this process";
        }
        if (slot.status != null) {
            return "refused by a listener";
        }
        if (slot.chain().writableLength() < TAIL_SIZE) {
            return "no room for an answer";
        }
        if (isProbeWithoutFeature(slot)) {
            return "VIRTIO_IOMMU_F_PROBE is not offered";
        }
        return slot.typeOfHead(hasTables()) == RequestType.UNKNOWN
                ? "no type of request is known by this number"
                : "shorter than a request of its type";
    }

    private Refusal.Question question(RequestSlot slot, IommuRequest request) {
        int flags = unknownFlags(slot);
        return switch (request) {
            case IommuRequest.Attach(int endpoint, int domain, int _) ->
                    question(endpoint, domain, 0, 0, 0, flags);
            case IommuRequest.Detach(int endpoint, int domain) ->
                    question(endpoint, domain, 0, 0, 0, flags);
            case IommuRequest.Map(int domain, long first, long last, long output, int _) ->
                    question(0, domain, first, last, output, flags);
            case IommuRequest.Unmap(int domain, long first, long last) ->
                    question(0, domain, first, last, 0, flags);
            case IommuRequest.Probe(int endpoint) -> question(endpoint, 0, 0, 0, 0, flags);
            case IommuRequest.AttachTable(int endpoint, int _, int domain, int _, long _, int _) ->
                    question(endpoint, domain, 0, 0, 0, flags);
            case IommuRequest.Invalidate(int domain, int _, long first, long _) ->
                    question(0, domain, first, 0, 0, flags);
            case IommuRequest.PageResponse(int endpoint, int _, int _, int _) ->
                    question(endpoint, 0, 0, 0, 0, flags);
            case IommuRequest.Unknown _ -> question(0, 0, 0, 0, 0, flags);
        };
    }

    private Refusal.Question question(
            int endpoint, int domain, long first, long last, long output, int flags) {
        return new Refusal.Question(
                iommu, endpoint, domain, domains.domain(domain), first, last, output, flags);
    }
}
