// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * Second-stage paging entries (Intel Virtualization Technology for Directed I/O, 9.8): entries of
 * 64 bits, present if they can be read or written. Any thread.
 */
public final class VtdSecondStage {
    public static final long READ = 1;
    public static final long WRITE = 1L << 1;

    /** PS: a page where a table could be. Reserved above {@link #LARGEST_PAGE_LEVEL}. */
    public static final long PAGE_SIZE = 1L << 7;

    public static final long ACCESSED = 1L << 8;
    public static final long DIRTY = 1L << 9;

    /** SNP: accesses snoop caches, whatever they ask for. */
    public static final long SNOOP = 1L << 11;

    /** Address of a table or page, bits 51:12. */
    public static final long ADDRESS_MASK = 0x000f_ffff_ffff_f000L;

    public static final int PAGE_LG2 = 12;

    /** Tables of pages of 1 GiB, where tables of 4 KiB pages are 0. */
    public static final int LARGEST_PAGE_LEVEL = 2;

    public static final int OUTPUT_BITS = 52;

    private VtdSecondStage() {}
}
