// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * What a kernel module says about itself in its ELF section {@code .modinfo}: strings {@code
 * key=value}, each ended by a zero byte (Linux, include/linux/moduleparam.h). Packages come without
 * depmod's index, which the kernel's installation makes; this is what the index is made from. Any
 * thread.
 */
record ModuleInfo(String name, List<String> depends) {
    private static final String SECTION = ".modinfo";

    // ELF-64 object file format 1.5, figures 3 and 8: offsets in the file and section headers.
    private static final int MAGIC = 0x7f454c46;
    private static final int EI_CLASS = 4;
    private static final int EI_DATA = 5;
    private static final byte ELFCLASS64 = 2;
    private static final byte ELFDATA2LSB = 1;
    private static final int E_SHOFF = 40;
    private static final int E_SHENTSIZE = 58;
    private static final int E_SHNUM = 60;
    private static final int E_SHSTRNDX = 62;
    private static final int FILE_HEADER_SIZE = 64;
    private static final int SH_NAME = 0;
    private static final int SH_OFFSET = 24;
    private static final int SH_SIZE = 32;
    private static final int SECTION_HEADER_SIZE = 64;

    ModuleInfo {
        depends = List.copyOf(depends);
    }

    /** Hyphen and underscore are the same in names of modules; the kernel shows underscores. */
    static String canonicalName(String name) {
        return name.replace('-', '_');
    }

    /**
     * Reads the module {@code name} from the bytes of its (uncompressed) file.
     *
     * @throws IOException when they are no little-endian ELF-64 file with that section
     */
    static ModuleInfo read(String name, byte[] file) throws IOException {
        ByteBuffer elf = ByteBuffer.wrap(file);
        if (file.length < FILE_HEADER_SIZE
                || elf.getInt(0) != MAGIC
                || elf.get(EI_CLASS) != ELFCLASS64
                || elf.get(EI_DATA) != ELFDATA2LSB) {
            throw damaged(name, "not a little-endian ELF-64 file");
        }
        elf.order(ByteOrder.LITTLE_ENDIAN);
        int count = Short.toUnsignedInt(elf.getShort(E_SHNUM));
        int size = Short.toUnsignedInt(elf.getShort(E_SHENTSIZE));
        long table = elf.getLong(E_SHOFF);
        int namesIndex = Short.toUnsignedInt(elf.getShort(E_SHSTRNDX));
        if (size < SECTION_HEADER_SIZE || namesIndex >= count) {
            throw damaged(name, "no section headers");
        }
        ByteBuffer headers = slice(elf, table, (long) count * size, name);
        ByteBuffer names = section(elf, headers, namesIndex * size, name);
        Optional<ByteBuffer> info = Optional.empty();
        for (int i = 0; i < count && info.isEmpty(); i++) {
            if (SECTION.equals(string(names, headers.getInt(i * size + SH_NAME)))) {
                info = Optional.of(section(elf, headers, i * size, name));
            }
        }
        return new ModuleInfo(
                canonicalName(name),
                depends(info.orElseThrow(() -> damaged(name, "no section " + SECTION))));
    }

    private static List<String> depends(ByteBuffer info) {
        List<String> found = new ArrayList<>();
        byte[] bytes = new byte[info.remaining()];
        info.get(bytes);
        String text = new String(bytes, StandardCharsets.ISO_8859_1);
        for (String entry : text.split("\0", -1)) {
            if (entry.startsWith("depends=")) {
                Arrays.stream(entry.substring("depends=".length()).split(",", -1))
                        .filter(dependency -> !dependency.isBlank())
                        .map(ModuleInfo::canonicalName)
                        .forEach(found::add);
            }
        }
        return found;
    }

    private static ByteBuffer section(ByteBuffer elf, ByteBuffer headers, int at, String name)
            throws IOException {
        return slice(elf, headers.getLong(at + SH_OFFSET), headers.getLong(at + SH_SIZE), name);
    }

    private static ByteBuffer slice(ByteBuffer elf, long offset, long length, String name)
            throws IOException {
        if (offset < 0 || length < 0 || length > elf.limit() || offset > elf.limit() - length) {
            throw damaged(name, "a section lies outside the file");
        }
        return elf.slice((int) offset, (int) length).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static String string(ByteBuffer names, int offset) {
        StringBuilder text = new StringBuilder();
        for (int i = offset; i >= 0 && i < names.limit() && names.get(i) != 0; i++) {
            text.append((char) names.get(i));
        }
        return text.toString();
    }

    private static IOException damaged(String name, String what) {
        return new IOException("kernel module " + name + ": " + what);
    }
}
