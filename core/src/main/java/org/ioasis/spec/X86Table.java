// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * The page table of x86-64, which is also the first stage of VT-d (Intel Virtualization Technology
 * for Directed I/O, 9.7) and the guest translation of AMD (2.2.6): entries of 64 bits. Any thread.
 */
public final class X86Table {
    public static final long PRESENT = 1;
    public static final long WRITE = 1L << 1;
    public static final long USER = 1L << 2;
    public static final long ACCESSED = 1L << 5;
    public static final long DIRTY = 1L << 6;

    /** PS: a page where a table could be. Reserved above {@link #LARGEST_PAGE_LEVEL}. */
    public static final long PAGE_SIZE = 1L << 7;

    /** G: the same in every address space. Only of a page. */
    public static final long GLOBAL = 1L << 8;

    /** EA of VT-d, where a PASID entry enables it. */
    public static final long EXTENDED_ACCESSED = 1L << 10;

    /** PAT of a page of 2 MiB or 1 GiB; it lies where the address has its lowest bit. */
    public static final long LARGE_PAT = 1L << 12;

    /** Address of a table or page, bits 51:12. */
    public static final long ADDRESS_MASK = 0x000f_ffff_ffff_f000L;

    /** XD: no execution. */
    public static final long EXECUTE_DISABLE = 1L << 63;

    public static final int PAGE_LG2 = 12;

    /** Tables of pages of 1 GiB, where tables of 4 KiB pages are 0. */
    public static final int LARGEST_PAGE_LEVEL = 2;

    public static final int OUTPUT_BITS = 52;

    private X86Table() {}
}
