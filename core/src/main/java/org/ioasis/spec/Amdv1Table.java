// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * I/O page tables for host translations (AMD I/O Virtualization Technology (IOMMU) Specification,
 * 2.2.3): entries of 64 bits. Levels count from 1, the table of 4 KiB pages. Any thread.
 */
public final class Amdv1Table {
    /** PR: the entry is present. */
    public static final long PRESENT = 1;

    /** D: written through, when the device table entry enables it. */
    public static final long DIRTY = 1L << 6;

    /**
     * Next level: the level of the table that is pointed to, {@link #NEXT_LEVEL_PAGE} or {@link
     * #NEXT_LEVEL_SIZED}.
     */
    public static final int NEXT_LEVEL_AT = 9;

    public static final int NEXT_LEVEL_MASK = 7;

    /** The entry is a page of its level's default size. */
    public static final int NEXT_LEVEL_PAGE = 0;

    /** The entry is a page whose size stands in the low bits of its address. */
    public static final int NEXT_LEVEL_SIZED = 7;

    /** Address of a table or page, bits 51:12. */
    public static final long ADDRESS_MASK = 0x000f_ffff_ffff_f000L;

    public static final int ADDRESS_AT = 12;

    /** FC: accesses are coherent, whatever they ask for. */
    public static final long FORCE_COHERENT = 1L << 60;

    /** IR and IW: effective is what every level allows. */
    public static final long READ = 1L << 61;

    public static final long WRITE = 1L << 62;

    /** Levels at most; a table of the highest holds no pages (table 15). */
    public static final int LEVELS = 6;

    public static final int PAGE_LG2 = 12;

    public static final int INPUT_BITS = 64;

    public static final int OUTPUT_BITS = 52;

    /** Largest page (table 14). */
    public static final int LARGEST_LG2 = 51;

    /** Pages of 512 GiB are named by the specification, and an erratum keeps software from them. */
    public static final int AVOIDED_LG2 = 39;

    private Amdv1Table() {}
}
