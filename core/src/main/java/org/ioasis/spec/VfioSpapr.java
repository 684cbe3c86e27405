// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * What VFIO containers have for POWER beside {@link VfioType1}: linux/vfio.h. Offsets and sizes in
 * bytes. Any thread.
 */
public final class VfioSpapr {
    // Extensions, and kinds of IOMMU
    public static final int TCE_IOMMU = 2;
    public static final int TCE_V2_IOMMU = 7;

    // Commands: _IO(';', 100 + n)
    public static final int TCE_GET_INFO = 0x3b70;
    public static final int ENABLE = 0x3b73;
    public static final int DISABLE = 0x3b74;
    public static final int REGISTER_MEMORY = 0x3b75;
    public static final int UNREGISTER_MEMORY = 0x3b76;
    public static final int TCE_CREATE = 0x3b77;
    public static final int TCE_REMOVE = 0x3b78;

    // Each structure begins with argsz and flags.
    public static final int ARGSZ = 0;
    public static final int FLAGS = 4;

    // struct vfio_iommu_spapr_tce_info
    public static final int INFO_DDW = 1;
    public static final int INFO_DMA32_START = 8;
    public static final int INFO_DMA32_SIZE = 12;
    public static final int INFO_MIN = 16;
    public static final int INFO_DDW_PGSIZES = 16;
    public static final int INFO_DDW_MAX_WINDOWS = 24;
    public static final int INFO_DDW_LEVELS = 28;
    public static final int INFO_SIZE = 32;

    // struct vfio_iommu_spapr_register_memory
    public static final int MEMORY_VADDR = 8;
    public static final int MEMORY_SIZE = 16;
    public static final int MEMORY_LENGTH = 24;

    // struct vfio_iommu_spapr_tce_create
    public static final int CREATE_PAGE_SHIFT = 8;
    public static final int CREATE_WINDOW_SIZE = 16;
    public static final int CREATE_LEVELS = 24;
    public static final int CREATE_START_ADDR = 32;
    public static final int CREATE_LENGTH = 40;

    // struct vfio_iommu_spapr_tce_remove
    public static final int REMOVE_START_ADDR = 8;
    public static final int REMOVE_LENGTH = 16;

    private VfioSpapr() {}
}
