// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/** A file with the parts of an ELF-64 module that matter here: header, two sections, headers. */
final class ElfImage {
    static final int NAMES_AT = 64;
    static final int INFO_AT = 128;
    static final int SECTION_HEADERS_AT = 512;

    private ElfImage() {}

    /** A module whose section of module information holds these strings. */
    static byte[] module(String... info) {
        ByteBuffer elf = ByteBuffer.allocate(SECTION_HEADERS_AT + 3 * 64);
        elf.order(ByteOrder.LITTLE_ENDIAN);
        elf.put(0, new byte[] {0x7f, 'E', 'L', 'F', 2, 1, 1});
        elf.putLong(40, SECTION_HEADERS_AT);
        elf.putShort(58, (short) 64);
        elf.putShort(60, (short) 3);
        elf.putShort(62, (short) 1);
        byte[] names = "\0.shstrtab\0.modinfo\0".getBytes(StandardCharsets.US_ASCII);
        elf.put(NAMES_AT, names);
        byte[] strings = (String.join("\0", info) + "\0").getBytes(StandardCharsets.US_ASCII);
        elf.put(INFO_AT, strings);
        section(elf, 1, 1, NAMES_AT, names.length);
        section(elf, 2, 11, INFO_AT, strings.length);
        return elf.array();
    }

    private static void section(ByteBuffer elf, int index, int name, long offset, long size) {
        int at = SECTION_HEADERS_AT + index * 64;
        elf.putInt(at, name);
        elf.putLong(at + 24, offset);
        elf.putLong(at + 32, size);
    }
}
