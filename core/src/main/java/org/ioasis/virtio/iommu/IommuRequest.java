// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static org.ioasis.spec.VirtioIommu.*;

import java.util.StringJoiner;
import org.ioasis.spec.VirtioIommuTables;

/**
 * A decoded request of the driver (virtio 1.4, 5.13.6), for who watches. Immutable; ids are 32-bit
 * unsigned, addresses 64-bit unsigned, ranges inclusive. The text is one line for people.
 */
public sealed interface IommuRequest {
    RequestType type();

    /** ATTACH. */
    record Attach(int endpoint, int domain, int flags) implements IommuRequest {
        @Override
        public RequestType type() {
            return RequestType.ATTACH;
        }

        @Override
        public String toString() {
            return "ATTACH endpoint=0x%x domain=0x%x%s"
                    .formatted(
                            endpoint,
                            domain,
                            flags == 0
                                    ? ""
                                    : flags == ATTACH_F_BYPASS
                                            ? " BYPASS"
                                            : " flags=0x%x".formatted(flags));
        }
    }

    /** DETACH. */
    record Detach(int endpoint, int domain) implements IommuRequest {
        @Override
        public RequestType type() {
            return RequestType.DETACH;
        }

        @Override
        public String toString() {
            return "DETACH endpoint=0x%x domain=0x%x".formatted(endpoint, domain);
        }
    }

    /** MAP. */
    record Map(int domain, long first, long last, long output, int flags) implements IommuRequest {
        @Override
        public RequestType type() {
            return RequestType.MAP;
        }

        @Override
        public String toString() {
            return "MAP domain=0x%x virt=0x%x..0x%x phys=0x%x %s"
                    .formatted(domain, first, last, output, names(flags));
        }

        private static String names(int flags) {
            StringJoiner names = new StringJoiner("|");
            names.setEmptyValue("none");
            if ((flags & MAP_F_READ) != 0) {
                names.add("READ");
            }
            if ((flags & MAP_F_WRITE) != 0) {
                names.add("WRITE");
            }
            if ((flags & MAP_F_MMIO) != 0) {
                names.add("MMIO");
            }
            int others = flags & ~(MAP_F_READ | MAP_F_WRITE | MAP_F_MMIO);
            if (others != 0) {
                names.add("0x%x".formatted(others));
            }
            return names.toString();
        }
    }

    /** UNMAP. */
    record Unmap(int domain, long first, long last) implements IommuRequest {
        @Override
        public RequestType type() {
            return RequestType.UNMAP;
        }

        @Override
        public String toString() {
            return "UNMAP domain=0x%x virt=0x%x..0x%x".formatted(domain, first, last);
        }
    }

    /** PROBE. */
    record Probe(int endpoint) implements IommuRequest {
        @Override
        public RequestType type() {
            return RequestType.PROBE;
        }

        @Override
        public String toString() {
            return "PROBE endpoint=0x%x".formatted(endpoint);
        }
    }

    /**
     * ATTACH_TABLE of a {@link Profile}.
     *
     * @param pasid -1 if it names none
     * @param format FORMAT_ of {@code VirtioIommuTables}, or any other number
     * @param root where the table is, that of low addresses if there are two, or that of contexts
     * @param width bits of an address that the table has, or of a PASID that has a context
     */
    record AttachTable(int endpoint, int pasid, int domain, int format, long root, int width)
            implements IommuRequest {
        @Override
        public RequestType type() {
            return RequestType.ATTACH_TABLE;
        }

        @Override
        public String toString() {
            return "ATTACH_TABLE endpoint=0x%x%s domain=0x%x %s=0x%x of %d bits"
                    .formatted(endpoint, with(pasid), domain, what(), root, width);
        }

        private String what() {
            return switch (format) {
                case VirtioIommuTables.FORMAT_VTD_FIRST_LEVEL -> "table";
                case VirtioIommuTables.FORMAT_ARM_LPAE -> "lpae";
                case VirtioIommuTables.FORMAT_ARM_SMMUV3 -> "contexts";
                default -> "format=%d root".formatted(format);
            };
        }
    }

    /**
     * INVALIDATE of a {@link Profile}.
     *
     * @param scope GRANULARITY_
     * @param first of a range
     * @param pages of a range
     */
    record Invalidate(int domain, int scope, long first, long pages) implements IommuRequest {
        @Override
        public RequestType type() {
            return RequestType.INVALIDATE;
        }

        @Override
        public String toString() {
            return "INVALIDATE domain=0x%x %s"
                    .formatted(
                            domain,
                            scope == VirtioIommuTables.GRANULARITY_VA
                                    ? "virt=0x%x and on, %s pages"
                                            .formatted(first, Long.toUnsignedString(pages))
                                    : "scope=%d".formatted(scope));
        }
    }

    /** PAGE_RESP of a {@link Profile}; a PASID of -1 is none. */
    record PageResponse(int endpoint, int pasid, int group, int code) implements IommuRequest {
        @Override
        public RequestType type() {
            return RequestType.PAGE_RESPONSE;
        }

        @Override
        public String toString() {
            return "PAGE_RESP endpoint=0x%x%s group=%d code=%d"
                    .formatted(endpoint, with(pasid), group, code);
        }
    }

    private static String with(int pasid) {
        return pasid < 0 ? "" : " pasid=0x%x".formatted(pasid);
    }

    /**
     * What is no request, or one that is cut off.
     *
     * @param head the type's number, -1 if not even that is there
     */
    record Unknown(int head, long readable, long writable) implements IommuRequest {
        @Override
        public RequestType type() {
            return RequestType.UNKNOWN;
        }

        @Override
        public String toString() {
            return "UNKNOWN type=%d, %d bytes to read and %d to write"
                    .formatted(head, readable, writable);
        }
    }

    /** What the slot holds. */
    static IommuRequest of(RequestSlot slot) {
        if (!slot.holds(slot.type.readableSize)) {
            return unknown(slot);
        }
        return switch (slot.type) {
            case ATTACH ->
                    new Attach(
                            slot.le32(ATTACH_ENDPOINT),
                            slot.le32(ATTACH_DOMAIN),
                            slot.le32(ATTACH_FLAGS));
            case DETACH -> new Detach(slot.le32(DETACH_ENDPOINT), slot.le32(DETACH_DOMAIN));
            case MAP ->
                    new Map(
                            slot.le32(MAP_DOMAIN),
                            slot.le64(MAP_VIRT_START),
                            slot.le64(MAP_VIRT_END),
                            slot.le64(MAP_PHYS_START),
                            slot.le32(MAP_FLAGS));
            case UNMAP ->
                    new Unmap(
                            slot.le32(UNMAP_DOMAIN),
                            slot.le64(UNMAP_VIRT_START),
                            slot.le64(UNMAP_VIRT_END));
            case PROBE -> new Probe(slot.le32(PROBE_ENDPOINT));
            case ATTACH_TABLE, INVALIDATE, PAGE_RESPONSE -> ofTables(slot);
            case UNKNOWN -> unknown(slot);
        };
    }

    private static IommuRequest ofTables(RequestSlot slot) {
        return switch (slot.type) {
            case ATTACH_TABLE -> attachTable(slot);
            case INVALIDATE ->
                    new Invalidate(
                            slot.le32(VirtioIommuTables.INVALIDATE_DOMAIN),
                            slot.le32(VirtioIommuTables.INVALIDATE_GRANULARITY) & 0xffff,
                            slot.le64(VirtioIommuTables.INVALIDATE_VIRT_START),
                            slot.le64(VirtioIommuTables.INVALIDATE_NR_PAGES));
            default ->
                    new PageResponse(
                            slot.le32(VirtioIommuTables.RESPONSE_ENDPOINT),
                            (slot.le32(VirtioIommuTables.RESPONSE_FLAGS)
                                                    & VirtioIommuTables.RESPONSE_PASID_VALID)
                                            != 0
                                    ? slot.le32(VirtioIommuTables.RESPONSE_PASID)
                                    : -1,
                            slot.le32(VirtioIommuTables.RESPONSE_GROUP),
                            slot.le32(VirtioIommuTables.RESPONSE_CODE) & 0xffff);
        };
    }

    private static AttachTable attachTable(RequestSlot slot) {
        Profile profile = slot.profile;
        TableForm form = profile == null ? null : TableForm.of(profile, slot);
        int format =
                0xffff
                        & slot.le32(
                                profile == Profile.TABLES_2021
                                        ? VirtioIommuTables.ARM_FORMAT
                                        : VirtioIommuTables.ATTACH_FORMAT);
        return new AttachTable(
                slot.le32(VirtioIommuTables.ATTACH_ENDPOINT),
                form != null && form.hasPasid(slot) ? form.pasid(slot) : -1,
                slot.le32(VirtioIommuTables.ATTACH_DOMAIN),
                format,
                form == null ? 0 : form.root(slot),
                form == null ? 0 : form.width(slot));
    }

    private static Unknown unknown(RequestSlot slot) {
        return new Unknown(
                slot.holds(1) ? slot.u8(0) : -1,
                slot.chain().readableLength(),
                slot.chain().writableLength());
    }
}
