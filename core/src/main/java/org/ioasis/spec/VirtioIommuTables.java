// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * Requests that drafts of virtio-iommu have for tables of the driver's own, in the layout that the
 * drafts of 2021 and 2023 share: no published version has them, and their numbers clash with those
 * of other drafts. Offsets and sizes in bytes.
 */
public final class VirtioIommuTables {
    // Types of requests, in the head.
    public static final int T_ATTACH_TABLE = 6;
    public static final int T_INVALIDATE = 7;
    public static final int T_PAGE_RESPONSE = 8;

    /** What the device answers stands in the last bytes. */
    public static final int TAIL_SIZE = 4;

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
