// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;

import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Initramfs;
import org.ioasis.guestkit.KernelChoice;
import org.ioasis.guestkit.Provisioner;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A kernel, an initramfs and a shell of one's own: the README's section and what is beside it. */
class OwnGuestTest {
    @TempDir Path folder;

    private static GuestKit kit() throws Exception {
        try (Cleanup cleanup = Cleanup.atExit()) {
            return new Provisioner(Host.current(), cleanup, line -> {})
                    .provide(KernelChoice.Debian.STABLE);
        }
    }

    /** The section's commands one after the other, as they stand there. */
    @Test
    void eachCommandOfTheReadmeDoesWhatItSays() throws Exception {
        List<String> commands = Readme.commands("Boot my own kernel");
        assertThat(commands).hasSize(5);
        Command.link(folder);

        ownKernel(commands.get(0));
        backportsOnTwoProcessors(commands.get(1));
        shellWithADiskOfOnesOwn(commands.get(2));
        initramfsOfOnesOwn(commands.get(3));
        rebindWithoutBootBypass(commands.get(4));
    }

    private void ownKernel(String line) throws Exception {
        GuestKit kit = kit();
        // The folder looks like the tree that the kernel was built in.
        Path image = folder.resolve("arch/x86/boot/bzImage");
        Files.createDirectories(Objects.requireNonNull(image.getParent()));
        Files.copy(kit.kernel().image(), image);
        Path modules = Objects.requireNonNull(kit.kernel().modules());
        try (Command copy = Command.typed(folder, "cp -r '" + modules + "/.' .")) {
            assertThat(copy.end()).as(copy.output()).isZero();
        }
        try (Command command = Command.typed(folder, line)) {
            assertThat(command.end()).as(command.output()).isZero();
            assertThat(command.output())
                    .contains("booting Linux " + kit.kernel().release())
                    .contains("iommu: DMA domain TLB invalidation policy: strict mode");
        }
    }

    private void backportsOnTwoProcessors(String line) throws Exception {
        try (Command command = Command.typed(folder, line)) {
            assertThat(command.end()).as(command.output()).isZero();
            assertThat(command.output()).containsPattern("booting Linux 7\\.").endsWith("OK");
        }
    }

    private void shellWithADiskOfOnesOwn(String line) throws Exception {
        Path disk = Files.writeString(folder.resolve("my.img"), "the user's own data\n");
        Files.write(disk, new byte[4096], StandardOpenOption.APPEND);
        try (Command command = Command.typed(folder, line)) {
            command.type("echo answer-$((6 * 7))\nhead -n 1 /dev/vdd\nexit 5\n");
            command.endOfInput();

            assertThat(command.end()).as(command.output()).isEqualTo(5);
            assertThat(command.output()).contains("answer-42").contains("the user's own data");
        }
    }

    private void initramfsOfOnesOwn(String line) throws Exception {
        Path initrd = folder.resolve("my-initramfs.cpio.gz");
        Initramfs.write(initrd, kit(), List.of(), Optional.empty());
        String init =
                """
                #!/bin/busybox sh
                /bin/busybox mount -t proc proc /proc
                echo "mine, with $(/bin/busybox grep -o single /proc/cmdline)"
                /bin/busybox poweroff -f
                """;
        ExtraArchive.append(initrd, "init", init.getBytes(StandardCharsets.UTF_8));
        try (Command command = Command.typed(folder, line)) {
            assertThat(command.end()).as(command.output()).isZero();
            assertThat(command.output()).contains("Linux version").contains("mine, with single");
        }
    }

    private void rebindWithoutBootBypass(String line) throws Exception {
        try (Command command = Command.typed(folder, line)) {
            assertThat(command.end()).as(command.output()).isZero();
            assertThat(command.output())
                    .contains("rebind", "bypassed 0 (0 after ATTACH)")
                    .doesNotContainPattern("bypassed [1-9]")
                    .endsWith("OK");
        }
    }

    @Test
    void guestThatEndsWithoutAStatusIsNoSuccessAndHasItsTrace() throws Exception {
        Path trace = folder.resolve("requests.log");
        Path report = folder.resolve("report.json");
        try (Command command =
                new Command(
                        Map.of(),
                        "vm",
                        "--accel",
                        "tcg",
                        "--trace",
                        trace.toString(),
                        "--json",
                        report.toString(),
                        "--qemu",
                        "-name nobody-else -uuid 01234567-89ab-cdef-0123-456789abcdef",
                        "--run",
                        "cat /sys/class/dmi/id/product_uuid; poweroff -f")) {
            assertThat(command.end()).as(command.output()).isEqualTo(70);
            assertThat(command.output())
                    .contains("01234567-89ab-cdef-0123-456789abcdef")
                    .endsWith("ioasis: the guest powered off (exit code 70)");
        }
        assertThat(Files.readString(report))
                .contains("\"ok\" : false", "\"ending\" : \"power-off\"", "\"ATTACH\"")
                .doesNotContain("\"status\"");
        assertThat(Files.readString(trace))
                .contains(" machine/iommu0 started, features 0x")
                .containsPattern("ATTACH endpoint=0x10 domain=0x[0-9a-f]+ -> OK\n")
                .containsPattern(
                        "MAP domain=0x[0-9a-f]+ virt=0x[0-9a-f.x]+ phys=0x[0-9a-f]+ .* -> OK\n")
                .endsWith(" machine/iommu0 reset\n");
    }

    @Test
    void panicAndRebootHaveCodesOfTheirOwnAndAStatusStandsInTheReport() throws Exception {
        Path report = folder.resolve("report.json");
        ends("echo c >/proc/sysrq-trigger; sleep 60", report, 71, "panicked (exit code 71)");
        assertThat(Files.readString(report)).contains("\"ending\" : \"panic\"");
        ends("reboot -f", report, 72, "the guest rebooted (exit code 72)");
        assertThat(Files.readString(report)).contains("\"ending\" : \"reboot\"");
        Path shared = Files.createDirectory(folder.resolve("shared"));
        Files.writeString(shared.resolve("run.sh"), "echo of the host >/share/more; exit 9\n");
        Files.createSymbolicLink(shared.resolve("link"), Path.of("run.sh"));
        ends("sh /share/link", report, 9, "", "--share", shared.toString());
        assertThat(shared.resolve("more")).doesNotExist();
        assertThat(Files.readString(report)).contains("\"ok\" : true", "\"status\" : 9");
    }

    private static void ends(String run, Path report, int code, String last, String... more)
            throws Exception {
        List<String> words =
                new ArrayList<>(
                        List.of("vm", "--accel", "tcg", "--json", report.toString(), "--run", run));
        words.addAll(List.of(more));
        try (Command command = new Command(Map.of(), words.toArray(String[]::new))) {
            assertThat(command.end()).as(command.output()).isEqualTo(code);
            assertThat(command.output()).endsWith(last);
        }
    }

    @Test
    void commandThatIsPrintedAndKeptRuns() throws Exception {
        Path kept = folder.resolve("kept");
        String qemu;
        try (Command command =
                new Command(
                        Map.of(),
                        "vm",
                        "--accel",
                        "tcg",
                        "--bytes",
                        "4",
                        "--memory",
                        "256",
                        "--print-qemu",
                        "--keep",
                        kept.toString())) {
            assertThat(command.end()).as(command.output()).isZero();
            String output = command.output();
            String first = "# ./ioasis serve --config " + kept.resolve("serve.toml") + "\n";
            assertThat(output).contains(first);
            qemu = output.substring(output.indexOf(first) + first.length());
        }
        try (Command server =
                new Command(Map.of(), "serve", "--config", kept.resolve("serve.toml").toString())) {
            server.await("viot ");
            try (Command guest = Command.typed(folder, "env " + qemu)) {
                guest.await("ioasis: end=ok");
                assertThat(guest.end()).as(guest.output()).isZero();
            }
            server.signal("TERM");
            assertThat(server.end()).as(server.output()).isZero();
        }
        assertThat(Files.mismatch(kept.resolve("seed.img"), kept.resolve("result.img")))
                .isEqualTo(-1);
    }

    @Test
    void whoStartsQemuHimselfIsToldHowToStartTheDebuggerToo() throws Exception {
        try (Command command =
                new Command(Map.of(), "vm", "--accel", "tcg", "--gdb", "--print-qemu")) {
            assertThat(command.end()).as(command.output()).isZero();
            Matcher socket = Pattern.compile("id=gdb,[^ ]*path=([^ ]+)").matcher(command.output());
            assertThat(socket.find()).as(command.output()).isTrue();
            assertThat(command.output().lines())
                    .containsOnlyOnce(
                            "# it waits for its debugger: gdb -ex 'target remote %s' vmlinux"
                                    .formatted(socket.group(1)));
        }
    }

    @Test
    void debuggerIsWaitedForBeforeTheFirstInstruction() throws Exception {
        try (Command command = new Command(Map.of(), "vm", "--accel", "tcg", "--gdb")) {
            command.await("the guest waits for its debugger: gdb -ex 'target remote ");
            String line = command.output().lines().toList().getLast();
            Path socket = Path.of(line.replaceAll(".*target remote ([^']*)'.*", "$1"));
            while (!Files.exists(socket)) {
                assertThat(command.isAlive()).isTrue();
                Thread.sleep(20);
            }
            try (SocketChannel debugger = SocketChannel.open(UnixDomainSocketAddress.of(socket))) {
                // GDB's remote protocol: why does it stand still, and where? ($?#3f, $p10#d1)
                ByteBuffer answer = ByteBuffer.allocate(256);
                debugger.write(ByteBuffer.wrap("$?#3f$p10#d1".getBytes(US_ASCII)));
                while (!new String(answer.array(), US_ASCII).contains("f0ff000000000000")) {
                    assertThat(debugger.read(answer)).isPositive();
                }
            }
            command.interrupt();
            assertThat(command.end()).isNotZero();
        }
    }

    @Test
    void terminalIsPutBackAfterCtrlAX() throws Exception {
        try (Command command = Command.onTerminal("vm --accel tcg --interactive")) {
            command.await("booting Linux");
            command.type("\001x");
            command.endOfInput();

            assertThat(command.end()).as(command.output()).isZero();
            List<String> settings =
                    command.output()
                            .lines()
                            .filter(line -> line.matches("[0-9a-f:]{40,}"))
                            .toList();
            assertThat(settings).as(command.output()).hasSize(2);
            assertThat(settings.getLast()).isEqualTo(settings.getFirst());
            assertThat(command.output()).contains("code 0");
        }
    }
}
