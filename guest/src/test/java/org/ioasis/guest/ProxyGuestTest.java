// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Initramfs;
import org.ioasis.guestkit.KernelChoice;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.topology.QemuArguments;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Somebody else's device behind the IOMMU by the README's commands, each as it stands there: an NVM
 * Express controller in C that knows nothing of us, QEMU, and Linux's own driver.
 */
class ProxyGuestTest {
    private static final int DISK_BYTES = 4 << 20;

    /** As often as the guest says that it is time to. */
    private static final int KILLS = 20;

    /** A guest that says nothing for so long never will. */
    private static final String LIMIT_SECONDS = "120";

    @TempDir Path folder;

    private final byte[] content = new byte[DISK_BYTES];
    private GuestKit kit;

    @BeforeEach
    void makeFolder() throws Exception {
        Command.link(folder);
        new Random(4).nextBytes(content);
        Files.write(folder.resolve("disk.img"), content);
        Path examples = Files.createDirectories(folder.resolve("docs/examples"));
        Files.copy(Path.of("..", "docs", "examples", "nvme.c"), examples.resolve("nvme.c"));
        try (Cleanup cleanup = Cleanup.atExit()) {
            kit =
                    new Provisioner(Host.current(), cleanup, System.out::println)
                            .provide(KernelChoice.Debian.STABLE);
        }
    }

    @Test
    void linuxDrivesADeviceThatHasNoDescriptorOfItsMemoryAndKeepsItsDataWhenThatIsKilled()
            throws Exception {
        List<String> commands = Readme.commands("Put a vIOMMU in front of somebody else's device");
        assertThat(commands).hasSize(4);
        assertThat(run(0, commands.get(0))).isEmpty();
        byte[] copied = content.clone();
        System.arraycopy(content, 0, copied, DISK_BYTES / 2, DISK_BYTES / 2);

        try (Device device = new Device(commands.get(1))) {
            try (Command server = Command.typed(folder, commands.get(2))) {
                server.await(
                        "that ends the arguments", said -> said.matches(" *-device .*[^\\\\]"));
                try (Command qemu = qemu(server)) {
                    qemu.await("hash=" + sha256(content));
                    qemu.await("copied=" + sha256(copied));

                    assertThat(Files.readAllBytes(folder.resolve("disk.img"))).isEqualTo(copied);
                    assertThat(run(0, commands.get(3)))
                            .contains("ok machine/proxy0: translated")
                            .doesNotContain("PROBLEM");
                    assertThat(run(0, "./ioasis dump"))
                            .contains("isolation enforced")
                            .containsPattern("writtenBytes [1-9][0-9]{7}");
                    // No page of the guest's memory is mapped in the device, nor is its file open.
                    assertThat(memoryFilesOf(device.running)).isEmpty();

                    // It dies under the guest's work, and comes again.
                    for (int kill = 1; kill <= KILLS; kill++) {
                        qemu.await("kill=" + kill);
                        device.killAndStart();
                        qemu.type("\n");
                    }
                    qemu.await("kept=" + sha256(copied));
                    assertThat(Files.readAllBytes(folder.resolve("disk.img"))).isEqualTo(copied);
                    assertThat(run(0, "./ioasis dump"))
                            .containsPattern("returns %d\\b".formatted(KILLS));

                    // It dies and does not come: the session ends, and the IOMMU's goes on.
                    device.kill();
                    server.await(
                            "the device at device.sock is lost: it has not come again within 2000 ms");
                    assertThat(run(1, commands.get(3)))
                            .contains("PROBLEM machine/proxy0: the device at device.sock is lost")
                            .contains("do: see that its server listens at that socket again")
                            .doesNotContain("PROBLEM machine/iommu: no VMM");
                }
                server.signal("TERM");
                assertThat(server.end()).as(server.output()).isZero();
            }
        }
    }

    /** The device's server, one process after the other. */
    private final class Device implements AutoCloseable {
        private final String line;
        private Command running;

        Device(String line) throws Exception {
            this.line = line;
            running = begun();
        }

        private Command begun() throws Exception {
            Command begun = Command.typed(folder, line);
            begun.await("ready device.sock");
            return begun;
        }

        void kill() throws Exception {
            running.signal("KILL");
            running.end();
            running.close();
        }

        void killAndStart() throws Exception {
            kill();
            running = begun();
        }

        @Override
        public void close() {
            running.close();
        }
    }

    @Test
    void deviceThatIsNotThereIsSaidToBeMissing() throws Exception {
        String serve = "./ioasis serve --iommu iommu.sock --proxy proxy.sock,to=nobody.sock";

        assertThat(run(1, serve)).contains("proxy0: no device at nobody.sock: ").contains("ENOENT");
        assertThat(folder.resolve("iommu.sock")).doesNotExist();
    }

    /** Files of memory that the process has open or mapped: a VMM's are memfds. */
    private static List<String> memoryFilesOf(Command command) throws IOException {
        List<String> found = new ArrayList<>();
        List<Long> processes = new ArrayList<>(List.of(command.pid()));
        command.descendants().forEach(below -> processes.add(below.pid()));
        int seen = 0;
        for (long process : processes) {
            Path proc = Path.of("/proc", Long.toString(process));
            try (var maps = Files.lines(proc.resolve("maps"));
                    var fds = Files.list(proc.resolve("fd"))) {
                maps.filter(line -> line.contains("memfd")).forEach(found::add);
                for (Path fd : fds.toList()) {
                    seen++;
                    String target = Files.readSymbolicLink(fd).toString();
                    if (target.contains("memfd")) {
                        found.add(target);
                    }
                }
            }
        }
        assertThat(seen).as("descriptors that were looked at").isPositive();
        return found;
    }

    private Command qemu(Command server) throws IOException {
        Path initrd = folder.resolve("initrd");
        Initramfs initramfs =
                Initramfs.write(initrd, kit, List.of("virtio_iommu"), Optional.empty());
        ExtraArchive.append(initrd, "lib", "nvme-init");
        List<String> words =
                new ArrayList<>(List.of("timeout", "-s", "KILL", LIMIT_SECONDS, "env"));
        for (Map.Entry<String, String> entry : new TreeMap<>(kit.qemu().environment()).entrySet()) {
            words.add(entry.getKey() + "=" + entry.getValue());
        }
        words.addAll(kit.qemu().command());
        words.addAll(
                List.of("-machine", "q35", "-nodefaults", "-display", "none", "-serial", "stdio"));
        words.addAll(List.of("-accel", "tcg", "-cpu", "max,la57=off", "-no-reboot"));
        words.addAll(List.of("-kernel", kit.kernel().image().toString()));
        words.addAll(List.of("-initrd", initrd.toString(), "-append"));
        words.add(
                "console=ttyS0 quiet panic=-1 printk.devkmsg=on rdinit=/nvme-init ioasis.modules="
                        + String.join(",", initramfs.modules()));
        StringBuilder line = new StringBuilder();
        words.forEach(word -> line.append(QemuArguments.quotedShell(word)).append(' '));
        List<String> arguments =
                server.output()
                        .lines()
                        .dropWhile(said -> !said.startsWith("# QEMU"))
                        .skip(1)
                        .takeWhile(said -> said.startsWith("  "))
                        .toList();
        return Command.typed(folder, line + "\\\n" + String.join("\n", arguments));
    }

    private String run(int code, String line) throws Exception {
        try (Command command = Command.typed(folder, line)) {
            assertThat(command.end()).as(line + "\n" + command.output()).isEqualTo(code);
            return command.output();
        }
    }

    private static String sha256(byte[] bytes) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    }
}
