// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.ioasis.guestkit.Cleanup;
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
import org.ioasis.machine.IommuTransport;
import org.ioasis.machine.IommuUnit;
import org.ioasis.machine.Machine;
import org.ioasis.memory.Access;
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

/**
 * A guest on 64-bit ARM, in whose log both faults of its IOMMU are to be: of a device that lies,
 * and of one that the guest is not told is behind the IOMMU, so that nobody attaches it. How it is
 * told of the IOMMU and the other device is a test's. One thread.
 */
abstract class ArmFaults {
    static final int LIAR = Viot.bdf(0, 2, 0);
    static final EndpointProperties ENDPOINT =
            EndpointProperties.reserving(
                    List.of(new ReservedRegion(0x802_0000L, 0x802_0fffL, ReservedRegion.Kind.MSI)));

    static final String BOARD = "virt,gic-version=2";
    private static final String PROCESSOR = "cortex-a57";
    private static final int UNTOLD = Viot.bdf(0, 3, 0);
    private static final long UNMISTAKABLE = 0xdead_0000L;
    private static final Duration PATIENCE = Duration.ofMinutes(1);

    private final BlockingQueue<GuestEvent> events = new LinkedBlockingQueue<>();
    private final List<String> seen = new ArrayList<>();

    /** What a test needs to start its guest. */
    record Setting(
            Host host,
            Cleanup cleanup,
            Provisioner provisioner,
            GuestKit kit,
            Workspace workspace,
            Path iommuSocket) {}

    /** In MiB. */
    abstract int memory();

    /** What QEMU speaks to attach the IOMMU. */
    abstract IommuTransport transport();

    /** What the guest's kernel needs beside the drivers of the IOMMU and of both devices. */
    abstract List<String> drivers();

    /** Adds to the machine what else there is. */
    abstract void add(Machine machine, IommuUnit unit);

    /**
     * Tells the guest of the IOMMU and of {@link #LIAR}.
     *
     * @param command with all else in it
     * @param commandLine of the kernel
     * @return further words for QEMU
     */
    abstract List<String> tell(Setting setting, QemuCommand.Builder command, String commandLine)
            throws Exception;

    /** What else must have happened when both faults are in the log. */
    abstract void check(Machine machine) throws InterruptedException;

    final void bothFaultsAreInTheGuestsLog() throws Exception {
        Host host = Host.current();
        try (Cleanup cleanup = Cleanup.atExit()) {
            Provisioner provisioner = new Provisioner(host, cleanup, System.out::println);
            GuestKit kit = provisioner.provide(KernelChoice.Debian.ARM64);
            try (Workspace workspace = Workspace.create(host, cleanup, 256L << 20);
                    Machine machine = new Machine("arm", IdlePolicy.EVENT_DRIVEN)) {
                Path socket = workspace.file("iommu.sock");
                IommuUnit unit =
                        machine.addIommu(
                                "iommu",
                                IommuOptions.builder().bypassAtStart(false).build(),
                                null,
                                transport(),
                                socket);
                Rng liar = rng(machine, workspace, "liar", LIAR);
                Rng untold = rng(machine, workspace, "untold", UNTOLD);
                add(machine, unit);
                machine.start();
                Setting setting = new Setting(host, cleanup, provisioner, kit, workspace, socket);
                try (QemuProcess qemu =
                        QemuProcess.start(command(setting), host, cleanup, events::add)) {
                    await("domain fault from EP %d at 0x".formatted(UNTOLD));
                    // Attached, and with nothing of a firmware's on its way.
                    awaitTranslation(liar);
                    long before = liar.accesses().faults();
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
                    assertThat(liar.accesses().faults()).isEqualTo(before + 1);
                    check(machine);
                    qemu.kill();
                }
                assertThat(liar.accesses().translations()).isPositive();
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

    private QemuCommand command(Setting setting) throws Exception {
        List<String> all = new ArrayList<>(drivers());
        all.addAll(List.of("virtio_iommu", "virtio_rng"));
        Workspace workspace = setting.workspace();
        Initramfs initramfs =
                Initramfs.write(workspace.file("initramfs"), setting.kit(), all, Optional.empty());
        ExtraArchive.append(initramfs.file(), "lib", "attached-init");
        String commandLine =
                "console=ttyAMA0 quiet panic=-1 printk.devkmsg=on printk.time=1"
                        + " rdinit=/attached-init ioasis.modules="
                        + String.join(",", initramfs.modules());
        List<QemuArguments.Function> functions = new ArrayList<>();
        if (transport() == IommuTransport.VFIO_USER) {
            functions.add(new QemuArguments.Function(1, 0, setting.iommuSocket()));
        }
        functions.add(new QemuArguments.Function(2, 0, workspace.file("liar.sock")));
        functions.add(new QemuArguments.Function(3, 0, workspace.file("untold.sock")));
        QemuCommand.Builder command =
                QemuCommand.builder(
                                setting.kit().qemu(),
                                Accel.TCG,
                                setting.kit().kernel().image(),
                                initramfs.file())
                        .machine(new QemuCommand.Machine(BOARD, PROCESSOR))
                        .memoryMiB(memory())
                        .commandLine(commandLine)
                        .functions(functions);
        return command.more(tell(setting, command, commandLine)).build();
    }

    /** Once its own work is done through the IOMMU, the guest has attached it. */
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
