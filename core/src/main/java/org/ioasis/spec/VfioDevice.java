// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * Numbers and layouts of VFIO devices as programs on Linux use them: linux/vfio.h; what vfio-user
 * has too stands in {@link VfioUser}, groups in {@link VfioType1}. Offsets and sizes in bytes.
 */
public final class VfioDevice {
    // Commands: _IO(';', 100 + n)
    public static final int GET_INFO = 0x3b6b;
    public static final int GET_REGION_INFO = 0x3b6c;
    public static final int GET_IRQ_INFO = 0x3b6d;
    public static final int SET_IRQS = 0x3b6e;
    public static final int RESET = 0x3b6f;
    public static final int GET_PCI_HOT_RESET_INFO = 0x3b70;
    public static final int FEATURE = 0x3b75;
    public static final int BIND_IOMMUFD = 0x3b76;
    public static final int ATTACH_IOMMUFD_PT = 0x3b77;
    public static final int DETACH_IOMMUFD_PT = 0x3b78;

    // struct vfio_device_info
    public static final int INFO_FLAGS = 4;
    public static final int INFO_NUM_REGIONS = 8;
    public static final int INFO_NUM_IRQS = 12;
    public static final int INFO_MIN = 16;
    public static final int INFO_SIZE = 24;

    /** Where a region begins in the file: its index, from this bit on (vfio-pci's choice). */
    public static final int REGION_SHIFT = 40;

    // Regions of vfio-pci beside those of vfio-user.
    public static final int PCI_VGA_REGION_INDEX = 8;

    // struct vfio_irq_info
    public static final int IRQ_NORESIZE = 1 << 3;
    public static final int PCI_ERR_IRQ_INDEX = 3;

    // struct vfio_device_feature
    public static final int FEATURE_MASK = 0xffff;
    public static final int FEATURE_GET = 1 << 16;
    public static final int FEATURE_SET = 1 << 17;
    public static final int FEATURE_PROBE = 1 << 18;
    public static final int FEATURE_FLAGS = 4;
    public static final int FEATURE_SIZE = 8;

    // struct vfio_device_bind_iommufd
    public static final int BIND_FLAGS = 4;
    public static final int BIND_IOMMUFD_FD = 8;
    public static final int BIND_OUT_DEVID = 12;
    public static final int BIND_SIZE = 16;

    // struct vfio_device_attach_iommufd_pt and vfio_device_detach_iommufd_pt
    public static final int PT_FLAG_PASID = 1;
    public static final int PT_FLAGS = 4;
    public static final int ATTACH_PT_ID = 8;
    public static final int ATTACH_PASID = 12;
    public static final int ATTACH_MIN = 12;
    public static final int ATTACH_SIZE = 16;
    public static final int DETACH_PASID = 8;
    public static final int DETACH_MIN = 8;
    public static final int DETACH_SIZE = 12;

    // Numbers of device files: misc, and two that a kernel gives out as they come.
    public static final int MISC_MAJOR = 10;
    public static final int CONTAINER_MINOR = 196;
    public static final int MAJOR = 511;
    public static final int GROUP_MAJOR = 510;

    private VfioDevice() {}
}
