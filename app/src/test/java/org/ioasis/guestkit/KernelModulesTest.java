// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tukaani.xz.LZMA2Options;
import org.tukaani.xz.XZOutputStream;

class KernelModulesTest {
    @TempDir Path folder;

    private Kernel kernel(String builtIn) throws IOException {
        Files.createDirectories(folder.resolve("kernel/drivers"));
        Files.writeString(folder.resolve("modules.builtin"), builtIn);
        return new Kernel("9.9.1", folder.resolve("vmlinuz"), folder);
    }

    private void module(String file, String... info) throws IOException {
        byte[] bytes = ElfImage.module(info);
        ByteArrayOutputStream packed = new ByteArrayOutputStream();
        if (file.endsWith(".xz")) {
            try (OutputStream out = new XZOutputStream(packed, new LZMA2Options(0))) {
                out.write(bytes);
            }
        } else if (file.endsWith(".gz")) {
            try (OutputStream out = new GZIPOutputStream(packed)) {
                out.write(bytes);
            }
        } else {
            packed.write(bytes);
        }
        Files.write(folder.resolve("kernel/drivers").resolve(file), packed.toByteArray());
    }

    @Test
    void driverThatTheKernelDoesNotHaveIsAnError() throws IOException {
        KernelModules modules = new KernelModules(kernel(""));

        assertThatThrownBy(() -> modules.loadOrder(List.of("virtio_iommu")))
                .hasMessage("kernel 9.9.1 has no module virtio_iommu");
    }

    @Test
    void kernelWithoutModulesHasEveryDriverBuiltIn() throws IOException {
        KernelModules modules =
                new KernelModules(new Kernel("9.9.1", folder.resolve("vmlinuz"), null));

        assertThat(modules.loadOrder(List.of("virtio_iommu", "ext4"))).isEmpty();
    }

    @Test
    void moduleThatIsNoZstandardFileIsAnError() throws IOException {
        KernelModules modules = new KernelModules(kernel(""));
        module("a.ko.zst", "depends=");
        KernelModules withFile = new KernelModules(kernel(""));

        assertThatThrownBy(() -> modules.loadOrder(List.of("a")))
                .hasMessage("kernel 9.9.1 has no module a");
        // Where there is no zstd, the message says so.
        assertThatThrownBy(() -> withFile.loadOrder(List.of("a")))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("zstd")
                .hasMessageContaining("a.ko.zst");
    }

    @Test
    void modulesThatNeedEachOtherAreAnErrorAndNoEndlessLoop() throws IOException {
        Kernel kernel = kernel("");
        module("a.ko", "depends=b");
        module("b.ko", "depends=a");

        assertThatThrownBy(() -> new KernelModules(kernel).loadOrder(List.of("a")))
                .hasMessageContaining("depend on each other");
    }

    @Test
    void dependenciesComeFirstEachOnceAndBuiltInOnesNotAtAll() throws IOException {
        Kernel kernel = kernel("kernel/lib/crc16.ko\nkernel/drivers/virtio/virtio-ring.ko\n");
        module("ext4.ko.xz", "license=GPL", "depends=jbd2,mbcache,crc16");
        module("jbd2.ko.gz", "depends=");
        module("mbcache.ko", "name=mbcache");
        module("virtio-blk.ko", "depends=virtio_ring,jbd2");

        var order = new KernelModules(kernel).loadOrder(List.of("ext4", "virtio_blk", "crc16"));

        assertThat(order.keySet()).containsExactly("jbd2", "mbcache", "ext4", "virtio_blk");
        assertThat(order.get("ext4"))
                .isEqualTo(ElfImage.module("license=GPL", "depends=jbd2,mbcache,crc16"));
    }

    @Test
    void sectionsOutsideTheFileAreRefused() {
        byte[] good = ElfImage.module("depends=a");
        int infoHeader = ElfImage.SECTION_HEADERS_AT + 2 * 64;
        for (long offset : new long[] {-1, good.length, Long.MAX_VALUE, Long.MIN_VALUE}) {
            byte[] bad = good.clone();
            ByteBuffer.wrap(bad).order(ByteOrder.LITTLE_ENDIAN).putLong(infoHeader + 24, offset);

            assertThatThrownBy(() -> ModuleInfo.read("m", bad))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("outside the file");
        }
    }

    @Test
    void filesThatAreNoModuleAreRefused() {
        byte[] big = ElfImage.module("depends=a");
        big[5] = 2;
        assertThatThrownBy(() -> ModuleInfo.read("m", big)).hasMessageContaining("ELF-64");
        assertThatThrownBy(() -> ModuleInfo.read("m", new byte[0])).hasMessageContaining("ELF-64");
        byte[] nameless = ElfImage.module("depends=a");
        nameless[ElfImage.NAMES_AT + 12] = 'x';
        assertThatThrownBy(() -> ModuleInfo.read("m", nameless))
                .hasMessageContaining("no section .modinfo");
    }

    @Test
    void damagedFilesAreRefusedOrReadAndNothingElse() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        for (int round = 0; round < 2000; round++) {
            byte[] bytes = ElfImage.module("depends=a,b-c");
            for (int i = 0; i < 4; i++) {
                int at =
                        random.nextBoolean()
                                ? random.nextInt(64)
                                : ElfImage.SECTION_HEADERS_AT + random.nextInt(192);
                bytes[at] = (byte) random.nextInt();
            }
            byte[] cut = Arrays.copyOf(bytes, bytes.length - random.nextInt(3) * 64);
            try {
                assertThat(ModuleInfo.read("m", cut).depends()).hasSizeLessThanOrEqualTo(512);
            } catch (IOException refused) {
                assertThat(refused).as("seed %d", seed).hasMessageStartingWith("kernel module m");
            }
        }
    }
}
