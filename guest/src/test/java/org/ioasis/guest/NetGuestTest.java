// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Initramfs;
import org.ioasis.guestkit.KernelChoice;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.kind.blk.DiskOptions;
import org.ioasis.kind.net.Nic;
import org.ioasis.kind.net.NicOptions;
import org.ioasis.live.MachineView;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.DevicePlace;
import org.ioasis.machine.Machine;
import org.ioasis.topology.Viot;
import org.ioasis.virtio.blk.BlkSettings;
import org.ioasis.virtio.net.NetSettings;
import org.ioasis.vm.Accel;
import org.ioasis.vm.QemuCommand;
import org.ioasis.vm.QemuProcess;
import org.ioasis.vm.Workspace;
import org.junit.jupiter.api.Test;

/**
 * A stock guest and its host exchange data through a network device behind the IOMMU; each side
 * hashes what has come.
 */
class NetGuestTest {
    private static final int BYTES = 8 << 20;
    private static final Duration PATIENCE = Duration.ofMinutes(3);
    private static final List<String> DRIVERS = List.of("virtio_iommu", "virtio_blk", "virtio_net");
    private static final int NIC = Viot.bdf(0, 3, 0);
    private static final int DISK = Viot.bdf(0, 2, 0);

    private final List<String> seen = Collections.synchronizedList(new ArrayList<>());

    /** Closes by hand too: what came over is judged when nothing runs any more. */
    @SuppressWarnings("try")
    @Test
    void guestAndHostExchangeDataThatIsWholeBothWaysAndTranslated() throws Exception {
        byte[] down = new byte[BYTES];
        new Random(1).nextBytes(down);
        byte[] up = new byte[BYTES];
        new Random(2).nextBytes(up);
        Host host = Host.current();
        try (Cleanup cleanup = Cleanup.atExit()) {
            GuestKit kit =
                    new Provisioner(host, cleanup, System.out::println)
                            .provide(KernelChoice.Debian.STABLE);
            try (Workspace workspace = Workspace.create(host, cleanup, 64L << 20);
                    TftpPeer peer = new TftpPeer(workspace.file("peer.sock"), down);
                    Machine machine =
                            new Machine(
                                    "net",
                                    IommuOptions.DEFAULT,
                                    IdlePolicy.EVENT_DRIVEN,
                                    workspace.file("iommu.sock"))) {
                Path image = Files.write(workspace.file("up.img"), up);
                var _ =
                        machine.add(
                                machine.iommus().getFirst(),
                                DiskOptions.builder(
                                                DevicePlace.of(
                                                        "up", workspace.file("disk.sock"), DISK),
                                                image)
                                        .writable(false)
                                        .settings(BlkSettings.builder().serial("up").build())
                                        .build());
                Nic nic =
                        machine.add(
                                machine.iommus().getFirst(),
                                new NicOptions(
                                        DevicePlace.of("net0", workspace.file("net.sock"), NIC),
                                        workspace.file("peer.sock"),
                                        new NetSettings(0x5254_0000_0702L, 9000)));
                machine.start();
                try (QemuProcess qemu =
                        QemuProcess.start(
                                command(kit, workspace),
                                host,
                                cleanup,
                                event -> seen.add(event.toString()))) {
                    assertThat(qemu.await(PATIENCE, () -> {}))
                            .as(() -> text(machine))
                            .isEqualTo(new QemuProcess.End.Exited(0));
                    assertThat(qemu.report().isFinished()).as(() -> text(machine)).isTrue();
                    assertThat(qemu.report().hashes()).containsExactly(sha256(down));
                }
                machine.close();
                peer.close();
                assertThat(peer.readBytes()).isEqualTo(BYTES);
                assertThat(peer.writtenBytes()).isEqualTo(BYTES);
                assertThat(peer.writtenHash()).isEqualTo(sha256(up));
                assertThat(nic.frames().sentBytes()).isGreaterThan(BYTES);
                assertThat(nic.frames().receivedBytes()).isGreaterThan(BYTES);
                assertThat(nic.frames().overrun() + nic.frames().lost()).isZero();
                assertThat(nic.accesses().translatedBytes()).isGreaterThan(2L * BYTES);
                assertThat(nic.accesses().bypassedAfterAttach()).isZero();
                assertThat(machine.faults()).isZero();
                assertThat(machine.internalFailures()).isZero();
            }
        }
    }

    private String text(Machine machine) {
        return String.join("\n", seen) + "\n" + MachineView.of(machine).text();
    }

    private static String sha256(byte[] bytes) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    }

    private static QemuCommand command(GuestKit kit, Workspace workspace) throws Exception {
        Initramfs initramfs =
                Initramfs.write(workspace.file("initramfs"), kit, DRIVERS, Optional.empty());
        ExtraArchive.append(initramfs.file(), "lib", "net-init");
        Path viot = workspace.file("viot");
        Files.write(
                viot,
                Viot.table(
                        Viot.Oem.IOASIS,
                        List.of(new Viot.Iommu(0, Viot.bdf(0, 1, 0))),
                        List.of(
                                new Viot.PciRange(0, 0, DISK, DISK, DISK),
                                new Viot.PciRange(0, 0, NIC, NIC, NIC)),
                        Viot.OwnFunction.REFUSED));
        return QemuCommand.builder(kit.qemu(), Accel.TCG, kit.kernel().image(), initramfs.file())
                .commandLine(
                        "console=ttyS0 quiet panic=-1 printk.devkmsg=on printk.time=1 rdinit=/net-init"
                                + " ioasis.modules="
                                + String.join(",", initramfs.modules()))
                .acpiTables(List.of(viot))
                .functions(
                        List.of(
                                new QemuCommand.Function(1, 0, workspace.file("iommu.sock")),
                                new QemuCommand.Function(2, 0, workspace.file("disk.sock")),
                                new QemuCommand.Function(3, 0, workspace.file("net.sock"))))
                .build();
    }
}
