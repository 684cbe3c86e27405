// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * Device table and guest CR3 table (AMD I/O Virtualization Technology (IOMMU) Specification, 2.2.2
 * and 2.2.6), as words of 64 bits. Any thread.
 */
public final class AmdDevice {
    // Device Table Base Address Register: how many 4 KiB less one, and where.
    public static final long BASE_SIZE = 0x1ff;
    public static final long BASE_ADDRESS = 0x000f_ffff_ffff_f000L;
    public static final int BASE_UNIT_LG2 = 12;

    /** Bytes of an entry: four words. */
    public static final int ENTRY_LG2 = 5;

    // Word 0.
    public static final long VALID = 1;
    public static final long TRANSLATION_VALID = 1L << 1;

    /** HAD: what hardware marks in the host's table; 3 with dirty bits. */
    public static final int MARKS_AT = 7;

    public static final long MARKS_MASK = 3;
    public static final int MODE_AT = 9;
    public static final long MODE_MASK = 7;
    public static final int MODE_RESERVED = 7;
    public static final long ROOT = 0x000f_ffff_ffff_f000L;
    public static final long PAGE_REQUESTS = 1L << 52;
    public static final long GUEST_WITHOUT_PASID = 1L << 54;
    public static final long GUEST_VALID = 1L << 55;
    public static final int GLX_AT = 56;
    public static final long GLX_MASK = 3;
    public static final int GLX_RESERVED = 3;
    public static final int GCR3_LOW_AT = 58;
    public static final long GCR3_LOW_MASK = 7;
    public static final long READ = 1L << 61;
    public static final long WRITE = 1L << 62;

    // Word 1.
    public static final long DOMAIN = 0xffff;
    public static final int GCR3_MIDDLE_AT = 16;
    public static final long GCR3_MIDDLE_MASK = 0xffff;
    public static final int GCR3_HIGH_AT = 43;
    public static final long GCR3_HIGH_MASK = 0x1f_ffff;

    // Where the parts of the address lie in it.
    public static final int GCR3_LOW_TO = 12;
    public static final int GCR3_MIDDLE_TO = 15;
    public static final int GCR3_HIGH_TO = 31;

    // Word 2.
    public static final int GUEST_LEVELS_AT = 54;
    public static final long GUEST_LEVELS_MASK = 3;
    public static final int GUEST_LEVELS_4 = 0;
    public static final int GUEST_LEVELS_5 = 1;

    // Entry of a guest CR3 table, of any level.
    public static final long GCR3_VALID = 1;
    public static final long GCR3_ADDRESS = 0x000f_ffff_ffff_f000L;

    /** Bits of a PASID that one level takes. */
    public static final int GCR3_INDEX_LG2 = 9;

    public static final int GCR3_ENTRY_LG2 = 3;

    private AmdDevice() {}
}
