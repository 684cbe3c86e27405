// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * Root, context and PASID tables (Intel Virtualization Technology for Directed I/O, 9.1 to 9.6 and
 * 11.4.5), as words of 64 bits. Any thread.
 */
public final class VtdTables {
    /** Address of a table in an entry and in RTADDR, bits 63:12. */
    public static final long ADDRESS = ~0xfffL;

    // RTADDR_REG: translation table mode.
    public static final int RTADDR_MODE_AT = 10;
    public static final long RTADDR_MODE_MASK = 3;
    public static final int MODE_LEGACY = 0;
    public static final int MODE_SCALABLE = 1;

    public static final long PRESENT = 1;

    /** Two words for a bus: the one of both halves, or one for each. */
    public static final int ROOT_LG2 = 4;

    public static final long ROOT_RESERVED = 0xffe;

    /** A context entry of two words, and a scalable one of four. */
    public static final int CONTEXT_LG2 = 4;

    public static final int SCALABLE_CONTEXT_LG2 = 5;

    // Legacy context entry, word 0.
    public static final int CONTEXT_TYPE_AT = 2;
    public static final long CONTEXT_TYPE_MASK = 3;
    public static final int TYPE_UNTRANSLATED = 0;
    public static final int TYPE_ALL = 1;
    public static final int TYPE_PASS_THROUGH = 2;
    public static final long CONTEXT_RESERVED = 0xff0;

    // Word 1.
    public static final long CONTEXT_WIDTH_MASK = 7;
    public static final int CONTEXT_DOMAIN_AT = 8;

    // Scalable context entry, word 0.
    public static final long SCALABLE_PASID_ENABLE = 1L << 3;
    public static final int SCALABLE_SIZE_AT = 9;
    public static final long SCALABLE_SIZE_MASK = 7;

    // Word 1.
    public static final long SCALABLE_RID_PASID = 0xf_ffff;

    /** Entries of the smallest PASID directory, as a power of two; one word each. */
    public static final int DIRECTORY_LG2 = 7;

    public static final int DIRECTORY_ENTRY_LG2 = 3;

    /** Entries of a PASID table, as a power of two; eight words each. */
    public static final int PASIDS_LG2 = 6;

    public static final int PASID_ENTRY_LG2 = 6;
    public static final int PASID_BITS = 20;

    // PASID table entry, word 0.
    public static final int PASID_WIDTH_AT = 2;
    public static final long PASID_WIDTH_MASK = 7;
    public static final int PASID_TYPE_AT = 6;
    public static final long PASID_TYPE_MASK = 7;
    public static final int TYPE_FIRST = 1;
    public static final int TYPE_SECOND = 2;
    public static final int TYPE_NESTED = 3;
    public static final int TYPE_PASS = 4;
    public static final long PASID_SECOND_MARKS = 1L << 9;

    // Word 1.
    public static final long PASID_DOMAIN = 0xffff;

    // Word 2.
    public static final long PASID_SUPERVISOR = 1;
    public static final int PASID_LEVELS_AT = 2;
    public static final long PASID_LEVELS_MASK = 3;
    public static final long PASID_WRITE_PROTECT = 1L << 4;
    public static final long PASID_EXTENDED_ACCESSED = 1L << 7;

    /** AW of 39, 48 and 57 bits. */
    public static final int WIDTH_39 = 1;

    public static final int WIDTH_57 = 3;

    // Fault reasons (7.1.3), those of legacy mode first.
    public static final int REASON_ROOT_ABSENT = 0x1;
    public static final int REASON_CONTEXT_ABSENT = 0x2;
    public static final int REASON_CONTEXT_INVALID = 0x3;
    public static final int REASON_ROOT_UNREADABLE = 0x8;
    public static final int REASON_CONTEXT_UNREADABLE = 0x9;
    public static final int REASON_ROOT_RESERVED = 0xa;
    public static final int REASON_CONTEXT_RESERVED = 0xb;
    public static final int REASON_UNSUPPORTED_REQUEST = 0xd;
    public static final int REASON_SCALABLE_ROOT_UNREADABLE = 0x38;
    public static final int REASON_SCALABLE_ROOT_ABSENT = 0x39;
    public static final int REASON_SCALABLE_CONTEXT_UNREADABLE = 0x40;
    public static final int REASON_SCALABLE_CONTEXT_ABSENT = 0x41;
    public static final int REASON_PASID_NOT_ENABLED = 0x44;
    public static final int REASON_PASID_TOO_LARGE = 0x46;
    public static final int REASON_DIRECTORY_UNREADABLE = 0x50;
    public static final int REASON_DIRECTORY_ABSENT = 0x51;
    public static final int REASON_PASID_UNREADABLE = 0x58;
    public static final int REASON_PASID_ABSENT = 0x59;
    public static final int REASON_PASID_INVALID = 0x5b;
    public static final int REASON_SUPERVISOR = 0x5d;

    private VtdTables() {}
}
