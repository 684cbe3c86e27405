// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A kernel of the user's own: its release and where its modules are. */
class KernelTest {
    @TempDir Path folder;

    /** The header of a bzImage, with its version string at {@code at}. */
    private Path bzImage(int at, String version) throws IOException {
        byte[] image = new byte[0x4000];
        System.arraycopy("HdrS".getBytes(StandardCharsets.US_ASCII), 0, image, 0x202, 4);
        image[0x20e] = (byte) (at - 0x200);
        image[0x20f] = (byte) ((at - 0x200) >> 8);
        byte[] text = version.getBytes(StandardCharsets.US_ASCII);
        if (at < image.length) {
            System.arraycopy(text, 0, image, at, text.length);
        }
        return Files.write(folder.resolve("bzImage"), image);
    }

    @Test
    void fileThatIsNoKernelIsRefused() throws IOException {
        Path text = Files.writeString(folder.resolve("text"), "not a kernel");

        assertThatThrownBy(() -> Kernel.at(text, null))
                .hasMessageContaining("neither a bzImage nor a vmlinux");
        assertThatThrownBy(() -> Kernel.at(folder.resolve("none"), null))
                .hasMessageContaining("there is no file");
        assertThatThrownBy(() -> Kernel.at(folder, null)).hasMessageContaining("there is no file");
    }

    @Test
    void imageThatTellsNoVersionIsRefused() throws IOException {
        for (Path image :
                new Path[] {
                    bzImage(0x3000, ""),
                    bzImage(0x3000, "x".repeat(100)),
                    bzImage(0xfff0, ""),
                    Files.writeString(folder.resolve("elf"), "\u007fELF and Linux version %s")
                }) {
            assertThatThrownBy(() -> Kernel.at(image, null))
                    .as(image.toString())
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("which version");
        }
    }

    @Test
    void releaseIsReadFromABzImage() throws IOException {
        Kernel kernel = Kernel.at(bzImage(0x3000, "6.19.0-rc1+ (me@here) #1 SMP"), null);

        assertThat(kernel.release()).isEqualTo("6.19.0-rc1+");
        assertThat(kernel.modules()).isNull();
    }

    @Test
    void releaseIsReadFromAVmlinuxBehindTheFormatOfItsBanner() throws IOException {
        Path image =
                Files.writeString(
                        folder.resolve("vmlinux"),
                        "\u007fELF"
                                + "x".repeat(70_000)
                                + "Linux version %s (%s)\nLLinux version 7.3.0 (gcc)",
                        StandardCharsets.ISO_8859_1);

        assertThat(Kernel.at(image, null).release()).isEqualTo("7.3.0");
    }

    @Test
    void driversThatAreModulesAreReadFromTheConfigurationOfTheTreeOrBesideTheImage()
            throws IOException {
        Path boot = Files.createDirectories(folder.resolve("arch/x86/boot"));
        Path image = Files.move(bzImage(0x3000, "7.3.0"), boot.resolve("bzImage"));
        List<String> drivers = List.of("virtio_iommu", "virtio_blk", "ext4");

        assertThat(Kernel.at(image, null).modular(drivers)).isEmpty();
        Files.writeString(
                folder.resolve(".config"),
                "CONFIG_EXT4_FS=m\nCONFIG_VIRTIO_BLK=y\nCONFIG_VIRTIO_IOMMU=m\nCONFIG_X=m\n");
        assertThat(Kernel.at(image, null).modular(drivers)).containsExactly("virtio_iommu", "ext4");
        Files.writeString(boot.resolve("config-7.3.0"), "CONFIG_VIRTIO_BLK=m\n");
        assertThat(Kernel.at(image, null).modular(drivers)).containsExactly("virtio_blk");
    }

    @Test
    void modulesAreFoundInTheUsualPlacesAndNowhereElse() throws IOException {
        Path image = bzImage(0x3000, "9.9.1 x");
        Path root = Files.createDirectories(folder.resolve("root"));
        assertThatThrownBy(() -> Kernel.at(image, root))
                .hasMessageContaining("no modules of kernel 9.9.1 in " + root);
        for (String place :
                new String[] {"", "9.9.1", "usr/lib/modules/9.9.1", "lib/modules/9.9.1"}) {
            Path modules = Files.createDirectories(root.resolve(place));
            Files.createFile(modules.resolve("modules.builtin"));

            assertThat(Kernel.at(image, root).modules()).isEqualTo(modules);
        }
    }
}
