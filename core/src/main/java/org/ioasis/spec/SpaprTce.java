// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * Translation control entries and the hypercalls that write them (Linux on Power Architecture
 * Platform Reference, 14.5.4, "LoPAPR"; numbers of linux asm/hvcall.h). Any thread.
 */
public final class SpaprTce {
    // An entry of 64 bits. Without either of these two it translates nothing, whatever else it is.
    public static final long READ = 1;
    public static final long WRITE = 1L << 1;

    /** RPN: the page that is translated to, of at least 4 KiB. */
    public static final long ADDRESS_MASK = 0xffff_ffff_ffff_f000L;

    /** Most bits of a real address (Power ISA 3.1 III, 6.7.1). */
    public static final int OUTPUT_BITS = 60;

    /** Smallest page. */
    public static final int PAGE_LG2 = 12;

    /** Largest page: 16 GiB. */
    public static final int PAGE_LG2_MAX = 34;

    /** Most levels of a host's table. */
    public static final int LEVELS_MAX = 5;

    /** Windows of a group: the default one and one more. */
    public static final int WINDOWS = 2;

    /** Where the second window begins on the bus. */
    public static final long SECOND_WINDOW = 1L << 59;

    // Hypercalls.
    public static final int H_GET_TCE = 0x1c;
    public static final int H_PUT_TCE = 0x20;
    public static final int H_STUFF_TCE = 0x138;
    public static final int H_PUT_TCE_INDIRECT = 0x13c;

    // What they answer.
    public static final long H_SUCCESS = 0;
    public static final long H_CLOSED = 2;
    public static final long H_HARDWARE = -1;
    public static final long H_FUNCTION = -2;
    public static final long H_PARAMETER = -4;

    /** Entries of the list of H_PUT_TCE_INDIRECT: a page of 4 KiB, aligned to itself. */
    public static final int LIST_MAX = 512;

    public static final int LIST_PAGE = 4096;

    private SpaprTce() {}
}
