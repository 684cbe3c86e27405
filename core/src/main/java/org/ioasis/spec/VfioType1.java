// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/** Numbers and layouts of VFIO containers of type 1: linux/vfio.h. Offsets and sizes in bytes. */
public final class VfioType1 {
    public static final int API_VERSION = 0;

    // Commands: _IO(';', 100 + n)
    public static final int GET_API_VERSION = 0x3b64;
    public static final int CHECK_EXTENSION = 0x3b65;
    public static final int SET_IOMMU = 0x3b66;
    public static final int GROUP_GET_STATUS = 0x3b67;
    public static final int GROUP_SET_CONTAINER = 0x3b68;
    public static final int GROUP_UNSET_CONTAINER = 0x3b69;
    public static final int GROUP_GET_DEVICE_FD = 0x3b6a;
    public static final int IOMMU_GET_INFO = 0x3b70;
    public static final int IOMMU_MAP_DMA = 0x3b71;
    public static final int IOMMU_UNMAP_DMA = 0x3b72;
    public static final int IOMMU_DIRTY_PAGES = 0x3b75;

    // Extensions
    public static final int TYPE1_IOMMU = 1;
    public static final int TYPE1V2_IOMMU = 3;
    public static final int DMA_CC_IOMMU = 4;
    public static final int UNMAP_ALL = 9;
    public static final int UPDATE_VADDR = 10;

    // struct vfio_group_status
    public static final int GROUP_STATUS_ARGSZ = 0;
    public static final int GROUP_STATUS_FLAGS = 4;
    public static final int GROUP_STATUS_SIZE = 8;
    public static final int GROUP_FLAGS_VIABLE = 1;
    public static final int GROUP_FLAGS_CONTAINER_SET = 1 << 1;

    // struct vfio_iommu_type1_info
    public static final int INFO_PGSIZES = 1;
    public static final int INFO_CAPS = 1 << 1;
    public static final int INFO_ARGSZ = 0;
    public static final int INFO_FLAGS = 4;
    public static final int INFO_IOVA_PGSIZES = 8;
    public static final int INFO_CAP_OFFSET = 16;
    public static final int INFO_MIN = 16;
    public static final int INFO_SIZE = 24;

    // struct vfio_info_cap_header
    public static final int CAP_ID = 0;
    public static final int CAP_VERSION = 2;
    public static final int CAP_NEXT = 4;
    public static final int CAP_HEADER_SIZE = 8;

    // struct vfio_iommu_type1_info_cap_iova_range
    public static final int CAP_IOVA_RANGE = 1;
    public static final int CAP_IOVA_RANGE_NR = 8;
    public static final int CAP_IOVA_RANGE_RANGES = 16;

    // struct vfio_iommu_type1_info_cap_migration
    public static final int CAP_MIGRATION = 2;
    public static final int CAP_MIGRATION_FLAGS = 8;
    public static final int CAP_MIGRATION_PGSIZE_BITMAP = 16;
    public static final int CAP_MIGRATION_MAX_DIRTY_BITMAP_SIZE = 24;
    public static final int CAP_MIGRATION_SIZE = 32;

    // struct vfio_iommu_type1_info_dma_avail
    public static final int CAP_DMA_AVAIL = 3;
    public static final int CAP_DMA_AVAIL_AVAIL = 8;
    public static final int CAP_DMA_AVAIL_SIZE = 12;

    // struct vfio_iommu_type1_dma_map
    public static final int MAP_FLAG_READ = 1;
    public static final int MAP_FLAG_WRITE = 1 << 1;
    public static final int MAP_FLAG_VADDR = 1 << 2;
    public static final int MAP_ARGSZ = 0;
    public static final int MAP_FLAGS = 4;
    public static final int MAP_VADDR = 8;
    public static final int MAP_IOVA = 16;
    public static final int MAP_SIZE = 24;
    public static final int MAP_LENGTH = 32;

    // struct vfio_iommu_type1_dma_unmap
    public static final int UNMAP_FLAG_GET_DIRTY_BITMAP = 1;
    public static final int UNMAP_FLAG_ALL = 1 << 1;
    public static final int UNMAP_FLAG_VADDR = 1 << 2;
    public static final int UNMAP_ARGSZ = 0;
    public static final int UNMAP_FLAGS = 4;
    public static final int UNMAP_IOVA = 8;
    public static final int UNMAP_SIZE = 16;
    public static final int UNMAP_LENGTH = 24;

    // struct vfio_bitmap
    public static final int BITMAP_PGSIZE = 0;
    public static final int BITMAP_SIZE = 8;
    public static final int BITMAP_DATA = 16;
    public static final int BITMAP_LENGTH = 24;

    // struct vfio_iommu_type1_dirty_bitmap, and the range behind it
    public static final int DIRTY_FLAG_START = 1;
    public static final int DIRTY_FLAG_STOP = 1 << 1;
    public static final int DIRTY_FLAG_GET_BITMAP = 1 << 2;
    public static final int DIRTY_ARGSZ = 0;
    public static final int DIRTY_FLAGS = 4;
    public static final int DIRTY_MIN = 8;
    public static final int DIRTY_RANGE_IOVA = 8;
    public static final int DIRTY_RANGE_SIZE = 16;
    public static final int DIRTY_RANGE_BITMAP = 24;
    public static final int DIRTY_LENGTH = 48;

    private VfioType1() {}
}
