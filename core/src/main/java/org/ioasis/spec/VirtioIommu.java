// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * Numbers and layouts of the IOMMU device: virtio 1.4, section 5.13. Offsets and lengths in bytes.
 */
public final class VirtioIommu {
    public static final int DEVICE_ID_IOMMU = 23;

    // 5.13.2 Virtqueues
    public static final int REQUESTQ = 0;
    public static final int EVENTQ = 1;

    // 5.13.3 Feature bits, as masks
    public static final long F_INPUT_RANGE = 1L;
    public static final long F_DOMAIN_RANGE = 1L << 1;
    public static final long F_MAP_UNMAP = 1L << 2;
    public static final long F_BYPASS = 1L << 3;
    public static final long F_PROBE = 1L << 4;
    public static final long F_MMIO = 1L << 5;
    public static final long F_BYPASS_CONFIG = 1L << 6;

    // 5.13.4 struct virtio_iommu_config
    public static final int CONFIG_PAGE_SIZE_MASK = 0;
    public static final int CONFIG_INPUT_START = 8;
    public static final int CONFIG_INPUT_END = 16;
    public static final int CONFIG_DOMAIN_START = 24;
    public static final int CONFIG_DOMAIN_END = 28;
    public static final int CONFIG_PROBE_SIZE = 32;
    public static final int CONFIG_BYPASS = 36;
    public static final int CONFIG_SIZE = 40;

    // 5.13.6 Request types
    public static final int T_ATTACH = 1;
    public static final int T_DETACH = 2;
    public static final int T_MAP = 3;
    public static final int T_UNMAP = 4;
    public static final int T_PROBE = 5;

    // 5.13.6 Status codes
    public static final int S_OK = 0;
    public static final int S_IOERR = 1;
    public static final int S_UNSUPP = 2;
    public static final int S_DEVERR = 3;
    public static final int S_INVAL = 4;
    public static final int S_RANGE = 5;
    public static final int S_NOENT = 6;
    public static final int S_FAULT = 7;
    public static final int S_NOMEM = 8;

    /** struct virtio_iommu_req_tail. */
    public static final int TAIL_SIZE = 4;

    /** struct virtio_iommu_req_head. */
    public static final int HEAD_SIZE = 4;

    // 5.13.6.3 ATTACH, device-readable part
    public static final int ATTACH_DOMAIN = 4;
    public static final int ATTACH_ENDPOINT = 8;
    public static final int ATTACH_FLAGS = 12;
    public static final int ATTACH_RESERVED = 16;
    public static final int ATTACH_SIZE = 20;
    public static final int ATTACH_F_BYPASS = 1;

    // 5.13.6.4 DETACH, device-readable part
    public static final int DETACH_DOMAIN = 4;
    public static final int DETACH_ENDPOINT = 8;
    public static final int DETACH_SIZE = 20;

    // 5.13.6.5 MAP, device-readable part
    public static final int MAP_DOMAIN = 4;
    public static final int MAP_VIRT_START = 8;
    public static final int MAP_VIRT_END = 16;
    public static final int MAP_PHYS_START = 24;
    public static final int MAP_FLAGS = 32;
    public static final int MAP_SIZE = 36;
    public static final int MAP_F_READ = 1;
    public static final int MAP_F_WRITE = 2;
    public static final int MAP_F_MMIO = 4;

    // 5.13.6.6 UNMAP, device-readable part
    public static final int UNMAP_DOMAIN = 4;
    public static final int UNMAP_VIRT_START = 8;
    public static final int UNMAP_VIRT_END = 16;
    public static final int UNMAP_RESERVED = 24;
    public static final int UNMAP_SIZE = 28;

    // 5.13.6.7 PROBE, device-readable part
    public static final int PROBE_ENDPOINT = 4;
    public static final int PROBE_SIZE = 72;

    // 5.13.6.8 struct virtio_iommu_probe_resv_mem
    public static final int PROBE_T_NONE = 0;
    public static final int PROBE_T_RESV_MEM = 1;

    /** The type proper in its field of 16 bits, whose others are reserved. */
    public static final int PROBE_T_MASK = 0xfff;

    public static final int PROPERTY_TYPE = 0;
    public static final int PROPERTY_LENGTH = 2;
    public static final int PROPERTY_HEAD_SIZE = 4;
    public static final int RESV_MEM_SUBTYPE = 4;
    public static final int RESV_MEM_START = 8;
    public static final int RESV_MEM_END = 16;
    public static final int RESV_MEM_SIZE = 24;
    public static final int RESV_MEM_T_RESERVED = 0;
    public static final int RESV_MEM_T_MSI = 1;

    // 5.13.6.9 struct virtio_iommu_fault
    public static final int FAULT_REASON = 0;

    /** Three bytes. */
    public static final int FAULT_RESERVED = 1;

    public static final int FAULT_FLAGS = 4;
    public static final int FAULT_ENDPOINT = 8;
    public static final int FAULT_ADDRESS = 16;
    public static final int FAULT_SIZE = 24;
    public static final int FAULT_R_UNKNOWN = 0;
    public static final int FAULT_R_DOMAIN = 1;
    public static final int FAULT_R_MAPPING = 2;
    public static final int FAULT_F_READ = 1;
    public static final int FAULT_F_WRITE = 2;
    public static final int FAULT_F_ADDRESS = 1 << 8;

    private VirtioIommu() {}
}
