// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.ioasis.spec.VirtioIommu.*;

import java.util.Arrays;
import java.util.HexFormat;

/**
 * What a device made of a request: the used length and the whole writable part, which held {@link
 * #UNTOUCHED} before. Immutable; any thread.
 *
 * @param used used length, or {@link #BROKEN}
 */
record Answer(int used, String hex) {
    /** Fills what the device must not write. */
    static final byte UNTOUCHED = (byte) 0xee;

    /** In the place of a used length: the device asks for a reset and answers no more. */
    static final int BROKEN = -1;

    static final Answer NEEDS_RESET = new Answer(BROKEN, "");

    Answer(int used, byte[] written) {
        this(used, HexFormat.of().formatHex(written));
    }

    /** The buffer comes back as it was. */
    static Answer unwritten(Request request) {
        return new Answer(0, untouched(request.writable()));
    }

    private static byte[] untouched(int size) {
        byte[] bytes = new byte[size];
        Arrays.fill(bytes, UNTOUCHED);
        return bytes;
    }

    /** A tail with this status, {@code zeroes} bytes of 0 before it, and nothing else. */
    static Answer tail(Request request, int status, int zeroes) {
        byte[] bytes = untouched(Math.max(request.writable(), zeroes + TAIL_SIZE));
        Arrays.fill(bytes, 0, zeroes + TAIL_SIZE, (byte) 0);
        bytes[zeroes] = (byte) status;
        return new Answer(zeroes + TAIL_SIZE, bytes);
    }

    boolean isBroken() {
        return used == BROKEN;
    }

    /** The whole writable part. */
    byte[] bytes() {
        return HexFormat.of().parseHex(hex);
    }

    /** The status of an answer that ends in a tail, or -1. */
    int status() {
        return used < TAIL_SIZE ? -1 : bytes()[used - TAIL_SIZE] & 0xff;
    }

    boolean isOk() {
        return status() == S_OK;
    }

    private static String name(int status) {
        return switch (status) {
            case S_OK -> "OK";
            case S_IOERR -> "IOERR";
            case S_UNSUPP -> "UNSUPP";
            case S_DEVERR -> "DEVERR";
            case S_INVAL -> "INVAL";
            case S_RANGE -> "RANGE";
            case S_NOENT -> "NOENT";
            case S_FAULT -> "FAULT";
            case S_NOMEM -> "NOMEM";
            default -> "status " + status;
        };
    }

    /** Short, for the table; {@link #hex} has the bytes. */
    @Override
    public String toString() {
        if (isBroken()) {
            return "needs reset";
        }
        if (used == 0) {
            return "unwritten";
        }
        return used == TAIL_SIZE ? name(status()) : name(status()) + ", " + used + " bytes";
    }
}
