// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * Descriptors of the 64-bit translation tables of ARM (Arm Architecture Reference Manual for
 * A-profile, D8.3), as SMMUv3 walks them. Any thread.
 */
public final class ArmTable {
    public static final long VALID = 1;

    /** Bits 1:0 of a table, and of a page in the lowest table; without bit 1 it is a block. */
    public static final long TABLE_OR_PAGE = 3;

    public static final long TYPE_MASK = 3;

    /** Output address, bits 47 and below, as far as the granule leaves. */
    public static final int ADDRESS_BITS = 48;

    /** AttrIndx 4:2 of stage 1: which byte of MAIR. */
    public static final long ATTR_INDEX_WRITE_BACK = 1L << 2;

    /** MemAttr 5:2 of stage 2. */
    public static final long MEM_ATTR_WRITE_BACK = 0xfL << 2;

    public static final long MEM_ATTR_MASK = 0xfL << 2;

    /** AP[1] of stage 1: unprivileged accesses. */
    public static final long AP_UNPRIVILEGED = 1L << 6;

    /** AP[2] of stage 1: read only. */
    public static final long AP_READ_ONLY = 1L << 7;

    /** S2AP[0] and S2AP[1]. */
    public static final long S2AP_READ = 1L << 6;

    public static final long S2AP_WRITE = 1L << 7;

    /** SH 9:8. */
    public static final long SHARE_MASK = 3L << 8;

    public static final long SHARE_INNER = 3L << 8;

    public static final long ACCESSED = 1L << 10;

    /** nG: of one address space only. */
    public static final long NOT_GLOBAL = 1L << 11;

    /** DBM: hardware may take away the read-only bit, which then says "clean". */
    public static final long DIRTY_BIT_MODIFIER = 1L << 51;

    public static final long CONTIGUOUS = 1L << 52;

    public static final long PRIVILEGED_EXECUTE_NEVER = 1L << 53;
    public static final long EXECUTE_NEVER = 1L << 54;

    // What a table descriptor of stage 1 takes away below it.
    public static final long XN_TABLE = 1L << 60;
    public static final long AP_TABLE_NO_UNPRIVILEGED = 1L << 61;
    public static final long AP_TABLE_READ_ONLY = 1L << 62;

    // TCR_EL1 (D19.2), what of it a walk of stage 1 goes by; each half has its own.
    public static final long TCR_T0SZ = 0x3f;
    public static final long TCR_EPD0 = 1L << 7;
    public static final int TCR_TG0_AT = 14;
    public static final int TCR_T1SZ_AT = 16;
    public static final long TCR_EPD1 = 1L << 23;
    public static final int TCR_TG1_AT = 30;
    public static final int TCR_IPS_AT = 32;
    public static final long TCR_IPS_MASK = 7;
    public static final long TCR_TBI0 = 1L << 37;
    public static final long TCR_TBI1 = 1L << 38;
    public static final long TCR_HA = 1L << 39;
    public static final long TCR_HD = 1L << 40;

    /**
     * The same, with what says how tables are cached (IRGN, ORGN, SH), which space is whose (A1)
     * and how wide an ASID is (AS).
     */
    public static final long TCR_KNOWN = 0x01f7_ffff_ffbfL;

    /** TG1: granules by their two bits, which are not those of TG0. */
    public static final int TG1_16K = 1;

    public static final int TG1_4K = 2;
    public static final int TG1_64K = 3;

    /** An address of this bit is one of the upper half, whatever its top byte is. */
    public static final int HALF_BIT = 55;

    /** Tables side by side that stage 2 may begin with, as a power of two. */
    public static final int CONCATENATED_LG2_MAX = 4;

    private ArmTable() {}
}
