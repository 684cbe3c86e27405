// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * Entries of an SMMUv3's command queue and of its queue of events (Arm SMMUv3, chapters 4 and 7),
 * as two or four little-endian 64-bit words: masks and shifts in those.
 */
public final class Smmuv3Command {
    /** Bytes of a command. */
    public static final int SIZE = 16;

    /** Opcode, in word 0. */
    public static final int OPCODE_MASK = 0xff;

    public static final int PREFETCH_CONFIG = 0x01;
    public static final int CFGI_STE = 0x03;
    public static final int CFGI_ALL = 0x04;
    public static final int CFGI_CD = 0x05;
    public static final int CFGI_CD_ALL = 0x06;
    public static final int TLBI_NH_ALL = 0x10;
    public static final int TLBI_NH_ASID = 0x11;
    public static final int TLBI_NH_VA = 0x12;
    public static final int TLBI_NH_VAA = 0x13;
    public static final int TLBI_S12_VMALL = 0x28;
    public static final int TLBI_S2_IPA = 0x2a;
    public static final int TLBI_NSNH_ALL = 0x30;
    public static final int ATC_INV = 0x40;
    public static final int PRI_RESP = 0x41;
    public static final int RESUME = 0x44;
    public static final int SYNC = 0x46;

    // Word 0 of commands about a stream.
    public static final long ATC_GLOBAL = 1L << 9;
    public static final long SSV = 1L << 11;
    public static final int SSID_SHIFT = 12;
    public static final int SSID_MASK = 0xf_ffff;
    public static final int SID_SHIFT = 32;

    // Word 0 of commands about translations.
    public static final int NUM_SHIFT = 12;
    public static final int SCALE_SHIFT = 20;
    public static final int RANGE_MASK = 0x1f;
    public static final int ASID_SHIFT = 48;

    // Word 1 of commands about translations.
    public static final long LEAF = 1;
    public static final int TG_SHIFT = 10;
    public static final int TG_MASK = 3;
    public static final long ADDRESS_MASK = ~0xfffL;

    // Word 1 of ATC_INV.
    public static final int ATC_SIZE_MASK = 0x3f;

    /** All addresses; sizes above are reserved. */
    public static final int ATC_SIZE_ALL = 52;

    // GERROR and CMDQ_CONS.ERR.
    public static final int ERROR_NONE = 0;
    public static final int ERROR_ILLEGAL = 1;
    public static final int ERROR_ABORT = 2;
    public static final int ERROR_ATC_INV = 3;

    // Events of four words.
    public static final int EVENT_SIZE = 32;
    public static final int EVENT_ID_MASK = 0xff;
    public static final int C_BAD_STE = 0x04;
    public static final int F_STREAM_DISABLED = 0x06;
    public static final int C_BAD_SUBSTREAMID = 0x08;
    public static final int C_BAD_CD = 0x0a;
    public static final int F_TRANSLATION = 0x10;
    public static final int F_ADDR_SIZE = 0x11;
    public static final int F_ACCESS = 0x12;
    public static final int F_PERMISSION = 0x13;

    // Word 1 of an event.
    public static final long EVENT_STALL = 1L << 31;
    public static final long EVENT_READ = 1L << 35;
    public static final long EVENT_S2 = 1L << 39;
    public static final int EVENT_CLASS_SHIFT = 40;
    public static final int EVENT_CLASS_IN = 2;

    private Smmuv3Command() {}
}
