// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.zip.GZIPInputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class InitramfsTest {
    @TempDir Path folder;

    private record Entry(int mode, int inode, String content) {}

    /** Reads newc as the kernel does: header, padded name, padded data, to the trailer. */
    private static Map<String, Entry> read(byte[] archive) {
        Map<String, Entry> entries = new LinkedHashMap<>();
        int at = 0;
        while (true) {
            assertThat(text(archive, at, 6)).isEqualTo("070701");
            int size = field(archive, at, 6);
            int nameSize = field(archive, at, 11);
            String name = text(archive, at + 110, nameSize - 1);
            assertThat(archive[at + 110 + nameSize - 1]).isZero();
            int data = aligned(at + 110 + nameSize);
            if (name.equals("TRAILER!!!")) {
                assertThat(aligned(data + size)).isEqualTo(archive.length);
                return entries;
            }
            Entry entry =
                    new Entry(
                            field(archive, at, 1),
                            field(archive, at, 0),
                            text(archive, data, size));
            assertThat(entries.put(name, entry)).isNull();
            at = aligned(data + size);
        }
    }

    private static int field(byte[] archive, int at, int index) {
        return Integer.parseInt(text(archive, at + 6 + index * 8, 8), 16);
    }

    private static String text(byte[] archive, int at, int length) {
        return new String(archive, at, length, StandardCharsets.ISO_8859_1);
    }

    private static int aligned(int offset) {
        return (offset + 3) & ~3;
    }

    @Test
    void archiveHoldsFoldersAndFilesOfAnyLengthPaddedToFourBytes() throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (CpioWriter writer = new CpioWriter(out)) {
            writer.folder("bin");
            for (int length = 0; length < 5; length++) {
                writer.file(
                        "bin/" + "n".repeat(length + 1),
                        length > 2,
                        "abcde".substring(0, length).getBytes(StandardCharsets.US_ASCII));
            }
        }

        Map<String, Entry> entries = read(out.toByteArray());

        assertThat(entries.keySet())
                .containsExactly("bin", "bin/n", "bin/nn", "bin/nnn", "bin/nnnn", "bin/nnnnn");
        assertThat(Objects.requireNonNull(entries.get("bin")).mode()).isEqualTo(0040755);
        assertThat(entries.get("bin/n")).isEqualTo(new Entry(0100644, 2, ""));
        assertThat(entries.get("bin/nnnn")).isEqualTo(new Entry(0100755, 5, "abc"));
    }

    @Test
    void initramfsHoldsInitBusyboxAndTheModulesInOrder() throws IOException {
        Path modules = Files.createDirectories(folder.resolve("modules"));
        Files.writeString(modules.resolve("modules.builtin"), "kernel/fs/ext4/ext4.ko\n");
        Files.write(modules.resolve("virtio_blk.ko"), ElfImage.module("depends=helper"));
        Files.write(modules.resolve("helper.ko"), ElfImage.module("depends="));
        Path busybox = Files.writeString(folder.resolve("busybox"), "a program");
        GuestKit kit =
                new GuestKit(
                        new Qemu(List.of("qemu"), Map.of(), "11.0"),
                        new Kernel("9.9.1", folder.resolve("vmlinuz"), modules),
                        busybox,
                        folder);

        Initramfs initramfs =
                Initramfs.write(
                        folder.resolve("initrd"),
                        kit,
                        List.of("virtio_blk", "ext4"),
                        Optional.of("echo $1"));

        assertThat(initramfs.modules()).containsExactly("helper", "virtio_blk");
        Map<String, Entry> entries;
        try (InputStream in =
                new GZIPInputStream(
                        new ByteArrayInputStream(Files.readAllBytes(initramfs.file())))) {
            entries = read(in.readAllBytes());
        }
        assertThat(entries)
                .containsKeys("dev", "proc", "sys", "modules/helper.ko", "modules/virtio_blk.ko");
        assertThat(entries.get("bin/busybox"))
                .extracting(Entry::mode, Entry::content)
                .containsExactly(0100755, "a program");
        assertThat(entries.get("command"))
                .extracting(Entry::mode, Entry::content)
                .containsExactly(0100644, "echo $1\n");
        assertThat(Objects.requireNonNull(entries.get("init")).mode()).isEqualTo(0100755);
        assertThat(Objects.requireNonNull(entries.get("init")).content())
                .startsWith("#!/bin/busybox sh\n");
    }

    @Test
    void initIsAShellScriptWithoutSyntaxErrors() throws Exception {
        Path init = folder.resolve("init");
        try (InputStream in = Initramfs.class.getResourceAsStream("init")) {
            assertThat(in).isNotNull();
            Files.write(init, in.readAllBytes());
        }

        Process check = new ProcessBuilder("sh", "-n", init.toString()).inheritIO().start();

        assertThat(check.waitFor()).isZero();
    }
}
