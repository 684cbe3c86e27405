// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * Registers of Arm's interrupt controllers to which devices write their interrupts, by their offset
 * in the frame that a machine's tables name. Any thread.
 */
public final class Gic {
    /** MSI_SETSPI_NS of a GICv2m frame (Server Base System Architecture, DEN 0029, appendix E). */
    public static final long MSI_SETSPI_NS = 0x40;

    /**
     * GITS_TRANSLATER of an ITS (GIC architecture, IHI 0069, 12.19): in the second of its two
     * frames, of 64 KiB each.
     */
    public static final long GITS_TRANSLATER = 0x1_0040;

    private Gic() {}
}
