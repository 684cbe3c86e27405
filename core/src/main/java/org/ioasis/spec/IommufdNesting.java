// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * What drivers of IOMMUs add to the ioctls of {@code /dev/iommu} for tables of guests:
 * linux/iommufd.h as of Linux 7.3, and numbers of our own where Linux has none. Offsets and sizes
 * in bytes.
 */
public final class IommufdNesting {
    /** Where numbers of our own begin; Linux counts from 0, and its selftests have 0xdead.... */
    private static final int OWN = 0x494f_0000;

    // enum iommu_hwpt_data_type
    public static final int HWPT_DATA_VTD_S1 = 1;
    public static final int HWPT_DATA_SMMUV3 = 2;
    public static final int HWPT_DATA_AMD_GUEST = 3;

    // enum iommu_hw_info_type
    public static final int HW_INFO_VTD = 1;
    public static final int HW_INFO_SMMUV3 = 2;
    public static final int HW_INFO_TEGRA241 = 3;
    public static final int HW_INFO_AMD = 4;

    // enum iommu_hwpt_invalidate_data_type
    public static final int INVALIDATE_VTD_S1 = 0;
    public static final int INVALIDATE_SMMUV3 = 1;

    /** Commands of an AMD command buffer. */
    public static final int INVALIDATE_AMD = OWN | 1;

    /** Requests of virtio-iommu, whatever the IOMMU is. */
    public static final int INVALIDATE_VIRTIO = OWN | 2;

    // enum iommu_viommu_type
    public static final int VIOMMU_SMMUV3 = 1;
    public static final int VIOMMU_TEGRA241 = 2;
    public static final int VIOMMU_AMD = OWN | 1;

    // enum iommu_veventq_type
    public static final int VEVENTQ_SMMUV3 = 1;
    public static final int VEVENTQ_TEGRA241 = 2;

    // enum iommu_hw_queue_type
    public static final int HW_QUEUE_TEGRA241 = 1;

    // struct iommu_hwpt_vtd_s1
    public static final long VTD_S1_SRE = 1;
    public static final long VTD_S1_EAFE = 1 << 1;
    public static final long VTD_S1_WPE = 1 << 2;
    public static final int VTD_S1_FLAGS = 0;
    public static final int VTD_S1_PGTBL_ADDR = 8;
    public static final int VTD_S1_ADDR_WIDTH = 16;
    public static final int VTD_S1_RESERVED = 20;
    public static final int VTD_S1_SIZE = 24;

    // struct iommu_hwpt_vtd_s1_invalidate
    public static final int VTD_INVALIDATE_LEAF = 1;
    public static final int VTD_INVALIDATE_ADDR = 0;
    public static final int VTD_INVALIDATE_NPAGES = 8;
    public static final int VTD_INVALIDATE_FLAGS = 16;
    public static final int VTD_INVALIDATE_RESERVED = 20;
    public static final int VTD_INVALIDATE_SIZE = 24;

    // struct iommu_hw_info_vtd
    public static final int VTD_INFO_CAP = 8;
    public static final int VTD_INFO_ECAP = 16;
    public static final int VTD_INFO_SIZE = 24;

    // struct iommu_hwpt_arm_smmuv3
    public static final int SMMUV3_STE = 0;
    public static final int SMMUV3_SIZE = 16;

    // struct iommu_hw_info_arm_smmuv3
    public static final int SMMUV3_INFO_IDR = 8;
    public static final int SMMUV3_INFO_IDR_COUNT = 6;
    public static final int SMMUV3_INFO_IIDR = 32;
    public static final int SMMUV3_INFO_AIDR = 36;
    public static final int SMMUV3_INFO_SIZE = 40;

    // struct iommu_viommu_tegra241_cmdqv
    public static final int TEGRA241_MMAP_OFFSET = 0;
    public static final int TEGRA241_MMAP_LENGTH = 8;
    public static final int TEGRA241_SIZE = 16;

    // struct iommu_hw_info_tegra241_cmdqv
    public static final int TEGRA241_INFO_VERSION = 4;
    public static final int TEGRA241_INFO_LOG2VCMDQS = 5;
    public static final int TEGRA241_INFO_LOG2VSIDS = 6;
    public static final int TEGRA241_INFO_SIZE = 8;

    // struct iommu_hwpt_amd_guest
    public static final int AMD_DTE = 0;
    public static final int AMD_SIZE = 32;

    // struct iommu_hw_info_amd
    public static final int AMD_INFO_EFR = 0;
    public static final int AMD_INFO_EFR2 = 8;
    public static final int AMD_INFO_SIZE = 16;

    private IommufdNesting() {}
}
