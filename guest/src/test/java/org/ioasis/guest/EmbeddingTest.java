// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Initramfs;
import org.ioasis.guestkit.KernelChoice;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.topology.QemuArguments;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The device of docs/embedding.md, built outside the tree of its files there, at a QEMU by the
 * words that it prints, driven by the document's program in the guest.
 */
class EmbeddingTest {
    private static final Path IMAGES = Path.of("..", "target", "images").toAbsolutePath();

    /** A guest that says nothing for so long never will. */
    private static final String LIMIT_SECONDS = "120";

    @TempDir Path folder;

    @Test
    void deviceOfTheDocumentIsDrivenByItsProgramInAGuest() throws Exception {
        Map<String, String> files = Readme.files("docs/embedding.md");
        assertThat(files).containsKeys("driver.c", "guest.sh", "src/main/java/checksum/Serve.java");
        List<String> sources = new ArrayList<>();
        for (Map.Entry<String, String> file : files.entrySet()) {
            Path path = folder.resolve(file.getKey());
            Files.createDirectories(path.getParent());
            Files.writeString(path, file.getValue());
            if (file.getKey().startsWith("src/main/java/")) {
                sources.add(file.getKey());
            }
        }
        // Where the document's Maven puts them.
        Path target = Files.createDirectory(folder.resolve("target"));
        String image = Files.readString(IMAGES.resolve("current")).strip();
        Files.createSymbolicLink(target.resolve("lib"), IMAGES.resolve(image));
        run(java("javac") + " -p target/lib -d target/classes " + String.join(" ", sources));
        run(java("jar") + " --create --file target/checksum-1.jar -C target/classes .");
        run("cc -static -o driver driver.c");

        String serve =
                java("java")
                        + " --module-path target/checksum-1.jar:target/lib"
                        + " --enable-native-access=org.ioasis.sys --module checksum/checksum.Serve";
        try (Command server = Command.typed(folder, serve)) {
            server.await("that ends the arguments", said -> said.matches(" *-device .*[^\\\\]"));
            try (Command qemu = qemu(server.output())) {
                qemu.end();

                assertThat(qemu.output())
                        .contains("said=sum: cbf43926, status 1")
                        .contains("said=where nothing is mapped: status 2")
                        .containsOnlyOnce("page fault from EP 136 at 0x20000000 [W]")
                        .doesNotContain("failed=");
            }
            server.type("\n");
            assertThat(server.end()).as(server.output()).isZero();
            assertThat(folder.resolve("checksum.sock")).doesNotExist();
        } finally {
            Files.delete(target.resolve("lib"));
        }
    }

    private static String java(String tool) {
        return QemuArguments.quotedShell(
                Path.of(System.getProperty("java.home"), "bin", tool).toString());
    }

    private void run(String line) throws Exception {
        try (Command command = Command.typed(folder, line)) {
            assertThat(command.end()).as(line + "\n" + command.output()).isZero();
        }
    }

    private Command qemu(String arguments) throws Exception {
        GuestKit kit;
        try (Cleanup cleanup = Cleanup.atExit()) {
            kit =
                    new Provisioner(Host.current(), cleanup, System.out::println)
                            .provide(KernelChoice.Debian.STABLE);
        }
        Path initrd = folder.resolve("initrd");
        Initramfs initramfs =
                Initramfs.write(
                        initrd,
                        kit,
                        List.of("virtio_iommu", "vfio_iommu_type1", "vfio_pci"),
                        Optional.empty());
        ExtraArchive.append(initrd, "lib", "embedding-init");
        for (String name : List.of("driver", "guest.sh")) {
            ExtraArchive.append(initrd, name, Files.readAllBytes(folder.resolve(name)));
        }
        List<String> words =
                new ArrayList<>(List.of("timeout", "-s", "KILL", LIMIT_SECONDS, "env"));
        new TreeMap<>(kit.qemu().environment())
                .forEach((name, value) -> words.add(name + "=" + value));
        words.addAll(kit.qemu().command());
        words.addAll(
                List.of("-machine", "q35", "-nodefaults", "-display", "none", "-serial", "stdio"));
        words.addAll(List.of("-accel", "tcg", "-cpu", "max,la57=off", "-no-reboot"));
        words.addAll(List.of("-kernel", kit.kernel().image().toString()));
        words.addAll(List.of("-initrd", initrd.toString(), "-append"));
        words.add(
                "console=ttyS0 quiet panic=-1 printk.devkmsg=on rdinit=/embedding-init ioasis.modules="
                        + String.join(",", initramfs.modules()));
        StringBuilder line = new StringBuilder();
        words.forEach(word -> line.append(QemuArguments.quotedShell(word)).append(' '));
        return Command.typed(folder, line + "\\\n" + arguments);
    }
}
