// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * PCI configuration space: type 0 header and MSI-X capability (PCI Local Bus Specification 3.0,
 * chapter 6). Any thread.
 */
public final class Pci {
    public static final int CONFIG_SPACE_SIZE = 256;

    /** Of a function of PCI Express (PCI Express Base 4.0, 7.2). */
    public static final int EXPRESS_CONFIG_SPACE_SIZE = 4096;

    public static final int BAR_COUNT = 6;

    // 6.1, type 0 header.
    public static final int VENDOR_ID = 0x00;
    public static final int DEVICE_ID = 0x02;
    public static final int COMMAND = 0x04;
    public static final int STATUS = 0x06;
    public static final int REVISION_ID = 0x08;
    public static final int CLASS_PROG = 0x09;
    public static final int CACHE_LINE_SIZE = 0x0c;
    public static final int BIST = 0x0f;
    public static final int BASE_ADDRESS_0 = 0x10;
    public static final int SUBSYSTEM_VENDOR_ID = 0x2c;
    public static final int SUBSYSTEM_ID = 0x2e;
    public static final int CAPABILITY_LIST = 0x34;
    public static final int INTERRUPT_LINE = 0x3c;
    public static final int HEADER_END = 0x40;

    // 6.2.2 and 6.2.3, command and status.
    public static final int COMMAND_MEMORY = 0x0002;
    public static final int COMMAND_MASTER = 0x0004;
    public static final int COMMAND_PARITY = 0x0040;
    public static final int COMMAND_SERR = 0x0100;
    public static final int COMMAND_INTX_DISABLE = 0x0400;
    public static final int STATUS_INTERRUPT = 0x0008;
    public static final int STATUS_CAP_LIST = 0x0010;

    // 6.7 and 6.8.2, capabilities.
    public static final int CAP_LIST_ID = 0;
    public static final int CAP_LIST_NEXT = 1;
    public static final int CAP_ID_VNDR = 0x09;
    public static final int CAP_ID_MSIX = 0x11;
    public static final int MSIX_FLAGS = 2;
    public static final int MSIX_TABLE = 4;
    public static final int MSIX_PBA = 8;
    public static final int MSIX_CAP_SIZE = 12;
    public static final int MSIX_FLAGS_ENABLE = 0x8000;
    public static final int MSIX_FLAGS_MASKALL = 0x4000;
    public static final int MSIX_ENTRY_SIZE = 16;
    public static final int MSIX_ENTRY_VECTOR_CTRL = 12;
    public static final int MSIX_ENTRY_CTRL_MASKBIT = 1;

    /** Most vectors of MSI (PCI 3.0, 6.8.1.3). */
    public static final int MSI_VECTORS_MAX = 32;

    public static final int MSIX_VECTORS_MAX = 2048;

    // PCI Express Base 4.0, 7.5.3: the capability of a function that is on no link.
    public static final int CAP_ID_EXPRESS = 0x10;
    public static final int EXPRESS_FLAGS = 2;
    public static final int EXPRESS_DEVICE_CAP = 4;
    public static final int EXPRESS_CAP_SIZE = 60;
    public static final int EXPRESS_VERSION_2 = 2;
    public static final int EXPRESS_TYPE_INTEGRATED = 9 << 4;
    public static final int EXPRESS_ROLE_BASED_ERRORS = 1 << 15;

    // PCI Code and ID Assignment: base class, sub-class, programming interface.
    public static final int CLASS_STORAGE_SCSI = 0x010000;
    public static final int CLASS_NETWORK_ETHERNET = 0x020000;
    public static final int CLASS_MEMORY_RAM = 0x050000;
    public static final int CLASS_SYSTEM_IOMMU = 0x080600;
    public static final int CLASS_SYSTEM_OTHER = 0x088000;

    /** Fits none of the defined classes. */
    public static final int CLASS_OTHER = 0xff0000;

    private Pci() {}
}
