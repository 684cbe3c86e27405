// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * Registers of the queues of commands that NVIDIA's Tegra241 has beside an SMMUv3, as a guest sees
 * them: offsets in the page of a virtual interface, 32 bits each, and their bits.
 */
public final class Tegra241 {
    /** Bytes of the page. */
    public static final long PAGE_SIZE = 0x1_0000;

    /** From the registers of one queue to those of the next. */
    public static final long QUEUE_STRIDE = 0x80;

    public static final long CONS = 0x0;
    public static final long PROD = 0x4;
    public static final long CONFIG = 0x8;
    public static final long STATUS = 0xc;
    public static final long GERROR = 0x10;
    public static final long GERRORN = 0x14;

    /** In CONFIG: the queue is used; in STATUS: it is. */
    public static final int ENABLED = 1;

    /** In GERROR and GERRORN, where they differ: a command was not carried out. */
    public static final int COMMAND_ERROR = 1;

    /** In CONS: why. */
    public static final int CONS_ERROR_AT = 24;

    /** An event: a bit for each queue with an error. */
    public static final int EVENT_SIZE = 16;

    private Tegra241() {}
}
