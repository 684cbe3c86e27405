// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
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
import org.ioasis.guestkit.Initramfs;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.kind.blk.DiskOptions;
import org.ioasis.live.MachineView;
import org.ioasis.live.Trace;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.IommuTransport;
import org.ioasis.machine.IommuUnit;
import org.ioasis.machine.Machine;
import org.ioasis.memory.GuestMemory;
import org.ioasis.page.Page;
import org.ioasis.record.Recorder;
import org.ioasis.topology.QemuArguments;
import org.ioasis.topology.Viot;
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
    /** Slots on the root bus. Behind the IOMMU are exactly the devices of {@link GuestDevices}. */
    private static final int IOMMU_SLOT = 1;

    /** Of the second IOMMU, if there are two. */
    static final int SECOND_IOMMU_SLOT = 0x1d;

    /** Of the root port with the bus for what is plugged in. */
    private static final int PORT_SLOT = 0x1e;

    private static final List<Integer> IOMMU_SLOTS = List.of(IOMMU_SLOT, SECOND_IOMMU_SLOT);
    private static final String CONTROL_SOCKET = "qmp.sock";
    private static final String DEBUGGER_SOCKET = "gdb.sock";
    private static final String OUTPUT_SOCKET = "output.sock";
    private static final long MIB = 1L << 20;

    private static final long STATUS_MILLIS = 500;

    /** As many IOMMUs as there are slots for them. */
    public static final int IOMMU_LIMIT = IOMMU_SLOTS.size();

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
    private final Machine machine;
    private final @Nullable Trace trace;
    private final @Nullable Recorder recorder;
    private final @Nullable Page page;
    private final Platform platform;
    private final List<GuestDevices.Place> places;
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
        platform = Platform.of(options, kit, workspace, host, cleanup, progress);
        places = GuestDevices.places(options, task, workspace, platform.endpoint());
        command = command(options, task, kit, workspace, accel, platform, places);
        peer =
                task instanceof GuestTask.Net(long bytes)
                        ? new NetPeer(GuestDevices.netSocket(workspace), fetched(bytes))
                        : null;
        boolean isMade = false;
        try {
            recorder = options.record().isEmpty() ? null : Recorder.create(options.record().get());
            machine = machine(options, workspace, platform, places, recorder);
            trace = trace(options, machine);
            page = page(options, machine);
            isMade = true;
        } finally {
            if (!isMade && peer != null) {
                peer.close();
            }
        }
        if (recorder != null) {
            recorder.begin();
        }
        machine.start();
        if (page != null) {
            progress.say("page " + page.address());
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

    /**
     * The command that QEMU would be started with, for a shell; nothing is started and no disk is
     * made.
     */
    public static String qemuCommand(
            RunOptions options, GuestTask task, Host host, Progress progress)
            throws UnavailableException, IOException, InterruptedException {
        try (Cleanup cleanup = Cleanup.atExit()) {
            GuestKit kit = new Provisioner(host, cleanup, progress::say).provide(options.kernel());
            try (Workspace workspace = Workspace.create(host, cleanup, GuestDevices.OTHER_FILES)) {
                Accel accel = accel(options, kit, host, cleanup, progress, workspace);
                Platform platform = Platform.of(options, kit, workspace, host, cleanup, progress);
                return command(
                                options,
                                task,
                                kit,
                                workspace,
                                accel,
                                platform,
                                GuestDevices.places(options, task, workspace, platform.endpoint()))
                        .printable();
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
    public static String keptCommand(
            RunOptions options, GuestTask task, Host host, Progress progress, Path folder)
            throws UnavailableException, IOException, InterruptedException {
        try (Cleanup cleanup = Cleanup.atExit()) {
            GuestKit kit = new Provisioner(host, cleanup, progress::say).provide(options.kernel());
            try (Workspace workspace = Workspace.keeping(cleanup, folder)) {
                Accel accel = accel(options, kit, host, cleanup, progress, workspace);
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
                        command(options, task, kit, workspace, accel, platform, places).printable();
                return "# first, and until the end:\n# ./ioasis serve --config %s\n%s"
                        .formatted(QemuArguments.quotedShell(served.toString()), qemu);
            }
        }
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
                                    iommuSocket(workspace, i).getFileName(),
                                    IOMMU_SLOTS.get(i),
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

    private static Machine machine(
            RunOptions options,
            Workspace workspace,
            Platform platform,
            List<GuestDevices.Place> places,
            @Nullable Recorder recorder)
            throws IOException {
        IommuOptions iommuOptions =
                platform.iommu(IommuOptions.builder()).bypassAtStart(options.isBypassing()).build();
        Machine machine =
                new Machine(
                        "machine", IdlePolicy.ADAPTIVE, GuestMemory.REGION_LIMIT, options.ring());
        boolean isComplete = false;
        try {
            for (int i = 0; i < options.iommus(); i++) {
                IommuUnit unit =
                        machine.addIommu(
                                "iommu" + i,
                                iommuOptions,
                                null,
                                platform.transport(),
                                iommuSocket(workspace, i));
                if (recorder != null) {
                    recorder.watch(machine.name(), unit);
                }
            }
            for (GuestDevices.Place place : places) {
                var _ = machine.add(machine.iommus().get(place.iommu()), place.device());
            }
            isComplete = true;
            return machine;
        } finally {
            if (!isComplete) {
                if (recorder != null) {
                    recorder.close();
                }
                machine.close();
            }
        }
    }

    private static @Nullable Trace trace(RunOptions options, Machine machine) throws IOException {
        if (options.trace().isEmpty()) {
            return null;
        }
        boolean isBegun = false;
        try {
            Trace begun = Trace.start(options.trace().get());
            begun.watch(machine);
            isBegun = true;
            return begun;
        } finally {
            if (!isBegun) {
                machine.close();
            }
        }
    }

    private static @Nullable Page page(RunOptions options, Machine machine) throws IOException {
        if (options.page().isEmpty()) {
            return null;
        }
        boolean isShown = false;
        try {
            Page shown = Page.start(List.of(machine), options.page().getAsInt());
            isShown = true;
            return shown;
        } finally {
            if (!isShown) {
                machine.close();
            }
        }
    }

    private static Path iommuSocket(Workspace workspace, int index) {
        return workspace.file("iommu" + index + ".sock");
    }

    private static QemuCommand command(
            RunOptions options,
            GuestTask task,
            GuestKit kit,
            Workspace workspace,
            Accel accel,
            Platform platform,
            List<GuestDevices.Place> places)
            throws IOException, InterruptedException {
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
        QemuCommand.Builder command =
                QemuCommand.builder(kit.qemu(), accel, kit.kernel().image(), initramfs.file())
                        .memoryMiB(options.memoryMiB())
                        .processors(options.processors())
                        .commandLine(
                                task.commandLine(
                                        initramfs.modules(), options.disks().size(), parameters))
                        .functions(functions)
                        .rebooting(task.reboots())
                        .firmwareKeptOff(!options.isBypassing())
                        .control(workspace.file(CONTROL_SOCKET));
        List<String> words =
                new ArrayList<>(platform.describe(command, task, iommus, sockets, ranges));
        words.addAll(more(options, workspace));
        var _ = command.more(words);
        if (task.commandFile().isPresent()) {
            command.secondSerial(workspace.file(OUTPUT_SOCKET));
        }
        if (task.hotplugs()) {
            command.rootPort(PORT_SLOT);
        }
        return command.build();
    }

    /** What QEMU is told beside what we need. */
    private static List<String> more(RunOptions options, Workspace workspace) {
        List<String> words = new ArrayList<>();
        if (options.isDebugged()) {
            words.addAll(
                    List.of(
                            "-chardev",
                            "socket,id=gdb,server=on,wait=off,path="
                                    + workspace.file(DEBUGGER_SOCKET),
                            "-gdb",
                            "chardev:gdb",
                            "-S"));
        }
        words.addAll(options.qemu());
        return words;
    }

    public Machine machine() {
        return machine;
    }

    /** What starts a VMM with these devices. */
    public QemuCommand command() {
        return command;
    }

    /** The same for another task: for whoever starts one VMM after the other. */
    public QemuCommand command(GuestTask other) throws IOException, InterruptedException {
        return command(options, other, kit, workspace, accel, platform, places);
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
        return workspace.file(OUTPUT_SOCKET);
    }

    /** Gives a running guest its result disk, if that was not there from the start. */
    void plugInResult() throws IOException {
        try (Qmp qmp = Qmp.connect(workspace.file(CONTROL_SOCKET))) {
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
                progress.say(
                        "the guest waits for its debugger: gdb -ex 'target remote %s' vmlinux"
                                .formatted(workspace.file(DEBUGGER_SOCKET)));
            }
            Ended ended =
                    await(
                            qemu,
                            options,
                            () ->
                                    MachineView.of(machine).text()
                                            + Qmp.state(workspace.file(CONTROL_SOCKET)),
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
            if (page != null) {
                page.close();
            }
            machine.close();
        } finally {
            if (peer != null) {
                peer.close();
            }
            if (trace != null) {
                trace.close();
            }
            if (recorder != null) {
                recorder.close();
                progress.say(recorder.sentence());
            }
            workspace.close();
        }
    }
}
