// SPDX-License-Identifier: Apache-2.0
package org.ioasis.parquet;

import java.io.IOException;

/**
 * Looks through the encoded values of a page before the library does, which takes the counts in
 * them for granted and reserves memory for as many: a file may come from anybody. Any thread; no
 * state.
 */
final class PageCheck {
    private static final int LG2_GROUP = 3;
    private static final int VARINT_BYTES_MAX = 5;
    private static final int DELTA_BLOCK_MAX = 1 << 12;

    private final byte[] bytes;
    private final int end;
    private int at;

    private PageCheck(byte[] bytes, int from, int end) {
        this.bytes = bytes;
        at = from;
        this.end = end;
    }

    /**
     * Runs of a number each and groups of eight, {@code width} bits each, at most {@code values}.
     */
    static void hybrid(byte[] bytes, int from, int end, int width, int values) throws IOException {
        if (width < 0 || width > Integer.SIZE) {
            throw new IOException("a page with numbers of %d bits".formatted(width));
        }
        PageCheck check = new PageCheck(bytes, from, end);
        long count = 0;
        while (count < values && check.at < end) {
            int head = check.varint();
            int length = head >>> 1;
            if ((head & 1) == 0) {
                check.skip((width + Byte.SIZE - 1) / Byte.SIZE);
                count += length;
            } else {
                // The last group may be there in part.
                check.at = (int) Math.min(end, check.at + (long) length * width);
                count += (long) length << LG2_GROUP;
                if (count >= (long) values + Byte.SIZE) {
                    throw new IOException("a page with more numbers than values");
                }
            }
        }
    }

    /** What precedes numbers that are kept as differences. */
    static void differences(byte[] bytes, int from, int end, int values) throws IOException {
        PageCheck check = new PageCheck(bytes, from, end);
        int block = check.varint();
        int parts = check.varint();
        int count = check.varint();
        boolean isBlock = block > 0 && block <= DELTA_BLOCK_MAX && block % Byte.SIZE == 0;
        if (!isBlock || parts < 1 || parts > block / Byte.SIZE || block % parts != 0) {
            throw new IOException("a page in blocks of %d numbers in %d".formatted(block, parts));
        }
        if (count < 0 || count > values) {
            throw new IOException("a page with more numbers than values");
        }
    }

    private int varint() throws IOException {
        int value = 0;
        for (int i = 0; i < VARINT_BYTES_MAX; i++) {
            if (at >= end) {
                throw new IOException("a page that ends in a number");
            }
            int one = bytes[at++];
            value |= (one & 0x7f) << (7 * i);
            if (one >= 0) {
                return value;
            }
        }
        throw new IOException("a page with a number of more than 32 bits");
    }

    private void skip(int count) throws IOException {
        at += count;
        if (at > end) {
            throw new IOException("a page that ends in a run");
        }
    }
}
