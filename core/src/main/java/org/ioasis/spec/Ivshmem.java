// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * Inter-VM shared memory as QEMU defines it (docs/specs/ivshmem-spec), revision 1: identity, BARs
 * and registers. Any thread.
 */
public final class Ivshmem {
    public static final int VENDOR_ID = 0x1af4;
    public static final int DEVICE_ID = 0x1110;
    public static final int REVISION = 1;

    public static final int REGISTER_BAR = 0;
    public static final int MSIX_BAR = 1;
    public static final int MEMORY_BAR = 2;

    // BAR 0, registers of four bytes. The first two are for functions without MSI-X.
    public static final int REGISTERS_SIZE = 256;
    public static final int INTR_MASK = 0;
    public static final int INTR_STATUS = 4;
    public static final int IV_POSITION = 8;
    public static final int DOORBELL = 12;

    // What is written to the doorbell.
    public static final int DOORBELL_VECTOR_MASK = 0xffff;
    public static final int DOORBELL_PEER_SHIFT = 16;

    private Ivshmem() {}
}
