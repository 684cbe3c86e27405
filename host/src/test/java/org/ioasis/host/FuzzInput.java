// SPDX-License-Identifier: Apache-2.0
package org.ioasis.host;

/** Choices that a fuzzer makes, one after the other; zeros when it has none left. One thread. */
public final class FuzzInput {
    private final byte[] bytes;
    private int at;

    public FuzzInput(byte[] bytes) {
        this.bytes = bytes;
    }

    public boolean isOver() {
        return at >= bytes.length;
    }

    /**
     * @param bound up to 256
     */
    public int next(int bound) {
        return isOver() ? 0 : (bytes[at++] & 0xff) % bound;
    }

    /** Eight bytes, the lowest first: whoever looks at an input finds its words there. */
    public long word() {
        long word = 0;
        for (int i = 0; i < Long.SIZE; i += Byte.SIZE) {
            word |= (long) next(256) << i;
        }
        return word;
    }
}
