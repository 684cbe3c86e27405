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
import java.util.function.UnaryOperator;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Initramfs;
import org.ioasis.guestkit.KernelChoice;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.topology.QemuArguments;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;

/**
 * A folder with a disk in which {@code ./ioasis serve} is started as a user does, and a QEMU that
 * is started with what it prints. One thread, and one guest at a time.
 */
abstract class ServedGuest {
    private static final int DISK_BYTES = 4 << 20;

    /** A guest that says nothing for so long never will. */
    private static final String LIMIT_SECONDS = "120";

    static final List<String> ALL = List.of("virtio_iommu", "virtio_blk");

    @TempDir Path folder;

    final byte[] content = new byte[DISK_BYTES];
    GuestKit kit;

    @BeforeEach
    void makeFolder() throws Exception {
        Command.link(folder);
        new Random(3).nextBytes(content);
        Files.write(folder.resolve("disk.img"), content);
        kit = kit(KernelChoice.Debian.STABLE);
    }

    static GuestKit kit(KernelChoice kernel) throws Exception {
        try (Cleanup cleanup = Cleanup.atExit()) {
            return new Provisioner(Host.current(), cleanup, System.out::println).provide(kernel);
        }
    }

    /** Starts a server; returns when it has said everything. */
    Command serve(String line) throws IOException, InterruptedException {
        Command server = Command.typed(folder, line);
        server.await("that ends the arguments", said -> said.matches(" *-device .*[^\\\\]"));
        return server;
    }

    void endBy(String signal, Command server) throws Exception {
        server.signal(signal);

        assertThat(server.end()).as(server.output()).isZero();
        assertThat(folder.resolve("iommu.sock")).doesNotExist();
        assertThat(folder.resolve("disk.sock")).doesNotExist();
        assertThat(folder.resolve("iommu.sock.viot")).doesNotExist();
    }

    /**
     * A QEMU with a line of the user's own in front of the server's arguments, pasted as a user
     * would and then changed.
     */
    Command qemu(Command server, List<String> drivers, UnaryOperator<List<String>> changed)
            throws IOException {
        Path initrd = folder.resolve("initrd");
        Initramfs initramfs = Initramfs.write(initrd, kit, drivers, Optional.empty());
        ExtraArchive.append(initrd, "lib", "attached-init");
        List<String> words = new ArrayList<>(environment());
        words.addAll(kit.qemu().command());
        words.addAll(
                List.of("-machine", "q35", "-nodefaults", "-display", "none", "-serial", "stdio"));
        words.addAll(List.of("-accel", "tcg", "-cpu", "max,la57=off", "-no-reboot"));
        words.addAll(List.of("-kernel", kit.kernel().image().toString()));
        words.addAll(List.of("-initrd", initrd.toString(), "-append"));
        words.add(
                "console=ttyS0 quiet panic=-1 printk.devkmsg=on rdinit=/attached-init ioasis.modules="
                        + String.join(",", initramfs.modules()));
        StringBuilder line = new StringBuilder();
        words.forEach(word -> line.append(QemuArguments.quotedShell(word)).append(' '));
        return Command.typed(
                folder, line + "\\\n" + String.join("\n", changed.apply(arguments(server))));
    }

    /** What QEMU is started by: with an end that comes in any case, and its libraries. */
    List<String> environment() {
        List<String> words =
                new ArrayList<>(List.of("timeout", "-s", "KILL", LIMIT_SECONDS, "env"));
        for (Map.Entry<String, String> entry : new TreeMap<>(kit.qemu().environment()).entrySet()) {
            words.add(entry.getKey() + "=" + entry.getValue());
        }
        return words;
    }

    /** What the server printed for QEMU. */
    static List<String> arguments(Command server) {
        return server.output()
                .lines()
                .dropWhile(said -> !said.startsWith("# QEMU"))
                .skip(1)
                .toList();
    }

    static List<String> append(List<String> arguments, String more) {
        List<String> longer = new ArrayList<>(List.of("  " + more + " \\"));
        longer.addAll(arguments);
        return longer;
    }

    /** What a command says that ends with this code. */
    String run(int code, String line) throws Exception {
        try (Command command = Command.typed(folder, line)) {
            assertThat(command.end()).as(line + "\n" + command.output()).isEqualTo(code);
            return command.output();
        }
    }

    static String sha256(byte[] bytes) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    }
}
