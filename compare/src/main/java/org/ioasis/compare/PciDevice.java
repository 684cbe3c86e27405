// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.io.IOException;
import org.ioasis.spec.Pci;

/**
 * Configuration space of one PCI function of a {@link QtestVmm}, by the ports of a PC (PCI Local
 * Bus Specification 3.0, 3.2.2.3.2). Does what firmware does: gives its memory BARs addresses and
 * switches it on. One thread.
 */
final class PciDevice {
    private static final int CONFIG_ADDRESS = 0xcf8;
    private static final int CONFIG_DATA = 0xcfc;
    private static final int CONFIG_ENABLE = 1 << 31;

    /** BARs, 6.2.5.1. */
    private static final int BAR_IO = 1;

    private static final int BAR_64 = 4;
    private static final int BAR_FLAGS = 0xf;

    private final QtestClient qtest;
    private final int bdf;
    private final long[] bars = new long[Pci.BAR_COUNT];

    PciDevice(QtestClient qtest, int bdf) {
        this.qtest = qtest;
        this.bdf = bdf;
    }

    int config(int offset) throws IOException {
        qtest.out32(CONFIG_ADDRESS, CONFIG_ENABLE | (bdf << 8) | (offset & ~3));
        return qtest.in32(CONFIG_DATA) >>> (8 * (offset & 3));
    }

    void config(int offset, int value) throws IOException {
        qtest.out32(CONFIG_ADDRESS, CONFIG_ENABLE | (bdf << 8) | offset);
        qtest.out32(CONFIG_DATA, value);
    }

    /** Gives each memory BAR an address from {@code base} on, below 4 GiB; no I/O ports. */
    void enable(int base) throws IOException {
        config(Pci.COMMAND, 0);
        int next = base;
        for (int i = 0; i < Pci.BAR_COUNT; i++) {
            int register = Pci.BASE_ADDRESS_0 + 4 * i;
            config(register, -1);
            int mask = config(register);
            if (mask == 0 || (mask & BAR_IO) != 0) {
                continue;
            }
            int size = -(mask & ~BAR_FLAGS);
            next = (next + size - 1) & -size;
            config(register, next);
            bars[i] = Integer.toUnsignedLong(next);
            next += size;
            if ((mask & BAR_64) != 0) {
                i++;
                config(Pci.BASE_ADDRESS_0 + 4 * i, 0);
            }
        }
        config(Pci.COMMAND, Pci.COMMAND_MEMORY | Pci.COMMAND_MASTER);
    }

    /** False after a reset of the machine until {@link #enable}. */
    boolean isEnabled() throws IOException {
        return (config(Pci.COMMAND) & Pci.COMMAND_MEMORY) != 0;
    }

    /** Physical address of a BAR. */
    long bar(int index) {
        return bars[index];
    }
}
