// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

/**
 * What a device does to memory. Permissions are exact: a write needs WRITE, a read needs READ. Any
 * thread.
 */
public enum Access {
    READ(1),
    WRITE(2);

    private final int bit;

    Access(int bit) {
        this.bit = bit;
    }

    /**
     * A bit of its own. To test permissions with it takes no branch, and which of the two a device
     * does next is what a processor cannot predict.
     */
    public int bit() {
        return bit;
    }
}
