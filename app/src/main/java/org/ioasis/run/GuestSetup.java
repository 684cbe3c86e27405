// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.live.MachineView;
import org.ioasis.machine.Machine;
import org.ioasis.vm.Accel;
import org.ioasis.vm.AccelChoice;
import org.ioasis.vm.Ending;
import org.ioasis.vm.GuestEvent;
import org.ioasis.vm.GuestReport;
import org.ioasis.vm.GuestTask;
import org.ioasis.vm.QemuCommand;
import org.ioasis.vm.QemuProcess;
import org.ioasis.vm.Qmp;
import org.ioasis.vm.SeededDisk;
import org.ioasis.vm.Terminal;
import org.ioasis.vm.Workspace;
import org.jspecify.annotations.Nullable;

/**
 * A guest that could start now: kernel, initramfs and QEMU's command, and our devices, which serve;
 * which they are says {@link GuestDevices}. One thread; blocks while the guest runs.
 */
public final class GuestSetup implements AutoCloseable {
    private static final long MIB = 1L << 20;

    private static final long STATUS_MILLIS = 500;

    /**
     * QEMU says so of every device without an error interrupt (AER), which virtio has no use for.
     */
    private static final String NO_ERROR_RECOVERY =
            "Could not enable error recovery for the device";

    /** What the kernel says last, also when all is well. */
    private static final String POWER_DOWN = "reboot: Power down";

    private final RunOptions options;
    private final Host host;
    private final Cleanup cleanup;
    private final Progress progress;
    private final GuestKit kit;
    private final Workspace workspace;
    private final Accel accel;
    private final SeededDisk seeded;
    private final String hash;
    private final @Nullable NetPeer peer;
    private final WatchedMachine served;
    private final GuestCommand commands;
    private final QemuCommand command;

    private GuestSetup(
            RunOptions options,
            GuestTask task,
            Host host,
            Cleanup cleanup,
            Progress progress,
            GuestKit kit,
            Workspace workspace)
            throws UnavailableException, IOException, InterruptedException {
        this.options = options;
        this.host = host;
        this.cleanup = cleanup;
        this.progress = progress;
        this.kit = kit;
        this.workspace = workspace;
        accel = accel(options, kit, host, cleanup, progress, workspace);
        seeded = new SeededDisk(options.seed(), options.seedBytes());
        hash = GuestDevices.makeDisks(task, workspace, seeded, progress);
        Platform platform = Platform.of(options, kit, workspace, host, cleanup, progress);
        List<GuestDevices.Place> places =
                GuestDevices.places(options, task, workspace, platform.endpoint());
        commands = new GuestCommand(options, kit, workspace, accel, platform, places);
        command = commands.of(task);
        peer =
                task instanceof GuestTask.Net(long bytes)
                        ? new NetPeer(GuestDevices.netSocket(workspace), fetched(bytes))
                        : null;
        boolean isServed = false;
        try {
            served = WatchedMachine.start(options, workspace, platform, places);
            isServed = true;
        } finally {
            if (!isServed && peer != null) {
                peer.close();
            }
        }
        String address = served.pageAddress();
        if (address != null) {
            progress.say("page " + address);
        }
    }

    /** What the guest gets over its network: not what it sends, in any part. */
    private SeededDisk fetched(long bytes) {
        return new SeededDisk(~seeded.seed(), bytes);
    }

    /**
     * Gets everything ready and serves the devices.
     *
     * @param cleanup outlives the setup
     * @throws UnavailableException this machine lacks something; the message says what to do
     */
    public static GuestSetup prepare(
            RunOptions options, GuestTask task, Host host, Cleanup cleanup, Progress progress)
            throws UnavailableException, IOException, InterruptedException {
        GuestKit kit = new Provisioner(host, cleanup, progress::say).provide(options.kernel());
        Workspace workspace =
                Workspace.create(host, cleanup, GuestDevices.fileBytes(task, options.seedBytes()));
        boolean isComplete = false;
        try {
            GuestSetup setup =
                    new GuestSetup(options, task, host, cleanup, progress, kit, workspace);
            isComplete = true;
            return setup;
        } finally {
            if (!isComplete) {
                workspace.close();
            }
        }
    }

    static Accel accel(
            RunOptions options,
            GuestKit kit,
            Host host,
            Cleanup cleanup,
            Progress progress,
            Workspace workspace)
            throws IOException, InterruptedException {
        if (options.accel().isPresent()) {
            return options.accel().get();
        }
        if (options.board() instanceof RunOptions.Board.Virt) {
            // Not this host's processor.
            return Accel.TCG;
        }
        return new AccelChoice(host, cleanup, progress::say).choose(kit, workspace);
    }

    public Machine machine() {
        return served.machine();
    }

    /** What starts a VMM with these devices. */
    public QemuCommand command() {
        return command;
    }

    /** The same for another task: for whoever starts one VMM after the other. */
    public QemuCommand command(GuestTask other) throws IOException, InterruptedException {
        return commands.of(other);
    }

    /** The disk that the guest reads. */
    public SeededDisk seeded() {
        return seeded;
    }

    /** SHA-256 of the disk that the guest reads, in hexadecimal. */
    String hash() {
        return hash;
    }

    /** What the guest copies the seeded disk to. */
    public Path resultFile() {
        return GuestDevices.resultFile(workspace);
    }

    /** The host's end of the guest's network, for the task that has one. */
    NetPeer peer() {
        NetPeer running = peer;
        if (running == null) {
            throw new IllegalStateException("no network in this run");
        }
        return running;
    }

    /** SHA-256 of what the guest gets over its network, in hexadecimal. */
    String fetchedHash() {
        return fetched(seeded.bytes()).hash();
    }

    /** Where the second serial port connects, for a task that has output. */
    Path outputSocket() {
        return commands.outputSocket();
    }

    /** Gives a running guest its result disk, if that was not there from the start. */
    void plugInResult() throws IOException {
        try (Qmp qmp = Qmp.connect(commands.controlSocket())) {
            qmp.plugIn(workspace.file("result.sock"));
        }
    }

    /** How QEMU and the guest ended. */
    record Ended(QemuProcess.End end, GuestReport guest, List<String> vmmErrors) {
        Ending ending() {
            return Ending.of(end, guest);
        }
    }

    /**
     * Starts QEMU and waits for its end.
     *
     * @param listener gets what the guest says, as it says it
     * @param terminal the guest's console, or null
     */
    Ended boot(Consumer<GuestEvent> listener, @Nullable Terminal terminal)
            throws IOException, InterruptedException {
        sayBooting(kit, command, "", progress);
        try (ScheduledExecutorService ticker = Executors.newSingleThreadScheduledExecutor();
                QemuProcess qemu = start(listener, terminal)) {
            if (terminal == null) {
                ScheduledFuture<?> _ =
                        ticker.scheduleAtFixedRate(
                                () -> progress.status(status()),
                                STATUS_MILLIS,
                                STATUS_MILLIS,
                                TimeUnit.MILLISECONDS);
            }
            if (options.isDebugged()) {
                progress.say("the guest waits for its debugger: " + commands.debugger());
            }
            Ended ended =
                    await(
                            qemu,
                            options,
                            () ->
                                    MachineView.of(machine()).text()
                                            + Qmp.state(commands.controlSocket()),
                            progress);
            ticker.shutdownNow();
            return ended;
        }
    }

    /** Tells the user what is started, and how else than usual. */
    static void sayBooting(GuestKit kit, QemuCommand command, String how, Progress progress) {
        progress.say(
                "booting Linux %s on QEMU %s (%s, %d MiB%s)"
                        .formatted(
                                kit.kernel().release(),
                                kit.qemu().version(),
                                command.accel().name().toLowerCase(Locale.ROOT),
                                command.memoryMiB(),
                                how));
    }

    /**
     * Waits for the end of QEMU; tells the state of the devices before it is killed for the time.
     */
    static Ended await(
            QemuProcess qemu, RunOptions options, Supplier<String> state, Progress progress)
            throws InterruptedException {
        QemuProcess.End end =
                qemu.await(
                        options.limit(),
                        () ->
                                progress.say(
                                        "the guest does not end; state of the devices:\n"
                                                + state.get()
                                                + "last lines of the console:\n  "
                                                + String.join("\n  ", qemu.report().lastLines())));
        return new Ended(end, qemu.report(), qemu.errors());
    }

    private QemuProcess start(Consumer<GuestEvent> listener, @Nullable Terminal terminal)
            throws IOException {
        return terminal == null
                ? QemuProcess.start(command, host, cleanup, listener)
                : QemuProcess.start(command, host, cleanup, listener, terminal);
    }

    Accel accel() {
        return accel;
    }

    /** Tells the user what the guest says. */
    void tell(GuestEvent event) {
        tell(event, progress);
    }

    static void tell(GuestEvent event, Progress progress) {
        switch (event) {
            case GuestEvent.Step(String name, long micros) ->
                    progress.say(
                            String.format(
                                    Locale.ROOT, "guest: %s (at %.1f s)", name, micros / 1e6));
            case GuestEvent.Vmm(String line) -> {
                if (!line.endsWith(NO_ERROR_RECOVERY)) {
                    progress.say("qemu: " + line);
                }
            }
            case GuestEvent.Failed(String reason) -> progress.say("guest: failed at " + reason);
            case GuestEvent.Malformed(String line) ->
                    progress.say("guest: not understood: " + line);
            case GuestEvent.Text(String line) -> {
                // The kernel is told to be quiet: what it says all the same is an error.
                if (!line.isBlank() && !line.endsWith(POWER_DOWN)) {
                    progress.say("console: " + line);
                }
            }
            case GuestEvent.Fact _, GuestEvent.Finished _ -> {}
        }
    }

    private String status() {
        Machine machine = machine();
        EndpointCounts accesses = machine.accesses();
        String exchanged =
                peer == null
                        ? ""
                        : String.format(
                                Locale.ROOT,
                                "%,d MiB down, %,d MiB up, ",
                                peer.down() / MIB,
                                peer.up() / MIB);
        return String.format(
                Locale.ROOT,
                "%s%,d requests, %,d translations, %,d MiB translated, %d faults",
                exchanged,
                machine.requests(),
                accesses.translations(),
                accesses.translatedBytes() / MIB,
                machine.faults());
    }

    /** Ends the sessions and removes the disks. */
    @Override
    public void close() throws IOException {
        try {
            served.close();
        } finally {
            if (peer != null) {
                peer.close();
            }
            String recorded = served.recorded();
            if (recorded != null) {
                progress.say(recorded);
            }
            workspace.close();
        }
    }
}
