// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * Numbers and layouts of the ioctls of {@code /dev/iommu}: linux/iommufd.h as of Linux 7.3. Offsets
 * and sizes in bytes; a {@code _MIN} is the smallest size that is accepted, where it is not the
 * whole structure.
 */
public final class Iommufd {
    /** Commands are _IO(TYPE, number): no size, no direction. */
    public static final int TYPE = ';';

    public static final int CMD_BASE = 0x80;
    public static final int CMD_DESTROY = 0x80;
    public static final int CMD_IOAS_ALLOC = 0x81;
    public static final int CMD_IOAS_ALLOW_IOVAS = 0x82;
    public static final int CMD_IOAS_COPY = 0x83;
    public static final int CMD_IOAS_IOVA_RANGES = 0x84;
    public static final int CMD_IOAS_MAP = 0x85;
    public static final int CMD_IOAS_UNMAP = 0x86;
    public static final int CMD_OPTION = 0x87;
    public static final int CMD_VFIO_IOAS = 0x88;
    public static final int CMD_HWPT_ALLOC = 0x89;
    public static final int CMD_GET_HW_INFO = 0x8a;
    public static final int CMD_HWPT_SET_DIRTY_TRACKING = 0x8b;
    public static final int CMD_HWPT_GET_DIRTY_BITMAP = 0x8c;
    public static final int CMD_HWPT_INVALIDATE = 0x8d;
    public static final int CMD_FAULT_QUEUE_ALLOC = 0x8e;
    public static final int CMD_IOAS_MAP_FILE = 0x8f;
    public static final int CMD_VIOMMU_ALLOC = 0x90;
    public static final int CMD_VDEVICE_ALLOC = 0x91;
    public static final int CMD_IOAS_CHANGE_PROCESS = 0x92;
    public static final int CMD_VEVENTQ_ALLOC = 0x93;
    public static final int CMD_HW_QUEUE_ALLOC = 0x94;
    public static final int CMD_IOAS_NOIOMMU_GET_PA = 0x95;

    /** First field of every structure. */
    public static final int SIZE = 0;

    // struct iommu_destroy
    public static final int DESTROY_ID = 4;
    public static final int DESTROY_SIZE = 8;

    // struct iommu_ioas_alloc
    public static final int IOAS_ALLOC_FLAGS = 4;
    public static final int IOAS_ALLOC_OUT_IOAS_ID = 8;
    public static final int IOAS_ALLOC_SIZE = 12;

    // struct iommu_iova_range
    public static final int IOVA_RANGE_START = 0;
    public static final int IOVA_RANGE_LAST = 8;
    public static final int IOVA_RANGE_SIZE = 16;

    // struct iommu_ioas_iova_ranges
    public static final int IOVA_RANGES_IOAS_ID = 4;
    public static final int IOVA_RANGES_NUM_IOVAS = 8;
    public static final int IOVA_RANGES_RESERVED = 12;
    public static final int IOVA_RANGES_ALLOWED_IOVAS = 16;
    public static final int IOVA_RANGES_OUT_ALIGNMENT = 24;
    public static final int IOVA_RANGES_SIZE = 32;

    // struct iommu_ioas_allow_iovas
    public static final int ALLOW_IOVAS_IOAS_ID = 4;
    public static final int ALLOW_IOVAS_NUM_IOVAS = 8;
    public static final int ALLOW_IOVAS_RESERVED = 12;
    public static final int ALLOW_IOVAS_ALLOWED_IOVAS = 16;
    public static final int ALLOW_IOVAS_SIZE = 24;

    // struct iommu_ioas_map, and its flags
    public static final int MAP_FIXED_IOVA = 1;
    public static final int MAP_WRITEABLE = 1 << 1;
    public static final int MAP_READABLE = 1 << 2;
    public static final int MAP_FLAGS = 4;
    public static final int MAP_IOAS_ID = 8;
    public static final int MAP_RESERVED = 12;
    public static final int MAP_USER_VA = 16;
    public static final int MAP_LENGTH = 24;
    public static final int MAP_IOVA = 32;
    public static final int MAP_SIZE = 40;

    // struct iommu_ioas_map_file
    public static final int MAP_FILE_FLAGS = 4;
    public static final int MAP_FILE_IOAS_ID = 8;
    public static final int MAP_FILE_FD = 12;
    public static final int MAP_FILE_START = 16;
    public static final int MAP_FILE_LENGTH = 24;
    public static final int MAP_FILE_IOVA = 32;
    public static final int MAP_FILE_SIZE = 40;

    // struct iommu_ioas_copy
    public static final int COPY_FLAGS = 4;
    public static final int COPY_DST_IOAS_ID = 8;
    public static final int COPY_SRC_IOAS_ID = 12;
    public static final int COPY_LENGTH = 16;
    public static final int COPY_DST_IOVA = 24;
    public static final int COPY_SRC_IOVA = 32;
    public static final int COPY_SIZE = 40;

    // struct iommu_ioas_unmap
    public static final int UNMAP_IOAS_ID = 4;
    public static final int UNMAP_IOVA = 8;
    public static final int UNMAP_LENGTH = 16;
    public static final int UNMAP_SIZE = 24;

    // struct iommu_option
    public static final int OPTION_RLIMIT_MODE = 0;
    public static final int OPTION_HUGE_PAGES = 1;
    public static final int OPTION_OP_SET = 0;
    public static final int OPTION_OP_GET = 1;
    public static final int OPTION_ID = 4;
    public static final int OPTION_OP = 8;
    public static final int OPTION_RESERVED = 10;
    public static final int OPTION_OBJECT_ID = 12;
    public static final int OPTION_VAL64 = 16;
    public static final int OPTION_SIZE = 24;

    // struct iommu_vfio_ioas
    public static final int VFIO_IOAS_GET = 0;
    public static final int VFIO_IOAS_SET = 1;
    public static final int VFIO_IOAS_CLEAR = 2;
    public static final int VFIO_IOAS_ID = 4;
    public static final int VFIO_IOAS_OP = 8;
    public static final int VFIO_IOAS_RESERVED = 10;
    public static final int VFIO_IOAS_SIZE = 12;

    // struct iommu_hwpt_alloc
    public static final int HWPT_ALLOC_NEST_PARENT = 1;
    public static final int HWPT_ALLOC_DIRTY_TRACKING = 1 << 1;
    public static final int HWPT_FAULT_ID_VALID = 1 << 2;
    public static final int HWPT_ALLOC_PASID = 1 << 3;
    public static final int HWPT_DATA_NONE = 0;
    public static final int HWPT_ALLOC_FLAGS = 4;
    public static final int HWPT_ALLOC_DEV_ID = 8;
    public static final int HWPT_ALLOC_PT_ID = 12;
    public static final int HWPT_ALLOC_OUT_HWPT_ID = 16;
    public static final int HWPT_ALLOC_RESERVED = 20;
    public static final int HWPT_ALLOC_DATA_TYPE = 24;
    public static final int HWPT_ALLOC_DATA_LEN = 28;
    public static final int HWPT_ALLOC_DATA_UPTR = 32;
    public static final int HWPT_ALLOC_FAULT_ID = 40;
    public static final int HWPT_ALLOC_RESERVED2 = 44;
    public static final int HWPT_ALLOC_SIZE = 48;
    public static final int HWPT_ALLOC_MIN = 24;

    // struct iommu_hw_info
    public static final int HW_INFO_FLAG_INPUT_TYPE = 1;
    public static final int HW_INFO_TYPE_DEFAULT = 0;
    public static final int HW_CAP_DIRTY_TRACKING = 1;
    public static final int HW_CAP_PCI_PASID_EXEC = 1 << 1;
    public static final int HW_CAP_PCI_PASID_PRIV = 1 << 2;
    public static final int HW_CAP_PCI_ATS_NOT_SUPPORTED = 1 << 3;
    public static final int HW_INFO_FLAGS = 4;
    public static final int HW_INFO_DEV_ID = 8;
    public static final int HW_INFO_DATA_LEN = 12;
    public static final int HW_INFO_DATA_UPTR = 16;
    public static final int HW_INFO_DATA_TYPE = 24;
    public static final int HW_INFO_OUT_MAX_PASID_LOG2 = 28;
    public static final int HW_INFO_RESERVED = 29;
    public static final int HW_INFO_OUT_CAPABILITIES = 32;
    public static final int HW_INFO_SIZE = 40;
    public static final int HW_INFO_MIN = 32;

    // struct iommu_hwpt_set_dirty_tracking
    public static final int DIRTY_TRACKING_ENABLE = 1;
    public static final int SET_DIRTY_FLAGS = 4;
    public static final int SET_DIRTY_HWPT_ID = 8;
    public static final int SET_DIRTY_RESERVED = 12;
    public static final int SET_DIRTY_SIZE = 16;

    // struct iommu_hwpt_get_dirty_bitmap
    public static final int GET_DIRTY_BITMAP_NO_CLEAR = 1;
    public static final int GET_DIRTY_HWPT_ID = 4;
    public static final int GET_DIRTY_FLAGS = 8;
    public static final int GET_DIRTY_RESERVED = 12;
    public static final int GET_DIRTY_IOVA = 16;
    public static final int GET_DIRTY_LENGTH = 24;
    public static final int GET_DIRTY_PAGE_SIZE = 32;
    public static final int GET_DIRTY_DATA = 40;
    public static final int GET_DIRTY_SIZE = 48;

    // struct iommu_hwpt_invalidate
    public static final int INVALIDATE_HWPT_ID = 4;
    public static final int INVALIDATE_DATA_UPTR = 8;
    public static final int INVALIDATE_DATA_TYPE = 16;
    public static final int INVALIDATE_ENTRY_LEN = 20;
    public static final int INVALIDATE_ENTRY_NUM = 24;
    public static final int INVALIDATE_RESERVED = 28;
    public static final int INVALIDATE_SIZE = 32;

    /** Most entries of one call. */
    public static final int INVALIDATE_ENTRY_NUM_MAX = 1 << 19;

    // struct iommu_fault_alloc
    public static final int FAULT_ALLOC_FLAGS = 4;
    public static final int FAULT_ALLOC_OUT_FAULT_ID = 8;
    public static final int FAULT_ALLOC_OUT_FAULT_FD = 12;
    public static final int FAULT_ALLOC_SIZE = 16;

    // struct iommu_hwpt_pgfault
    public static final int PGFAULT_FLAGS_PASID_VALID = 1;
    public static final int PGFAULT_FLAGS_LAST_PAGE = 1 << 1;
    public static final int PGFAULT_FLAGS = 0;
    public static final int PGFAULT_DEV_ID = 4;
    public static final int PGFAULT_PASID = 8;
    public static final int PGFAULT_GRPID = 12;
    public static final int PGFAULT_PERM = 16;
    public static final int PGFAULT_ADDR = 24;
    public static final int PGFAULT_LENGTH = 32;
    public static final int PGFAULT_COOKIE = 36;
    public static final int PGFAULT_SIZE = 40;

    // struct iommu_hwpt_page_response
    public static final int PAGE_RESP_SUCCESS = 0;
    public static final int PAGE_RESP_INVALID = 1;
    public static final int PAGE_RESPONSE_COOKIE = 0;
    public static final int PAGE_RESPONSE_CODE = 4;
    public static final int PAGE_RESPONSE_SIZE = 8;

    // struct iommu_viommu_alloc
    public static final int VIOMMU_TYPE_DEFAULT = 0;
    public static final int VIOMMU_ALLOC_FLAGS = 4;
    public static final int VIOMMU_ALLOC_TYPE = 8;
    public static final int VIOMMU_ALLOC_DEV_ID = 12;
    public static final int VIOMMU_ALLOC_HWPT_ID = 16;
    public static final int VIOMMU_ALLOC_OUT_VIOMMU_ID = 20;
    public static final int VIOMMU_ALLOC_DATA_LEN = 24;
    public static final int VIOMMU_ALLOC_RESERVED = 28;
    public static final int VIOMMU_ALLOC_DATA_UPTR = 32;
    public static final int VIOMMU_ALLOC_SIZE = 40;
    public static final int VIOMMU_ALLOC_MIN = 24;

    // struct iommu_vdevice_alloc
    public static final int VDEVICE_ALLOC_VIOMMU_ID = 4;
    public static final int VDEVICE_ALLOC_DEV_ID = 8;
    public static final int VDEVICE_ALLOC_OUT_VDEVICE_ID = 12;
    public static final int VDEVICE_ALLOC_VIRT_ID = 16;
    public static final int VDEVICE_ALLOC_SIZE = 24;

    // struct iommu_ioas_change_process
    public static final int CHANGE_PROCESS_RESERVED = 4;
    public static final int CHANGE_PROCESS_SIZE = 8;

    // struct iommu_veventq_alloc
    public static final int VEVENTQ_TYPE_DEFAULT = 0;
    public static final int VEVENTQ_ALLOC_FLAGS = 4;
    public static final int VEVENTQ_ALLOC_VIOMMU_ID = 8;
    public static final int VEVENTQ_ALLOC_TYPE = 12;
    public static final int VEVENTQ_ALLOC_DEPTH = 16;
    public static final int VEVENTQ_ALLOC_OUT_VEVENTQ_ID = 20;
    public static final int VEVENTQ_ALLOC_OUT_VEVENTQ_FD = 24;
    public static final int VEVENTQ_ALLOC_RESERVED = 28;
    public static final int VEVENTQ_ALLOC_SIZE = 32;

    /** Most events that a queue may be asked to hold. */
    public static final int VEVENTQ_DEPTH_MAX = 1 << 19;

    // struct iommufd_vevent_header
    public static final int VEVENTQ_FLAG_LOST_EVENTS = 1;
    public static final int VEVENT_HEADER_FLAGS = 0;
    public static final int VEVENT_HEADER_SEQUENCE = 4;
    public static final int VEVENT_HEADER_SIZE = 8;

    // struct iommu_hw_queue_alloc
    public static final int HW_QUEUE_TYPE_DEFAULT = 0;
    public static final int HW_QUEUE_ALLOC_FLAGS = 4;
    public static final int HW_QUEUE_ALLOC_VIOMMU_ID = 8;
    public static final int HW_QUEUE_ALLOC_TYPE = 12;
    public static final int HW_QUEUE_ALLOC_INDEX = 16;
    public static final int HW_QUEUE_ALLOC_OUT_HW_QUEUE_ID = 20;
    public static final int HW_QUEUE_ALLOC_NESTING_PARENT_IOVA = 24;
    public static final int HW_QUEUE_ALLOC_LENGTH = 32;
    public static final int HW_QUEUE_ALLOC_SIZE = 40;

    // struct iommu_ioas_noiommu_get_pa
    public static final int NOIOMMU_GET_PA_SIZE = 48;

    private Iommufd() {}
}
