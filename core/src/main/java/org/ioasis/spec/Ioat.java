// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * Intel's I/OAT DMA engine of version 3.2: registers of the function and of a channel, and the
 * descriptor of a copy. There is no public specification of it all; names and places are those that
 * Linux's driver knows (drivers/dma/ioat: registers.h, hw.h). Any thread.
 */
public final class Ioat {
    public static final int VENDOR_ID = 0x8086;

    /** Of Skylake's: the one that Linux's driver and its tests of VFIO both know. */
    public static final int DEVICE_ID = 0x2021;

    /** The BAR with the registers. */
    public static final int REGISTER_BAR = 0;

    /** In configuration space: errors of the channel that reached the system. */
    public static final int CHANERR_INT = 0x180;

    // Registers of the function.
    public static final int CHANCNT = 0x00;
    public static final int XFERCAP = 0x01;
    public static final int GENCTRL = 0x02;
    public static final int INTRCTRL = 0x03;
    public static final int ATTNSTATUS = 0x04;
    public static final int VERSION = 0x08;

    public static final int INTRCTRL_MASTER_INT_EN = 0x01;
    public static final int INTRCTRL_MSIX_VECTOR_CONTROL = 0x08;
    public static final int VERSION_3_2 = 0x32;

    /** Each channel has as many bytes of registers, the first behind those of the function. */
    public static final int CHANNEL_SIZE = 0x80;

    // Registers of a channel.
    public static final int CHANCTRL = 0x00;
    public static final int COMPATIBILITY = 0x02;
    public static final int CHANCMD = 0x04;
    public static final int DMACOUNT = 0x06;
    public static final int CHANSTS = 0x08;
    public static final int CHAINADDR = 0x10;
    public static final int CHANCMP = 0x18;
    public static final int CHANERR = 0x28;
    public static final int CHANERR_MASK = 0x2c;

    public static final int CHANCTRL_INT_REARM = 0x0001;
    public static final int CHANCTRL_ERR_COMPLETION_EN = 0x0004;
    public static final int CHANCTRL_ERR_INT_EN = 0x0010;
    public static final int COMPATIBILITY_V2 = 0x0002;

    public static final int CHANCMD_SUSPEND = 0x04;
    public static final int CHANCMD_RESUME = 0x10;
    public static final int CHANCMD_RESET = 0x20;

    // States, in the low bits of CHANSTS; above them is the address of the last descriptor done.
    public static final int STATUS_MASK = 0x7;
    public static final int STATUS_ACTIVE = 0;
    public static final int STATUS_DONE = 1;
    public static final int STATUS_SUSPENDED = 2;
    public static final int STATUS_HALTED = 3;

    // Errors, in CHANERR.
    public static final int ERROR_SOURCE_ADDRESS = 0x0001;
    public static final int ERROR_DESTINATION_ADDRESS = 0x0002;
    public static final int ERROR_NEXT_ADDRESS = 0x0004;
    public static final int ERROR_ALIGNMENT = 0x0008;
    public static final int ERROR_READ_DATA = 0x0100;
    public static final int ERROR_WRITE_DATA = 0x0200;
    public static final int ERROR_CONTROL = 0x0400;
    public static final int ERROR_LENGTH = 0x0800;
    public static final int ERROR_COMPLETION_ADDRESS = 0x1000;

    // A descriptor.
    public static final int DESCRIPTOR_SIZE = 64;
    public static final int DESCRIPTOR_LENGTH = 0;
    public static final int DESCRIPTOR_CONTROL = 4;
    public static final int DESCRIPTOR_SOURCE = 8;
    public static final int DESCRIPTOR_DESTINATION = 16;
    public static final int DESCRIPTOR_NEXT = 24;

    public static final int CONTROL_INTERRUPT = 1;
    public static final int CONTROL_COMPLETION = 1 << 3;

    /** Moves nothing: for its interrupt or its completion only. */
    public static final int CONTROL_NULL = 1 << 5;

    public static final int CONTROL_OPERATION_SHIFT = 24;
    public static final int OPERATION_COPY = 0;

    private Ioat() {}
}
