// SPDX-License-Identifier: Apache-2.0
package org.ioasis.live;

/** Numbers as people write them: unsigned, of 64 bits, decimal or with 0x. Any thread. */
public final class Unsigned {
    private Unsigned() {}

    /**
     * Reads a number of 64 bits.
     *
     * @throws NumberFormatException it is none; the message is for whoever wrote it
     */
    public static long parse(String text) {
        return parse(text, -1L);
    }

    /**
     * Reads a number up to {@code max}, unsigned.
     *
     * @throws NumberFormatException it is none, or larger; the message is for whoever wrote it
     */
    public static long parse(String text, long max) {
        try {
            long number =
                    text.startsWith("0x")
                            ? Long.parseUnsignedLong(text.substring(2), 16)
                            : Long.parseUnsignedLong(text);
            if (Long.compareUnsigned(number, max) <= 0) {
                return number;
            }
        } catch (NumberFormatException e) {
            // As a number that is too large: one message for both.
        }
        throw new NumberFormatException(
                "\"%s\" is not a number up to %s".formatted(text, Long.toUnsignedString(max)));
    }
}
