// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/** Virtio over PCI (virtio 1.4, 4.1). Any thread. */
public final class VirtioPci {
    // 4.1.2.1.
    public static final int VENDOR_ID = 0x1af4;
    public static final int DEVICE_ID_BASE = 0x1040;

    // 4.1.4, struct virtio_pci_cap.
    public static final int CAP_LEN = 2;
    public static final int CAP_CFG_TYPE = 3;
    public static final int CAP_BAR = 4;
    public static final int CAP_OFFSET = 8;
    public static final int CAP_LENGTH = 12;
    public static final int CAP_SIZE = 16;
    public static final int VIRTIO_PCI_CAP_COMMON_CFG = 1;
    public static final int VIRTIO_PCI_CAP_NOTIFY_CFG = 2;
    public static final int VIRTIO_PCI_CAP_ISR_CFG = 3;
    public static final int VIRTIO_PCI_CAP_DEVICE_CFG = 4;
    public static final int VIRTIO_PCI_CAP_PCI_CFG = 5;

    // 4.1.4.4, struct virtio_pci_notify_cap.
    public static final int NOTIFY_CAP_MULTIPLIER = 16;
    public static final int NOTIFY_CAP_SIZE = 20;

    // 4.1.4.9, struct virtio_pci_cfg_cap.
    public static final int CFG_CAP_DATA = 16;
    public static final int CFG_CAP_SIZE = 20;

    // 4.1.4.3, struct virtio_pci_common_cfg.
    public static final int COMMON_DEVICE_FEATURE_SELECT = 0x00;
    public static final int COMMON_DEVICE_FEATURE = 0x04;
    public static final int COMMON_DRIVER_FEATURE_SELECT = 0x08;
    public static final int COMMON_DRIVER_FEATURE = 0x0c;
    public static final int COMMON_CONFIG_MSIX_VECTOR = 0x10;
    public static final int COMMON_NUM_QUEUES = 0x12;
    public static final int COMMON_DEVICE_STATUS = 0x14;
    public static final int COMMON_CONFIG_GENERATION = 0x15;
    public static final int COMMON_QUEUE_SELECT = 0x16;
    public static final int COMMON_QUEUE_SIZE = 0x18;
    public static final int COMMON_QUEUE_MSIX_VECTOR = 0x1a;
    public static final int COMMON_QUEUE_ENABLE = 0x1c;
    public static final int COMMON_QUEUE_NOTIFY_OFF = 0x1e;
    public static final int COMMON_QUEUE_DESC = 0x20;
    public static final int COMMON_QUEUE_DRIVER = 0x28;
    public static final int COMMON_QUEUE_DEVICE = 0x30;
    public static final int COMMON_QUEUE_RESET = 0x3a;
    public static final int COMMON_SIZE = 0x40;

    // 4.1.4.5.
    public static final int ISR_QUEUE = 1;
    public static final int ISR_CONFIG = 2;

    // 4.1.5.1.2.
    public static final int VIRTIO_MSI_NO_VECTOR = 0xffff;

    private VirtioPci() {}
}
