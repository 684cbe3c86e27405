// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * Virtio 1.4, chapters 2 (basic facilities) and 6 (reserved feature bits): the device status field
 * and the feature bits that belong to no device type. Feature constants are masks, not bit numbers.
 */
public final class Virtio {
    /** Device status: the driver has found the device. 2.1. */
    public static final int STATUS_ACKNOWLEDGE = 1;

    /** Device status: the driver knows how to drive the device. 2.1. */
    public static final int STATUS_DRIVER = 2;

    /** Device status: the driver is ready. 2.1. */
    public static final int STATUS_DRIVER_OK = 4;

    /** Device status: negotiation is complete. 2.1. */
    public static final int STATUS_FEATURES_OK = 8;

    /** Device status: set by the device, which cannot go on. 2.1.2. */
    public static final int STATUS_DEVICE_NEEDS_RESET = 64;

    /** Device status: the driver has given up. 2.1. */
    public static final int STATUS_FAILED = 128;

    /** Feature bits that belong to the device type: 0 to 23 and from 50 on. 2.2. */
    public static final long DEVICE_TYPE_FEATURES = 0x00ff_ffffL | -1L << 50;

    /** A descriptor may refer to a table of descriptors. 2.7.5.3. */
    public static final long F_INDIRECT_DESC = 1L << 28;

    /** Notifications are suppressed by index. 2.7.7, 2.7.10. */
    public static final long F_EVENT_IDX = 1L << 29;

    /** Not a legacy device. 6. */
    public static final long F_VERSION_1 = 1L << 32;

    /** Addresses are what the platform gives the device, IOVAs behind an IOMMU. 6. */
    public static final long F_ACCESS_PLATFORM = 1L << 33;

    /** Virtqueues are packed. 2.8. */
    public static final long F_RING_PACKED = 1L << 34;

    /** One queue can be reset. 2.6.1. */
    public static final long F_RING_RESET = 1L << 40;

    /** Device id of a network device. 5. */
    public static final int DEVICE_ID_NETWORK = 1;

    /** Device id of a block device. 5. */
    public static final int DEVICE_ID_BLOCK = 2;

    /** Device id of an entropy device. 5. */
    public static final int DEVICE_ID_ENTROPY = 4;

    private Virtio() {}
}
