// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.kind.blk.DiskOptions;
import org.ioasis.topology.QemuArguments;
import org.ioasis.vm.Accel;
import org.ioasis.vm.GuestTask;
import org.ioasis.vm.SeededDisk;
import org.ioasis.vm.Workspace;

/** What a user starts a guest with who wants to do it himself, as text for a shell. One thread. */
public final class PrintedGuest {
    private PrintedGuest() {}

    /**
     * The command that QEMU would be started with, for a shell; nothing is started and no disk is
     * made.
     */
    public static String command(RunOptions options, GuestTask task, Host host, Progress progress)
            throws UnavailableException, IOException, InterruptedException {
        try (Cleanup cleanup = Cleanup.atExit()) {
            GuestKit kit = new Provisioner(host, cleanup, progress::say).provide(options.kernel());
            try (Workspace workspace = Workspace.create(host, cleanup, GuestDevices.OTHER_FILES)) {
                Accel accel = GuestSetup.accel(options, kit, host, cleanup, progress, workspace);
                Platform platform = Platform.of(options, kit, workspace, host, cleanup, progress);
                return printed(
                        options,
                        task,
                        new GuestCommand(
                                options,
                                kit,
                                workspace,
                                accel,
                                platform,
                                GuestDevices.places(
                                        options, task, workspace, platform.endpoint())));
            }
        }
    }

    /**
     * The same with everything that it needs made in a folder that stays.
     *
     * @param task with disks, all there from the start, and nothing of ours at the other end of a
     *     socket
     * @return two commands for a shell, the server's and QEMU's
     */
    public static String kept(
            RunOptions options, GuestTask task, Host host, Progress progress, Path folder)
            throws UnavailableException, IOException, InterruptedException {
        try (Cleanup cleanup = Cleanup.atExit()) {
            GuestKit kit = new Provisioner(host, cleanup, progress::say).provide(options.kernel());
            try (Workspace workspace = Workspace.keeping(cleanup, folder)) {
                Accel accel = GuestSetup.accel(options, kit, host, cleanup, progress, workspace);
                String _ =
                        GuestDevices.makeDisks(
                                task,
                                workspace,
                                new SeededDisk(options.seed(), options.seedBytes()),
                                progress);
                Platform platform = Platform.of(options, kit, workspace, host, cleanup, progress);
                List<GuestDevices.Place> places =
                        GuestDevices.places(options, task, workspace, platform.endpoint());
                Path served = workspace.file("serve.toml");
                Files.writeString(served, served(options, workspace, platform, places));
                String qemu =
                        printed(
                                options,
                                task,
                                new GuestCommand(options, kit, workspace, accel, platform, places));
                return "# first, and until the end:\n# ./ioasis serve --config %s\n%s"
                        .formatted(QemuArguments.quotedShell(served.toString()), qemu);
            }
        }
    }

    private static String printed(RunOptions options, GuestTask task, GuestCommand commands)
            throws IOException, InterruptedException {
        String qemu = commands.of(task).printable();
        // The command itself stays last, so that it can be cut off.
        return options.isDebugged()
                ? "# it waits for its debugger: " + commands.debugger() + "\n" + qemu
                : qemu;
    }

    /** What serves the devices of a command that is kept (docs/config.md). */
    private static String served(
            RunOptions options,
            Workspace workspace,
            Platform platform,
            List<GuestDevices.Place> places) {
        StringBuilder toml = new StringBuilder("[[machine]]\nviot = \"served.viot\"\n");
        toml.append(platform.served());
        for (int i = 0; i < options.iommus(); i++) {
            toml.append(
                    "[[machine.iommu]]\nsocket = \"%s\"\naddress = \"00:%02x.0\"\nbypass = %b\n"
                            .formatted(
                                    GuestCommand.iommuSocket(workspace, i).getFileName(),
                                    GuestCommand.IOMMU_SLOTS.get(i),
                                    options.isBypassing()));
            for (GuestDevices.Place place : places) {
                if (place.iommu() == i && place.device() instanceof DiskOptions disk) {
                    toml.append(
                            "[[machine.iommu.blk]]\nname = \"%s\"\nsocket = \"%s\"\nfile = %s\nreadonly = %b\naddress = \"00:%02x.0\"\n"
                                    .formatted(
                                            disk.place().name(),
                                            place.socket().getFileName(),
                                            QemuArguments.quotedJson(
                                                    disk.file().toAbsolutePath().toString()),
                                            !disk.isWritable(),
                                            place.bdf() >> 3));
                }
            }
        }
        return toml.toString();
    }
}
