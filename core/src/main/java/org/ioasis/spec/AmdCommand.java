// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * Entries of an AMD IOMMU's command buffer (AMD IOMMU specification, 2.4), as two little-endian
 * 64-bit words: masks and shifts in those.
 */
public final class AmdCommand {
    /** Bytes of a command. */
    public static final int SIZE = 16;

    /** Opcode, in word 0. */
    public static final int OPCODE_SHIFT = 60;

    public static final int COMPLETION_WAIT = 1;
    public static final int INV_DTE = 2;
    public static final int INV_PAGES = 3;
    public static final int INV_IOTLB = 4;
    public static final int INV_IRT = 5;
    public static final int COMPLETE_PPR = 7;
    public static final int INV_ALL = 8;

    // INV_PAGES, word 0.
    public static final int PAGES_PASID_MASK = 0xf_ffff;
    public static final int PAGES_DOMAIN_SHIFT = 32;
    public static final int DOMAIN_MASK = 0xffff;

    // INV_IOTLB, word 0: a PASID in three pieces around others.
    public static final int IOTLB_DEVICE_MASK = 0xffff;
    public static final int IOTLB_PASID_LOW_SHIFT = 16;
    public static final int IOTLB_PASID_LOW_MASK = 0xff;
    public static final int IOTLB_PASID_HIGH_SHIFT = 48;
    public static final int IOTLB_PASID_HIGH_MASK = 0xfff;

    // Word 1 of both.
    public static final long SIZE_BIT = 1;
    public static final long PDE = 1L << 1;
    public static final long GUEST = 1L << 2;
    public static final long ADDRESS_MASK = ~0xfffL;

    private AmdCommand() {}
}
