// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * The Virtual I/O Translation table (ACPI 6.5, 5.2.36) behind the common ACPI header (5.2.6).
 * Offsets of node fields count from the node. Any thread.
 */
public final class ViotLayout {
    // 5.2.6, the common header.
    public static final String SIGNATURE = "VIOT";
    public static final int LENGTH = 4;
    public static final int REVISION = 8;
    public static final int CHECKSUM = 9;
    public static final int OEM_ID = 10;
    public static final int OEM_ID_SIZE = 6;
    public static final int OEM_TABLE_ID = 16;
    public static final int OEM_TABLE_ID_SIZE = 8;
    public static final int OEM_REVISION = 24;
    public static final int CREATOR_ID = 28;
    public static final int CREATOR_ID_SIZE = 4;
    public static final int CREATOR_REVISION = 32;

    // The table's own header.
    public static final int NODE_COUNT = 36;
    public static final int NODE_OFFSET = 38;
    public static final int RESERVED = 40;
    public static final int RESERVED_SIZE = 8;
    public static final int HEADER_SIZE = 48;

    // Every node.
    public static final int NODE_TYPE = 0;
    public static final int NODE_LENGTH = 2;
    public static final int NODE_HEADER_SIZE = 4;

    public static final int PCI_RANGE = 1;
    public static final int PCI_RANGE_ENDPOINT_START = 4;
    public static final int PCI_RANGE_SEGMENT_START = 8;
    public static final int PCI_RANGE_SEGMENT_END = 10;
    public static final int PCI_RANGE_BDF_START = 12;
    public static final int PCI_RANGE_BDF_END = 14;
    public static final int PCI_RANGE_OUTPUT_NODE = 16;
    public static final int PCI_RANGE_SIZE = 24;

    public static final int MMIO_ENDPOINT = 2;
    public static final int MMIO_ENDPOINT_ID = 4;
    public static final int MMIO_ENDPOINT_BASE = 8;
    public static final int MMIO_ENDPOINT_OUTPUT_NODE = 16;
    public static final int MMIO_ENDPOINT_SIZE = 24;

    public static final int VIRTIO_PCI_IOMMU = 3;
    public static final int VIRTIO_PCI_IOMMU_SEGMENT = 4;
    public static final int VIRTIO_PCI_IOMMU_BDF = 6;
    public static final int VIRTIO_PCI_IOMMU_SIZE = 16;

    public static final int VIRTIO_MMIO_IOMMU = 4;
    public static final int VIRTIO_MMIO_IOMMU_BASE = 8;
    public static final int VIRTIO_MMIO_IOMMU_SIZE = 16;

    private ViotLayout() {}
}
