// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * The virtual command registers of a VT-d unit that a hypervisor shows to its guest, by which the
 * guest asks for PASIDs, and the capabilities that say so. Offsets in bytes; registers of 64 bits.
 */
public final class VtdVirtualCommand {
    /** Capability register. */
    public static final int CAP = 0x08;

    public static final long CAP_CACHING_MODE = 1L << 7;

    /** Extended capability register. */
    public static final int ECAP = 0x10;

    public static final long ECAP_SCALABLE_MODE = 1L << 43;
    public static final long ECAP_VIRTUAL_COMMANDS = 1L << 44;

    /** Virtual command register: command in bits 7:0, operand from bit 16 on. */
    public static final int VCMD = 0xe00;

    /** Virtual command response register: in progress 0, status 7:1, result 35:16. */
    public static final int VCRSP = 0xe10;

    /** Virtual command capability register. */
    public static final int VCCAP = 0xe30;

    public static final long VCCAP_PASID = 1;

    public static final long COMMAND_ALLOCATE = 1;
    public static final long COMMAND_FREE = 2;

    public static final int STATUS_OK = 0;

    /** Of an allocation: none is left. */
    public static final int STATUS_NONE_AVAILABLE = 16;

    /** Of a free: no such PASID. */
    public static final int STATUS_INVALID_PASID = 16;

    private static final long IN_PROGRESS = 1;
    private static final int STATUS_SHIFT = 1;
    private static final int STATUS_MASK = 0x7f;
    private static final int RESULT_SHIFT = 16;
    private static final long RESULT_MASK = 0xf_ffff;

    private VtdVirtualCommand() {}

    /** The bits of a command that name a PASID. */
    public static long operand(int pasid) {
        return Integer.toUnsignedLong(pasid) << RESULT_SHIFT;
    }

    public static boolean isInProgress(long response) {
        return (response & IN_PROGRESS) != 0;
    }

    public static int status(long response) {
        return (int) (response >>> STATUS_SHIFT) & STATUS_MASK;
    }

    /** The PASID that was allocated. */
    public static int result(long response) {
        return (int) ((response >>> RESULT_SHIFT) & RESULT_MASK);
    }

    /** A response to a command that has ended. */
    public static long response(int status, int result) {
        return ((long) status << STATUS_SHIFT) | operand(result);
    }
}
