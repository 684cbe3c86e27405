package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Initramfs;
import org.ioasis.guestkit.KernelChoice;
import org.ioasis.guestkit.Provisioner;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The commands of the README's section on a kernel of one's own. */
class OwnGuestTest {
    @TempDir Path folder;

    private static GuestKit kit() throws Exception {
        try (Cleanup cleanup = Cleanup.atExit()) {
            return new Provisioner(Host.current(), cleanup, line -> {})
                    .provide(KernelChoice.Debian.STABLE);
        }
    }

    @Test
    void commandRunsOnAKernelOfOnesOwnAndItsStatusIsOurs() throws Exception {
        GuestKit kit = kit();
        Path disk = Files.writeString(folder.resolve("my.img"), "the user's own data\n");
        Files.write(disk, new byte[4096], StandardOpenOption.APPEND);
        try (Command command =
                new Command(
                        Map.of(),
                        "vm",
                        "--accel",
                        "tcg",
                        "--kernel",
                        kit.kernel().image().toString(),
                        "--modules",
                        Optional.ofNullable(kit.kernel().modules()).orElseThrow().toString(),
                        "--append",
                        "iommu.strict=1 mine=yes",
                        "--disk",
                        disk.toString(),
                        "--run",
                        "uname -r; head -n 1 /dev/vdd; grep -o mine=yes /proc/cmdline;"
                                + " cat /sys/kernel/iommu_groups/3/type; exit 42")) {
            assertThat(command.end()).as(command.output()).isEqualTo(42);
            assertThat(command.output().lines())
                    .anyMatch(line -> line.contains("booting Linux " + kit.kernel().release()))
                    .contains(kit.kernel().release(), "the user's own data", "mine=yes", "DMA");
        }
    }

    @Test
    void guestThatEndsWithoutAStatusIsNoSuccess() throws Exception {
        try (Command command =
                new Command(Map.of(), "vm", "--accel", "tcg", "--run", "poweroff -f")) {
            assertThat(command.end()).as(command.output()).isEqualTo(70);
        }
    }

    @Test
    void initramfsOfOnesOwnIsBootedWithItsConsoleShown() throws Exception {
        Path initrd = folder.resolve("initrd");
        Initramfs.write(initrd, kit(), List.of(), Optional.empty());
        try (Command command =
                new Command(
                        Map.of(),
                        "vm",
                        "--accel",
                        "tcg",
                        "--initrd",
                        initrd.toString(),
                        "--append",
                        "ioasis.run=hello")) {
            assertThat(command.end()).as(command.output()).isZero();
            assertThat(command.output()).contains("Linux version").contains("ioasis: end=ok");
        }
    }

    @Test
    void shellOnTheConsoleReadsItsInputAndItsExitStatusIsOurs() throws Exception {
        Path disk = Files.write(folder.resolve("my.img"), new byte[4096]);
        try (Command command =
                new Command(
                        Map.of(),
                        "vm",
                        "--accel",
                        "tcg",
                        "--interactive",
                        "--disk",
                        disk.toString())) {
            command.type("echo answer-$((6 * 7))\nls /dev/vd?\nexit 5\n");
            command.endOfInput();

            assertThat(command.end()).as(command.output()).isEqualTo(5);
            assertThat(command.output()).contains("answer-42").contains("/dev/vdd");
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
