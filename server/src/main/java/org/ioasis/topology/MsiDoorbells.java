// SPDX-License-Identifier: Apache-2.0
package org.ioasis.topology;

import static org.ioasis.spec.Devicetree.*;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.spec.Gic;

/**
 * Finds in a machine's device tree where devices write their interrupts: the frame of an Arm GICv2m
 * or the ITS of a GICv3. Reads a blob that a VMM made and trusts nothing in it. One thread.
 */
public final class MsiDoorbells {
    /** The largest blob that is read; QEMU's have 1 MiB, most of it padding. */
    public static final int SIZE_MAX = 16 << 20;

    private static final int DEPTH_MAX = 64;
    private static final int DEFAULT_ADDRESS_CELLS = 2;
    private static final int DEFAULT_SIZE_CELLS = 1;

    /** No register is at this offset. */
    private static final long NONE = -1;

    /**
     * One of them.
     *
     * @param first guest-physical
     * @param last inclusive
     * @param register that devices write to, in that range
     */
    public record Doorbell(long first, long last, long register) {
        @Override
        public String toString() {
            return "0x%x-0x%x".formatted(first, last);
        }
    }

    private final ByteBuffer blob;
    private final int end;
    private final int strings;
    private final List<Doorbell> found = new ArrayList<>();
    private int at;

    private MsiDoorbells(byte[] bytes) {
        require(bytes.length >= HEADER_SIZE && bytes.length <= SIZE_MAX, "its size");
        blob = ByteBuffer.wrap(bytes);
        require(blob.getInt(0) == MAGIC, "no magic number of a device tree blob");
        at = blob.getInt(OFF_DT_STRUCT);
        long structEnd = at + Integer.toUnsignedLong(blob.getInt(SIZE_DT_STRUCT));
        strings = blob.getInt(OFF_DT_STRINGS);
        require(
                at >= HEADER_SIZE
                        && at % 4 == 0
                        && structEnd <= bytes.length
                        && strings >= 0
                        && strings <= bytes.length,
                "its parts lie outside of it");
        end = (int) structEnd;
    }

    /**
     * All of them, in the order of the tree.
     *
     * @throws IllegalArgumentException it is no device tree blob; the message says why
     */
    public static List<Doorbell> of(byte[] bytes) {
        MsiDoorbells reader = new MsiDoorbells(bytes);
        require(reader.token() == FDT_BEGIN_NODE, "no root node");
        reader.node(DEFAULT_ADDRESS_CELLS, DEFAULT_SIZE_CELLS, 0);
        return List.copyOf(reader.found);
    }

    /** After the token that begins a node, whose reg has so many cells. */
    private void node(int addressCells, int sizeCells, int depth) {
        require(depth < DEPTH_MAX, "nodes too deep in each other");
        at += text(at, end).length() + 1;
        at = (at + 3) & -4;
        int childAddressCells = DEFAULT_ADDRESS_CELLS;
        int childSizeCells = DEFAULT_SIZE_CELLS;
        long register = NONE;
        int reg = -1;
        int regLength = 0;
        while (true) {
            switch (token()) {
                case FDT_NOP -> {}
                case FDT_BEGIN_NODE -> node(childAddressCells, childSizeCells, depth + 1);
                case FDT_END_NODE -> {
                    if (register != NONE && reg >= 0) {
                        place(reg, regLength, addressCells, sizeCells, register);
                    }
                    return;
                }
                case FDT_PROP -> {
                    int length = token();
                    String name = text(strings + Math.max(0, token()), blob.capacity());
                    int value = at;
                    require(length >= 0 && length <= end - at, "a property is cut off");
                    at = (int) Math.min(end, (value + (long) length + 3) & -4);
                    switch (name) {
                        case COMPATIBLE -> register = register(value, length);
                        case REG -> {
                            reg = value;
                            regLength = length;
                        }
                        case ADDRESS_CELLS -> childAddressCells = cells(value, length);
                        case SIZE_CELLS -> childSizeCells = cells(value, length);
                        default -> {}
                    }
                }
                default -> throw new IllegalArgumentException("a token that is none at " + at);
            }
        }
    }

    /** Where in its frame a controller of these names takes messages; NONE if it takes none. */
    private long register(int value, int length) {
        String all = new String(blob.array(), value, length, StandardCharsets.US_ASCII);
        List<String> names = List.of(all.split("\0", -1));
        if (names.contains(GIC_V2M)) {
            return Gic.MSI_SETSPI_NS;
        }
        return names.contains(GIC_V3_ITS) ? Gic.GITS_TRANSLATER : NONE;
    }

    private int cells(int value, int length) {
        require(length == Integer.BYTES, "a count of cells");
        return blob.getInt(value);
    }

    /** The first range of a reg: of both controllers the one with the doorbell. */
    private void place(int value, int length, int addressCells, int sizeCells, long register) {
        if (addressCells < 1 || addressCells > 2 || sizeCells < 1 || sizeCells > 2) {
            return;
        }
        if (length < (addressCells + sizeCells) * Integer.BYTES) {
            return;
        }
        long first = number(value, addressCells);
        long size = number(value + addressCells * Integer.BYTES, sizeCells);
        long last = first + size - 1;
        if (Long.compareUnsigned(size, register + Integer.BYTES) >= 0
                && Long.compareUnsigned(last, first) >= 0) {
            found.add(new Doorbell(first, last, first + register));
        }
    }

    private long number(int offset, int cells) {
        return cells == 2 ? blob.getLong(offset) : Integer.toUnsignedLong(blob.getInt(offset));
    }

    private int token() {
        require(end - at >= Integer.BYTES, "the structure is cut off");
        at += Integer.BYTES;
        return blob.getInt(at - Integer.BYTES);
    }

    /** The ASCII text there, without the 0 that ends it before {@code limit}. */
    private String text(int from, int limit) {
        int to = from;
        while (to >= 0 && to < limit && blob.get(to) != 0) {
            to++;
        }
        require(to >= 0 && to < limit, "a name is cut off");
        return new String(blob.array(), from, to - from, StandardCharsets.US_ASCII);
    }

    private static void require(boolean holds, String what) {
        if (!holds) {
            throw new IllegalArgumentException(what);
        }
    }
}
