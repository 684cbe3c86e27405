// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.Initramfs;
import org.ioasis.machine.IommuTransport;
import org.ioasis.topology.QemuArguments;
import org.ioasis.topology.Viot;
import org.ioasis.vm.Accel;
import org.ioasis.vm.GuestTask;
import org.ioasis.vm.QemuCommand;
import org.ioasis.vm.Workspace;

/**
 * How QEMU is told of a guest: its kernel and what that is told, where our devices are, and the
 * sockets to QEMU itself. One thread.
 */
final class GuestCommand {
    /** Slots on the root bus. Behind the IOMMU are exactly the devices of {@link GuestDevices}. */
    private static final int IOMMU_SLOT = 1;

    /** Of the second IOMMU, if there are two. */
    static final int SECOND_IOMMU_SLOT = 0x1d;

    /** Of the root port with the bus for what is plugged in. */
    private static final int PORT_SLOT = 0x1e;

    static final List<Integer> IOMMU_SLOTS = List.of(IOMMU_SLOT, SECOND_IOMMU_SLOT);

    private final RunOptions options;
    private final GuestKit kit;
    private final Workspace workspace;
    private final Accel accel;
    private final Platform platform;
    private final List<GuestDevices.Place> places;

    GuestCommand(
            RunOptions options,
            GuestKit kit,
            Workspace workspace,
            Accel accel,
            Platform platform,
            List<GuestDevices.Place> places) {
        this.options = options;
        this.kit = kit;
        this.workspace = workspace;
        this.accel = accel;
        this.platform = platform;
        this.places = places;
    }

    /** Where an IOMMU is served. */
    static Path iommuSocket(Workspace workspace, int index) {
        return workspace.file("iommu" + index + ".sock");
    }

    /** Where QEMU takes commands. */
    Path controlSocket() {
        return workspace.file("qmp.sock");
    }

    /** Where the second serial port connects, for a task that has output. */
    Path outputSocket() {
        return workspace.file("output.sock");
    }

    private Path debuggerSocket() {
        return workspace.file("gdb.sock");
    }

    /** What starts the debugger of a guest that waits for it. */
    String debugger() {
        return "gdb -ex 'target remote %s' vmlinux".formatted(debuggerSocket());
    }

    /** What starts QEMU for a task. */
    QemuCommand of(GuestTask task) throws IOException, InterruptedException {
        List<String> drivers = new ArrayList<>(platform.drivers());
        drivers.addAll(task.drivers());
        Initramfs initramfs =
                options.initramfs().isPresent()
                        ? new Initramfs(options.initramfs().get(), List.of())
                        : Initramfs.write(
                                workspace.file("initramfs"), kit, drivers, task.commandFile());
        if (options.share().isPresent()) {
            initramfs = initramfs.sharing(options.share().get());
        }
        List<QemuArguments.Function> functions = new ArrayList<>();
        List<Viot.PciRange> ranges = new ArrayList<>();
        List<Viot.Iommu> iommus = new ArrayList<>();
        List<Path> sockets = new ArrayList<>();
        for (int i = 0; i < options.iommus(); i++) {
            int slot = IOMMU_SLOTS.get(i);
            sockets.add(iommuSocket(workspace, i));
            if (platform.transport() == IommuTransport.VFIO_USER) {
                functions.add(new QemuArguments.Function(slot, 0, sockets.getLast()));
            }
            iommus.add(new Viot.Iommu(0, Viot.bdf(0, slot, 0)));
        }
        for (GuestDevices.Place place : places) {
            // Endpoint and address are the same number.
            ranges.add(new Viot.PciRange(place.iommu(), 0, place.bdf(), place.bdf(), place.bdf()));
            if (place.bdf() != GuestDevices.PLUGGED_BDF) {
                functions.add(new QemuArguments.Function(place.bdf() >> 3, 0, place.socket()));
            }
        }
        List<String> parameters = new ArrayList<>(platform.parameters());
        parameters.addAll(options.parameters());
        Path kernel = kit.kernel().image();
        String commandLine =
                task.commandLine(initramfs.modules(), options.disks().size(), parameters);
        QemuCommand.Builder command =
                QemuCommand.builder(kit.qemu(), accel, kernel, initramfs.file())
                        .memoryMiB(options.memoryMiB())
                        .processors(options.processors())
                        .commandLine(commandLine)
                        .functions(functions)
                        .rebooting(task.reboots())
                        .firmwareKeptOff(!options.isBypassing())
                        .control(controlSocket());
        List<String> words =
                new ArrayList<>(
                        platform.describe(
                                command,
                                new Platform.Guest(
                                        task, kernel, commandLine, iommus, sockets, ranges)));
        words.addAll(more());
        var _ = command.more(words);
        if (task.commandFile().isPresent()) {
            command.secondSerial(outputSocket());
        }
        if (task.hotplugs()) {
            command.rootPort(PORT_SLOT);
        }
        return command.build();
    }

    /** What QEMU is told beside what we need. */
    private List<String> more() {
        List<String> words = new ArrayList<>();
        if (options.isDebugged()) {
            words.addAll(
                    List.of(
                            "-chardev",
                            "socket,id=gdb,server=on,wait=off,path=" + debuggerSocket(),
                            "-gdb",
                            "chardev:gdb",
                            "-S"));
        }
        words.addAll(options.qemu());
        return words;
    }
}
