// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * Requests that drafts of virtio-iommu have for tables of the driver's own: no published version
 * has them, and their numbers clash with each other's. ATTACH_TABLE is that of the draft of 2023
 * for VT-d, and of those of 2018 to 2021 for ARM ({@code ARM_}); the other requests are those of
 * 2021, which all share. Offsets and sizes in bytes.
 */
public final class VirtioIommuTables {
    /**
     * Feature bits. The drafts put ATTACH_TABLE at 5, 6 or 7, of which 1.4 has given the first two
     * to others, and page requests have none; where a draft says nothing, ours stands here.
     */
    public static final long F_ATTACH_TABLE = 1L << 7;

    public static final long F_PAGE_REQUEST = 1L << 8;

    // Types of requests, in the head.
    public static final int T_ATTACH_TABLE = 6;
    public static final int T_INVALIDATE = 7;
    public static final int T_PAGE_RESPONSE = 8;

    /** What the device answers stands in the last bytes. */
    public static final int TAIL_SIZE = 4;

    // struct virtio_iommu_req_attach_table with the table of a first level of VT-d
    public static final int ATTACH_DOMAIN = 4;
    public static final int ATTACH_ENDPOINT = 8;
    public static final int ATTACH_FLAGS = 12;

    /** Two bytes, and two that are reserved. */
    public static final int ATTACH_FORMAT = 16;

    public static final int ATTACH_PASID = 20;
    public static final int ATTACH_ROOT = 24;
    public static final int ATTACH_TABLE_FLAGS = 32;
    public static final int ATTACH_WIDTH = 40;

    /** Reserved to the tail. */
    public static final int ATTACH_RESERVED = 44;

    public static final int ATTACH_TAIL = 76;
    public static final int ATTACH_SIZE = 80;

    /** The PASID is one; without, the table is for what an endpoint does without a PASID. */
    public static final int ATTACH_HAS_PASID = 1;

    public static final int FORMAT_VTD_FIRST_LEVEL = 4;

    /** Requests are a supervisor's. */
    public static final long TABLE_SRE = 1;

    /** Accesses set the extended accessed bit. */
    public static final long TABLE_EAFE = 1 << 1;

    /** A supervisor may not write to what is read only. */
    public static final long TABLE_WPE = 1 << 2;

    public static final int WIDTH_4_LEVELS = 48;
    public static final int WIDTH_5_LEVELS = 57;

    /** Bits of a PASID. */
    public static final int PASID_BITS = 20;

    // struct virtio_iommu_req_attach_table of the drafts for ARM: domain, endpoint, tail and size
    // are as above.

    /** Two bytes. */
    public static final int ARM_FORMAT = 12;

    public static final int FORMAT_ARM_LPAE = 1;
    public static final int FORMAT_ARM_SMMUV3 = 2;

    // Tables of one space, as registers of the processor say them (Arm Architecture Reference
    // Manual for A-profile, D19.2: TCR_EL1, TTBRn_EL1, MAIR_EL1).

    /** Two bytes. */
    public static final int ARM_ASID = 14;

    public static final int ARM_TCR = 16;
    public static final int ARM_TTBR0 = 24;
    public static final int ARM_TTBR1 = 32;
    public static final int ARM_MAIR = 40;

    /** Reserved to the tail, whatever the format. */
    public static final int ARM_RESERVED = 48;

    // Context descriptors, as a stream table entry says them (SMMUv3, 5.2: S1Fmt, S1DSS,
    // S1ContextPtr, S1CDMax).

    /** A byte. */
    public static final int ARM_S1FMT = 14;

    /** A byte. */
    public static final int ARM_S1DSS = 15;

    public static final int ARM_S1CONTEXTPTR = 16;
    public static final int ARM_S1CDMAX = 24;

    /** Reserved to {@link #ARM_RESERVED} with this format. */
    public static final int ARM_CONTEXTS_RESERVED = 32;

    /** Bits of an ASID. */
    public static final int ASID_BITS = 16;

    // Properties of an endpoint, behind their heads.
    public static final int PROBE_T_PAGE_SIZE_MASK = 2;
    public static final int PROBE_T_INPUT_RANGE = 3;
    public static final int PROBE_T_OUTPUT_SIZE = 4;
    public static final int PROBE_T_PASID_SIZE = 5;
    public static final int PROBE_T_TABLE_FORMAT = 6;
    public static final int PROBE_T_PASID_TABLE_FORMAT = 7;

    // Page sizes: behind four reserved bytes.
    public static final int PAGE_SIZE_MASK_MASK = 8;
    public static final int PAGE_SIZE_MASK_SIZE = 16;

    // Addresses that a table can have: behind four reserved bytes.
    public static final int INPUT_RANGE_START = 8;
    public static final int INPUT_RANGE_END = 16;
    public static final int INPUT_RANGE_SIZE = 24;

    // Bits of output addresses, and of PASIDs: one byte, and three that are reserved.
    public static final int BITS_BITS = 4;
    public static final int BITS_SIZE = 8;

    // A format, two reserved bytes, and the registers that say what of it there is.
    public static final int TABLE_FORMAT_FORMAT = 4;
    public static final int TABLE_FORMAT_CAP = 8;
    public static final int TABLE_FORMAT_ECAP = 16;
    public static final int TABLE_FORMAT_SIZE = 24;

    /** A format of the drafts for ARM, of tables or of PASID tables, and two reserved bytes. */
    public static final int ARM_TABLE_FORMAT_SIZE = 8;

    /** CAP: first-level pages of 1 GiB; five levels. */
    public static final long CAP_FL1GP = 1L << 56;

    public static final long CAP_FL5LP = 1L << 60;

    /** ECAP: page requests; the extended accessed bit; PASIDs; first-level tables. */
    public static final long ECAP_PRS = 1L << 29;

    public static final long ECAP_EAFS = 1L << 34;
    public static final long ECAP_PASID = 1L << 40;
    public static final long ECAP_FLTS = 1L << 47;

    // struct virtio_iommu_req_invalidate
    public static final int INVALIDATE_HEAD = 0;
    public static final int INVALIDATE_GRANULARITY = 4;
    public static final int INVALIDATE_TYPE = 6;
    public static final int INVALIDATE_FLAGS = 8;
    public static final int INVALIDATE_RESERVED = 10;
    public static final int INVALIDATE_DOMAIN = 12;
    public static final int INVALIDATE_PASID = 16;
    public static final int INVALIDATE_RESERVED2 = 20;
    public static final int INVALIDATE_ARCHID = 24;
    public static final int INVALIDATE_VIRT_START = 32;
    public static final int INVALIDATE_NR_PAGES = 40;
    public static final int INVALIDATE_GRANULE = 48;
    public static final int INVALIDATE_RESERVED3 = 49;
    public static final int INVALIDATE_TAIL = 60;
    public static final int INVALIDATE_SIZE = 64;

    public static final int GRANULARITY_DOMAIN = 1;
    public static final int GRANULARITY_PASID = 2;
    public static final int GRANULARITY_VA = 4;

    public static final int TYPE_IOTLB = 1;
    public static final int TYPE_DEVICE_TLB = 1 << 1;
    public static final int TYPE_PASID_CACHE = 1 << 2;

    public static final int FLAG_PASID = 1;
    public static final int FLAG_ARCHID = 1 << 1;
    public static final int FLAG_LEAF = 1 << 2;

    // struct virtio_iommu_req_page_resp
    public static final int RESPONSE_DOMAIN = 4;
    public static final int RESPONSE_ENDPOINT = 8;
    public static final int RESPONSE_FLAGS = 12;
    public static final int RESPONSE_PASID = 16;
    public static final int RESPONSE_GROUP = 20;
    public static final int RESPONSE_CODE = 24;
    public static final int RESPONSE_TAIL = 36;
    public static final int RESPONSE_SIZE = 40;

    /** The PASID is one. */
    public static final int RESPONSE_PASID_VALID = 1;

    public static final int CODE_SUCCESS = 0;
    public static final int CODE_INVALID = 1;
    public static final int CODE_FAILURE = 2;

    // struct virtio_iommu_fault, with what page requests add behind it
    public static final int FAULT_REASON = 0;
    public static final int FAULT_FLAGS = 4;
    public static final int FAULT_ENDPOINT = 8;
    public static final int FAULT_PASID = 12;
    public static final int FAULT_ADDRESS = 16;
    public static final int FAULT_GROUP = 24;
    public static final int FAULT_PRIVATE = 32;
    public static final int FAULT_SIZE = 48;

    public static final int FAULT_READ = 1;
    public static final int FAULT_WRITE = 1 << 1;
    public static final int FAULT_EXEC = 1 << 2;
    public static final int FAULT_PRIV = 1 << 3;
    public static final int FAULT_LAST = 1 << 4;
    public static final int FAULT_PAGE_REQUEST = 1 << 5;
    public static final int FAULT_HAS_ADDRESS = 1 << 8;
    public static final int FAULT_HAS_PASID = 1 << 9;
    public static final int FAULT_HAS_GROUP = 1 << 10;

    private VirtioIommuTables() {}
}
