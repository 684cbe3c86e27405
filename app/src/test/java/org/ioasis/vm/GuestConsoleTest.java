// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vm;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class GuestConsoleTest {
    private static final String HASH = "0123456789abcdef".repeat(4);
    private final GuestConsole console = new GuestConsole();

    @ParameterizedTest
    @ValueSource(
            strings = {
                "ioasis: ",
                "ioasis: hash",
                "ioasis: hash=12",
                "ioasis: hash=0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF",
                "ioasis: kernel=",
                "ioasis: kernel=6.12 evil",
                "ioasis: step=Copy",
                "ioasis: end=yes",
                "ioasis: iommu=1.0 virtio_iommu",
                "ioasis: iommu=0000:00:01.0 ",
                "ioasis: iommu=LNRO0006:00 virtio_iommu",
                "ioasis: iommu=LNRO0005:0 virtio_iommu",
                "ioasis: disk.other.pci=0000:00:01.0",
                "ioasis: disk.seed.pci=0000:00:01.8",
                "ioasis: disk.seed.group=-1",
                "ioasis: disk.seed.group=9999999",
                "ioasis: disk.seed.type=a b",
                "ioasis: disk.seed.reserved=0x1-0x2-msi;",
                "ioasis: error=no colon",
                "ioasis: unknown=1",
                "ioasis: status=-1",
                "ioasis: status=1000",
                "ioasis: disk.own0.pci=0000:00:01.0",
                "ioasis: disk.net.pci=0000:00:01.0",
                "ioasis: net.seed.pci=0000:00:01.0",
                "ioasis: disk.own100.pci=0000:00:01.0",
                "[    1.0] ioasis: step=copy",
                "text before ioasis: step=copy",
                "[    1.000000] [    1.000000] ioasis: step=copy"
            })
    void lineThatInitCannotHaveWrittenIsCountedAndIgnored(String line) {
        assertThat(console.accept(line)).isEqualTo(new GuestEvent.Malformed(line));

        GuestReport report = console.report();
        assertThat(report.malformed()).isEqualTo(1);
        assertThat(report.kernel()).isEmpty();
        assertThat(report.hashes()).isEmpty();
        assertThat(report.steps()).isEmpty();
        assertThat(report.iommus()).isEmpty();
        assertThat(report.devices()).isEmpty();
        assertThat(report.failure()).isEmpty();
        assertThat(report.isFinished()).isFalse();
    }

    @Test
    void whatAFirmwareDidWithTheScreenIsNoPartOfTheKernelsFirstLine() {
        String screen = "?[2J?[01;01H?[=3h";

        assertThat(console.accept(screen + "[    2.178210] ioasis: step=modules"))
                .isEqualTo(new GuestEvent.Step("modules", 2_178_210));
        assertThat(console.accept(screen)).isEqualTo(new GuestEvent.Text(""));
        assertThat(console.accept("x" + screen + "ioasis: step=copy"))
                .isEqualTo(new GuestEvent.Malformed("x" + screen + "ioasis: step=copy"));
        assertThat(console.report().lastLines())
                .startsWith("[    2.178210] ioasis: step=modules", "");
    }

    @Test
    void theFirstOopsOfTheKernelIsKept() {
        console.accept("[    3.359000] BUG: kernel NULL pointer dereference, address: 0x30");
        console.accept("[    3.359300] Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI");
        console.accept("[    3.379288] ioasis: status=137");

        assertThat(console.report().oops())
                .contains("BUG: kernel NULL pointer dereference, address: 0x30");
        assertThat(console.report().status()).contains(137);
        assertThat(console.report().panic()).isEmpty();
    }

    @Test
    void factIsTakenOnceAndMayOnlyBeRepeatedAsItWas() {
        console.accept("ioasis: kernel=6.12");
        console.accept("ioasis: kernel=7.2");
        console.accept("ioasis: iommu=0000:00:01.0 virtio_iommu");
        console.accept("ioasis: iommu=0000:00:01.0 other");
        assertThat(console.report().malformed()).isEqualTo(2);

        // As after a reboot.
        console.accept("ioasis: kernel=6.12");
        console.accept("ioasis: iommu=0000:00:01.0 virtio_iommu");

        assertThat(console.report().kernel()).contains("6.12");
        assertThat(console.report().iommus()).isEqualTo(Map.of("0000:00:01.0", "virtio_iommu"));
        console.accept("ioasis: iommu=a000000.virtio_mmio virtio_iommu");
        console.accept("ioasis: iommu=LNRO0005:1f virtio_iommu");
        assertThat(console.report().iommus()).containsKeys("a000000.virtio_mmio", "LNRO0005:1f");
        assertThat(console.report().malformed()).isEqualTo(2);
    }

    @Test
    void endIsToldFromWhatLinuxSaysLastAndWhatQemuDid() {
        QemuProcess.End exited = new QemuProcess.End.Exited(0);
        QemuProcess.End late = new QemuProcess.End.TimedOut(Duration.ofSeconds(1));
        console.accept("not Kernel panic - not syncing: at all");
        console.accept("[    9.000000] reboot: Restarting system");

        assertThat(Ending.of(exited, console.report())).isEqualTo(Ending.REBOOT);
        assertThat(Ending.of(late, console.report())).isEqualTo(Ending.TIMEOUT);
        console.accept("[    9.000000] reboot: Power down");
        assertThat(Ending.of(exited, console.report())).isEqualTo(Ending.POWER_OFF);
        assertThat(Ending.of(new QemuProcess.End.Exited(1), console.report()))
                .isEqualTo(Ending.QEMU_FAILED);
        assertThat(Ending.of(new QemuProcess.End.Killed(), console.report()))
                .isEqualTo(Ending.KILLED);
        console.accept("[    9.123456] Kernel panic - not syncing: Fatal exception");
        console.accept("[    9.123457] Kernel panic - not syncing: another");
        assertThat(console.report().panic()).contains("Fatal exception");
        assertThat(Ending.of(exited, console.report())).isEqualTo(Ending.PANIC);
        assertThat(Ending.of(late, console.report())).isEqualTo(Ending.PANIC);
        assertThat(Arrays.stream(Ending.values()).map(Ending::code))
                .containsExactly(70, 71, 72, 73, 1, 1);
    }

    @Test
    void everyCheckHasItsHash() {
        String other = HASH.replace('0', 'f');
        console.accept("ioasis: hash=" + HASH);
        console.accept("ioasis: hash=" + other);

        assertThat(console.report().hashes()).containsExactly(HASH, other);
    }

    @Test
    void exitStatusDisksOfTheUserAndTheNetworkAreUnderstood() {
        console.accept("ioasis: disk.own12.pci=0000:00:05.0");
        console.accept("ioasis: status=255");
        console.accept("ioasis: net.pci=0000:00:03.0");

        assertThat(console.report().status()).contains(255);
        assertThat(console.report().devices()).containsOnlyKeys("own12", "net");
    }

    @Test
    void nothingCountsAfterTheEndAndNoEndAfterAFailure() {
        console.accept("ioasis: error=copy: dd ended with 1: I/O error");
        console.accept("ioasis: hash=" + HASH);
        console.accept("ioasis: end=ok");

        assertThat(console.report().failure()).contains("copy: dd ended with 1: I/O error");
        assertThat(console.report().hashes()).isEmpty();
        assertThat(console.report().isFinished()).isFalse();
    }

    @Test
    void guestThatTalksWithoutEndIsKeptWithinBounds() {
        for (int i = 0; i < 10_000; i++) {
            console.accept("ioasis: step=copy");
            console.accept("ioasis: iommu=%04x:00:00.0 x".formatted(i));
            console.accept("ioasis: hash=" + HASH);
            console.accept("line " + i);
        }

        GuestReport report = console.report();
        assertThat(report.steps()).hasSize(64);
        assertThat(report.iommus()).hasSize(64);
        assertThat(report.hashes()).hasSize(64);
        assertThat(report.malformed()).isEqualTo(3 * (10_000 - 64));
        assertThat(report.lastLines()).hasSize(40).last().isEqualTo("line 9999");
    }

    @Test
    void clockThatRunsBackwardsGivesNoNegativeTimes() {
        console.accept("[    9.000000] ioasis: step=copy");
        console.accept("[    3.000000] ioasis: end=ok");

        assertThat(console.report().steps())
                .containsExactly(new GuestReport.Step("copy", 9_000_000, 0));
    }

    @Test
    void wholeRunIsUnderstood() {
        List<GuestEvent> events =
                List.of(
                                "SeaBIOS (version 1.17.0)",
                                "[    2.506134] ioasis: kernel=6.12.107+deb13-cloud-amd64",
                                "[    2.700000] ioasis: iommu=0000:00:01.0 virtio_iommu",
                                "[    2.800000] ioasis: disk.seed.pci=0000:00:04.0",
                                "[    2.800001] ioasis: disk.seed.group=0",
                                "[    2.800002] ioasis: disk.seed.type=DMA-FQ",
                                "[    2.800003] ioasis: disk.seed.reserved=0x00000000fee00000-0x00000000feefffff-msi;",
                                "[    3.000000] ioasis: step=copy",
                                "[    4.500000] ioasis: step=hash",
                                "[    9.000000] ioasis: hash=" + HASH,
                                "[    9.250000] ioasis: end=ok",
                                "[    9.300000] reboot: Power down")
                        .stream()
                        .map(console::accept)
                        .toList();

        assertThat(events.getFirst()).isEqualTo(new GuestEvent.Text("SeaBIOS (version 1.17.0)"));
        assertThat(events)
                .contains(
                        new GuestEvent.Step("copy", 3_000_000),
                        new GuestEvent.Fact("hash", HASH),
                        new GuestEvent.Finished(9_250_000));
        GuestReport report = console.report();
        assertThat(report.kernel()).contains("6.12.107+deb13-cloud-amd64");
        assertThat(report.devices())
                .isEqualTo(
                        Map.of(
                                "seed",
                                new GuestReport.Device(
                                        "0000:00:04.0",
                                        "0",
                                        "DMA-FQ",
                                        "0x00000000fee00000-0x00000000feefffff-msi;")));
        assertThat(report.steps())
                .containsExactly(
                        new GuestReport.Step("copy", 3_000_000, 1_500_000),
                        new GuestReport.Step("hash", 4_500_000, 4_750_000));
        assertThat(report.isFinished()).isTrue();
        assertThat(report.failure()).isEmpty();
        assertThat(report.malformed()).isZero();
    }
}
