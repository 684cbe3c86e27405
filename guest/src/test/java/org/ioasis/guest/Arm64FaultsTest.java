// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.ioasis.guestkit.BoardTree;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.DebianProgram;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Initramfs;
import org.ioasis.guestkit.KernelChoice;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.kind.rng.Rng;
import org.ioasis.kind.rng.RngOptions;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.DevicePlace;
import org.ioasis.machine.Machine;
import org.ioasis.memory.Access;
import org.ioasis.topology.DeviceTree;
import org.ioasis.topology.QemuArguments;
import org.ioasis.topology.Viot;
import org.ioasis.virtio.rogue.Aim;
import org.ioasis.virtio.rogue.Tally;
import org.ioasis.virtio.rogue.Volley;
import org.ioasis.vm.Accel;
import org.ioasis.vm.GuestEvent;
import org.ioasis.vm.QemuCommand;
import org.ioasis.vm.QemuProcess;
import org.ioasis.vm.Workspace;
import org.junit.jupiter.api.Test;

/**
 * Both faults of the IOMMU in the log of a guest on 64-bit ARM: of a device that lies, and of one
 * that its device tree does not put behind the IOMMU, so that nobody attaches it.
 */
class Arm64FaultsTest {
    private static final QemuCommand.Machine BOARD =
            new QemuCommand.Machine("virt,gic-version=2", "cortex-a57");
    private static final int MEMORY_MIB = 256;
    private static final int LIAR = Viot.bdf(0, 2, 0);
    private static final int UNTOLD = Viot.bdf(0, 3, 0);
    private static final EndpointProperties ENDPOINT =
            EndpointProperties.reserving(
                    List.of(new ReservedRegion(0x802_0000L, 0x802_0fffL, ReservedRegion.Kind.MSI)));
    private static final long UNMISTAKABLE = 0xdead_0000L;
    private static final List<String> DRIVERS = List.of("virtio_iommu", "virtio_rng");
    private static final Duration PATIENCE = Duration.ofMinutes(1);

    private final BlockingQueue<GuestEvent> events = new LinkedBlockingQueue<>();
    private final List<String> seen = new ArrayList<>();

    @Test
    void bothFaultsAreInTheGuestsLog() throws Exception {
        Host host = Host.current();
        try (Cleanup cleanup = Cleanup.atExit()) {
            Provisioner provisioner = new Provisioner(host, cleanup, System.out::println);
            GuestKit kit = provisioner.provide(KernelChoice.Debian.ARM64);
            try (Workspace workspace = Workspace.create(host, cleanup, 64L << 20);
                    Machine machine =
                            new Machine(
                                    "arm",
                                    IommuOptions.builder().bypassAtStart(false).build(),
                                    IdlePolicy.EVENT_DRIVEN,
                                    workspace.file("iommu.sock"))) {
                Rng liar = rng(machine, workspace, "liar", LIAR);
                Rng untold = rng(machine, workspace, "untold", UNTOLD);
                machine.start();
                BoardTree tree =
                        BoardTree.of(
                                kit.qemu(),
                                BOARD.type(),
                                List.of("-serial", "null", "-m", MEMORY_MIB + "M"),
                                workspace.file("board.dtb"),
                                host,
                                cleanup);
                Path whole = tree.with(overlay(), provisioner.provide(DebianProgram.FDTOVERLAY));
                try (QemuProcess qemu =
                        QemuProcess.start(
                                command(kit, workspace, whole), host, cleanup, events::add)) {
                    await("domain fault from EP %d at 0x".formatted(UNTOLD));
                    Tally tally =
                            liar.rogue()
                                    .orElseThrow()
                                    .fire(
                                            new Volley(
                                                    Access.WRITE,
                                                    new Aim.Stride(UNMISTAKABLE, 0),
                                                    64,
                                                    1))
                                    .get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
                    assertThat(tally.faults()).isEqualTo(1);
                    await("page fault from EP %d at 0x%x [W]".formatted(LIAR, UNMISTAKABLE));
                    awaitTranslation(liar);
                    qemu.kill();
                }
                assertThat(liar.accesses().translations()).isPositive();
                assertThat(liar.accesses().faults()).isEqualTo(1);
                assertThat(untold.accesses().faults()).isPositive();
                assertThat(untold.accesses().translations() + untold.accesses().bypassed())
                        .isZero();
                assertThat(machine.internalFailures()).isZero();
            }
        }
    }

    private static Rng rng(Machine machine, Workspace workspace, String name, int endpoint)
            throws IOException {
        return machine.add(
                machine.iommus().getFirst(),
                new RngOptions(
                        new DevicePlace(name, workspace.file(name + ".sock"), endpoint, ENDPOINT),
                        true));
    }

    /** Of both devices only one is named. */
    private static byte[] overlay() {
        return DeviceTree.overlay(
                List.of(new Viot.Iommu(0, Viot.bdf(0, 1, 0))),
                List.of(new Viot.PciRange(0, 0, LIAR, LIAR, LIAR)),
                new DeviceTree.Places(Map.of(0, "/pcie@10000000"), Map.of()));
    }

    private static QemuCommand command(GuestKit kit, Workspace workspace, Path tree)
            throws IOException {
        Initramfs initramfs =
                Initramfs.write(workspace.file("initramfs"), kit, DRIVERS, Optional.empty());
        ExtraArchive.append(initramfs.file(), "lib", "attached-init");
        return QemuCommand.builder(kit.qemu(), Accel.TCG, kit.kernel().image(), initramfs.file())
                .machine(BOARD)
                .memoryMiB(MEMORY_MIB)
                .commandLine(
                        "console=ttyAMA0 quiet panic=-1 printk.devkmsg=on printk.time=1"
                                + " rdinit=/attached-init ioasis.modules="
                                + String.join(",", initramfs.modules()))
                .functions(
                        List.of(
                                new QemuArguments.Function(1, 0, workspace.file("iommu.sock")),
                                new QemuArguments.Function(2, 0, workspace.file("liar.sock")),
                                new QemuArguments.Function(3, 0, workspace.file("untold.sock"))))
                .more(List.of("-dtb", tree.toString()))
                .build();
    }

    /** Its own work may come after what it is made to do. */
    private static void awaitTranslation(Rng device) throws InterruptedException {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (device.accesses().translations() == 0 && System.nanoTime() - deadline < 0) {
            Thread.sleep(10);
        }
    }

    /** Reads on until a line of the console has this in it. */
    private void await(String wanted) throws InterruptedException {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (true) {
            GuestEvent event = events.poll(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
            if (event == null) {
                throw new AssertionError("not seen: " + wanted + "\n" + String.join("\n", seen));
            }
            seen.add(event.toString());
            if (event instanceof GuestEvent.Text(String line) && line.contains(wanted)) {
                return;
            }
        }
    }
}
