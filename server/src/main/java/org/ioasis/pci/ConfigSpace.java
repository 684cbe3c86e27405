// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

import org.ioasis.spec.Pci;

/**
 * A function's configuration space, of 256 bytes or 4096, with a mask of writable bits: values
 * only, no behaviour. VMMs that emulate BARs and MSI-X themselves still forward every write, so
 * what is not writable must not change. Loop thread.
 */
final class ConfigSpace {
    private final byte[] initial;
    private final byte[] writable;
    private final byte[] current;

    ConfigSpace() {
        this(Pci.CONFIG_SPACE_SIZE);
    }

    ConfigSpace(int size) {
        initial = new byte[size];
        writable = new byte[size];
        current = new byte[size];
    }

    /** Sets the value after reset, and the value now. */
    void define(int offset, int size, int value) {
        put(initial, offset, size, value);
        put(current, offset, size, value);
    }

    /** Makes the bits of {@code mask} writable. */
    void allow(int offset, int size, int mask) {
        put(writable, offset, size, mask);
    }

    /** Defines a 32-bit memory BAR of {@code size} bytes, a power of two of at least 16. */
    void defineBar(int bar, int size) {
        if (size < 16 || Integer.bitCount(size) != 1) {
            throw new IllegalArgumentException("BAR " + bar + " of " + size + " bytes");
        }
        // PCI 3.0, 6.2.5.1: the bits below the size are hardwired to 0, which is how it is found
        // out.
        allow(Pci.BASE_ADDRESS_0 + 4 * bar, 4, -size);
    }

    int read(int offset, int size) {
        int value = 0;
        for (int i = size - 1; i >= 0; i--) {
            value = (value << 8) | (current[offset + i] & 0xff);
        }
        return value;
    }

    void write(int offset, int size, int value) {
        for (int i = 0; i < size; i++) {
            int mask = writable[offset + i];
            int keep = current[offset + i] & ~mask;
            current[offset + i] = (byte) (keep | ((value >>> (8 * i)) & mask));
        }
    }

    void reset() {
        System.arraycopy(initial, 0, current, 0, current.length);
    }

    private static void put(byte[] bytes, int offset, int size, int value) {
        for (int i = 0; i < size; i++) {
            bytes[offset + i] = (byte) (value >>> (8 * i));
        }
    }
}
