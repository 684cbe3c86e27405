// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * Stream table, context descriptors and their registers (Arm System Memory Management Unit
 * Architecture Specification, version 3, 5 and 6.3.24), as words of 64 bits. Any thread.
 */
public final class SmmuTables {
    // SMMU_STRTAB_BASE and SMMU_STRTAB_BASE_CFG.
    public static final long BASE_ADDRESS = 0x000f_ffff_ffff_ffc0L;
    public static final long CFG_LOG2SIZE = 0x3f;
    public static final int CFG_SPLIT_AT = 6;
    public static final long CFG_SPLIT_MASK = 0x1f;
    public static final int CFG_FORMAT_AT = 16;
    public static final long CFG_FORMAT_MASK = 3;
    public static final int FORMAT_LINEAR = 0;
    public static final int FORMAT_TWO_LEVEL = 1;

    /** The splits that there are: entries of a second level, as a power of two. */
    public static final int SPLIT_4K = 6;

    public static final int SPLIT_16K = 8;
    public static final int SPLIT_64K = 10;

    public static final int STREAM_ID_BITS = 32;
    public static final int SUBSTREAM_ID_BITS = 20;

    // First level of the stream table: one word.
    public static final long L1STD_SPAN = 0x1f;
    public static final long L1STD_L2PTR = 0x000f_ffff_ffff_ffc0L;
    public static final int L1STD_LG2 = 3;

    /** Bytes of a stream table entry and of a context descriptor, as a power of two. */
    public static final int STE_LG2 = 6;

    public static final int CD_LG2 = 6;

    // Stream table entry, word 0.
    public static final long STE_VALID = 1;
    public static final int STE_CONFIG_AT = 1;
    public static final long STE_CONFIG_MASK = 7;
    public static final int CONFIG_ABORT = 0;
    public static final int CONFIG_BYPASS = 4;

    /** Bits of a config from {@link #CONFIG_BYPASS} on. */
    public static final int CONFIG_STAGE1 = 1;

    public static final int CONFIG_STAGE2 = 2;
    public static final int STE_S1FMT_AT = 4;
    public static final long STE_S1FMT_MASK = 3;
    public static final int S1FMT_LINEAR = 0;
    public static final int S1FMT_4K = 1;
    public static final int S1FMT_64K = 2;
    public static final long STE_S1CONTEXTPTR = 0x000f_ffff_ffff_ffc0L;
    public static final int STE_S1CDMAX_AT = 59;
    public static final long STE_S1CDMAX_MASK = 0x1f;

    // Word 1.
    public static final long STE_S1DSS_MASK = 3;
    public static final int S1DSS_TERMINATE = 0;
    public static final int S1DSS_BYPASS = 1;
    public static final int S1DSS_SUBSTREAM0 = 2;

    /** S1DSS, S1CIR, S1COR and S1CSH. */
    public static final long STE_S1_ATTRIBUTES = 0xff;

    public static final long STE_S1STALLD = 1L << 27;
    public static final int STE_EATS_AT = 28;
    public static final long STE_EATS_MASK = 3;
    public static final int EATS_FULL_ATS = 1;

    // Word 2.
    public static final long STE_S2VMID = 0xffff;
    public static final int STE_VTCR_AT = 32;
    public static final long STE_S2AA64 = 1L << 51;
    public static final long STE_S2ENDI = 1L << 52;
    public static final long STE_S2AFFD = 1L << 53;
    public static final long STE_S2HD = 1L << 55;
    public static final long STE_S2HA = 1L << 56;

    // VTCR, from its own bit 0 on.
    public static final long VTCR_T0SZ = 0x3f;
    public static final int VTCR_SL0_AT = 6;
    public static final int VTCR_TG_AT = 14;
    public static final int VTCR_PS_AT = 16;
    public static final long VTCR_PS_MASK = 7;

    // Word 3.
    public static final long STE_S2TTB = 0x000f_ffff_ffff_fff0L;

    // First level of context descriptors: one word.
    public static final long L1CD_VALID = 1;
    public static final long L1CD_L2PTR = 0x000f_ffff_ffff_f000L;
    public static final int L1CD_LG2 = 3;

    /** Descriptors of a second level of 4 KiB and of 64 KiB, as a power of two. */
    public static final int CDS_4K = 6;

    public static final int CDS_64K = 10;

    // Context descriptor, word 0.
    public static final long CD_T0SZ = 0x3f;
    public static final int CD_TG0_AT = 6;
    public static final long CD_EPD0 = 1L << 14;
    public static final long CD_ENDI = 1L << 15;
    public static final long CD_EPD1 = 1L << 30;
    public static final long CD_VALID = 1L << 31;
    public static final int CD_IPS_AT = 32;
    public static final long CD_IPS_MASK = 7;
    public static final long CD_AFFD = 1L << 35;
    public static final long CD_TBI0 = 1L << 38;
    public static final long CD_AA64 = 1L << 41;
    public static final long CD_HD = 1L << 42;
    public static final long CD_HA = 1L << 43;
    public static final int CD_ASID_AT = 48;

    // Word 1.
    public static final long CD_TTB0 = 0x000f_ffff_ffff_fff0L;

    /** TG0 and TG: granules by their two bits. */
    public static final long TG_MASK = 3;

    public static final int TG_4K = 0;
    public static final int TG_64K = 1;
    public static final int TG_16K = 2;

    /** TxSZ of 64-bit tables with outputs of 48 bits. */
    public static final int TSZ_MIN = 16;

    public static final int TSZ_MAX = 39;

    private SmmuTables() {}
}
