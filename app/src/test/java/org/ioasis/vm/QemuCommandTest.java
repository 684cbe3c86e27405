// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.ioasis.guestkit.Initramfs;
import org.ioasis.guestkit.Qemu;
import org.ioasis.topology.QemuArguments;
import org.junit.jupiter.api.Test;

class QemuCommandTest {
    private static final Initramfs INITRAMFS =
            new Initramfs(Path.of("/w/initrd"), List.of("virtio_iommu", "virtio_blk"));

    private static final GuestTask CHECK = new GuestTask.Check(1024, GuestTask.Scenario.PLAIN);

    private static QemuCommand command(Accel accel, String socket) {
        return builder(accel, socket).build();
    }

    private static QemuCommand.Builder builder(Accel accel, String socket) {
        return QemuCommand.builder(
                        new Qemu(
                                List.of("/c/ld.so", "/c/qemu", "-L", "/c/data"),
                                Map.of("QEMU_MODULE_DIR", "/c/it's here"),
                                "11.1.3"),
                        accel,
                        Path.of("/c/vmlinuz"),
                        INITRAMFS.file())
                .commandLine(CHECK.commandLine(INITRAMFS.modules(), 0, List.of("iommu.strict=1")))
                .acpiTables(List.of(Path.of("/w/a,b.viot")))
                .functions(
                        List.of(
                                new QemuArguments.Function(1, 0, Path.of("/w/iommu")),
                                new QemuArguments.Function(31, 7, Path.of(socket))));
    }

    @Test
    void addressesThatPciDoesNotHaveAreRefused() {
        Path socket = Path.of("/s");
        for (int[] address : new int[][] {{-1, 0}, {32, 0}, {0, -1}, {0, 8}}) {
            assertThatThrownBy(() -> new QemuArguments.Function(address[0], address[1], socket))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }

    @Test
    void memoryIsSharedAndTcgIsNamedAlone() {
        List<String> words = command(Accel.TCG, "/w/disk").words();

        assertThat(words)
                .startsWith("/c/ld.so", "/c/qemu", "-L", "/c/data")
                .containsSequence("-machine", "q35,memory-backend=mem")
                .containsSequence("-object", "memory-backend-memfd,id=mem,size=512M,share=on")
                .containsSequence("-accel", "tcg,thread=multi")
                .containsSequence("-acpitable", "file=/w/a,,b.viot")
                .contains("-no-reboot", "-nodefaults")
                .doesNotContain("kvm");
        assertThat(command(Accel.KVM, "/w/disk").words())
                .containsSequence("-accel", "kvm")
                .containsSequence("-cpu", "host");
    }

    @Test
    void functionsAreJsonWithEveryCharacterOfTheSocketKept() {
        assertThat(command(Accel.TCG, "/w/a\"b\\c\n").words())
                .endsWith(
                        "-device",
                        "{\"driver\":\"vfio-user-pci\",\"addr\":\"1.0\",\"socket\":{\"type\":\"unix\",\"path\":\"/w/iommu\"}}",
                        "-device",
                        "{\"driver\":\"vfio-user-pci\",\"addr\":\"1f.7\",\"socket\":{\"type\":\"unix\",\"path\":\"/w/a\\\"b\\\\c\\u000a\"}}");
    }

    @Test
    void kernelIsToldTheTaskTheModulesInOrderAndTheDisks() {
        assertThat(CHECK.commandLine(INITRAMFS.modules(), 0, List.of("iommu.strict=1")))
                .contains("ioasis.run=check ioasis.modules=virtio_iommu,virtio_blk ")
                .contains("ioasis.seed=ioasis-seed ")
                .contains("ioasis.bytes=1024")
                .contains("panic=-1")
                .endsWith(" iommu.strict=1");
        assertThat(new GuestTask.Hello().commandLine(INITRAMFS.modules(), 0, List.of()))
                .endsWith("ioasis.run=hello");
        assertThat(List.of(GuestTask.SEED_SERIAL, GuestTask.FS_SERIAL, GuestTask.RESULT_SERIAL))
                .allSatisfy(serial -> assertThat(serial).hasSizeLessThanOrEqualTo(20));
    }

    @Test
    void measurementHasOneDiskAndItsCommandIsInTheInitramfs() {
        GuestTask measure = new GuestTask.Measure("fio --version");

        assertThat(measure.commandLine(INITRAMFS.modules(), 0, List.of()))
                .contains("ioasis.run=command ")
                .endsWith("ioasis.seed=ioasis-seed")
                .doesNotContain("ioasis.fs=", "ioasis.result=");
        assertThat(measure.commandFile()).contains("fio --version");
        assertThat(measure.reboots()).isFalse();
    }

    @Test
    void wordsForDevicesOfQemusOwnStandLast() {
        QemuCommand own =
                builder(Accel.TCG, "/w/disk")
                        .more(List.of("-device", "virtio-iommu-pci,addr=1"))
                        .build();

        assertThat(own.words()).endsWith("-device", "virtio-iommu-pci,addr=1");
    }

    @Test
    void taskThatRebootsMayRebootAndOneWithItsOwnInitramfsIsNotQuiet() {
        GuestTask reboot = new GuestTask.Check(1024, GuestTask.Scenario.REBOOT);

        assertThat(reboot.reboots()).isTrue();
        assertThat(reboot.commandLine(List.of(), 0, List.of()))
                .contains("panic=0")
                .contains("ioasis.scenario=reboot");
        assertThat(CHECK.reboots()).isFalse();
        assertThat(new GuestTask.Boot().commandLine(List.of(), 2, List.of("single")))
                .isEqualTo("console=ttyS0 panic=-1 printk.devkmsg=on printk.time=1 single");
    }

    @Test
    void extrasAreThereOnlyWhenAsked() {
        QemuCommand all =
                builder(Accel.TCG, "/w/disk")
                        .rebooting(true)
                        .firmwareKeptOff(true)
                        .secondSerial(Path.of("/w/o,ut"))
                        .control(Path.of("/w/q,mp"))
                        .rootPort(0x1e)
                        .build();

        assertThat(all.words())
                .containsSequence("-chardev", "socket,id=output,path=/w/o,,ut")
                .containsSequence("-serial", "stdio")
                .containsSequence("-serial", "chardev:output")
                .containsSequence("-qmp", "unix:/w/q,,mp,server=on,wait=off")
                .containsSequence("-boot", "strict=on")
                .containsSequence("-device", "pcie-root-port,id=rp0,chassis=1,addr=1e")
                .doesNotContain("-no-reboot");
        assertThat(command(Accel.TCG, "/w/disk").words())
                .doesNotContain("-chardev", "-qmp", "-boot", "chardev:output");
    }

    @Test
    void shellReadsThePrintedCommandAsTheSameWords() throws Exception {
        QemuCommand command = command(Accel.TCG, "/w/it's \"$HOME\" `x`");
        String script =
                "show() { printf '%s\\n' \"$QEMU_MODULE_DIR\" \"$@\"; }\n"
                        + command.printable().replace("/c/ld.so ", "show /c/ld.so ");

        Process shell = new ProcessBuilder("sh", "-c", script).redirectErrorStream(true).start();
        List<String> printed =
                new String(shell.getInputStream().readAllBytes(), StandardCharsets.UTF_8)
                        .lines()
                        .toList();

        assertThat(printed.getFirst()).isEqualTo("/c/it's here");
        assertThat(printed.subList(1, printed.size())).isEqualTo(command.words());
    }
}
