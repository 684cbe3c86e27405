// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.guest;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.DebianProgram;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.GuestProgram;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Initramfs;
import org.ioasis.guestkit.KernelChoice;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.kind.blk.DiskOptions;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.DevicePlace;
import org.ioasis.machine.ProgramMachine;
import org.ioasis.run.Progress;
import org.ioasis.run.ServedProgram;
import org.ioasis.topology.QemuArguments;
import org.ioasis.virtio.blk.BlkSettings;
import org.ioasis.virtqueue.RingFormat;
import org.ioasis.vm.Accel;
import org.ioasis.vm.AccelChoice;
import org.ioasis.vm.GuestTask;
import org.ioasis.vm.QemuCommand;
import org.ioasis.vm.SeededDisk;
import org.ioasis.vm.Workspace;

/**
 * The same guest, kernel and disk once with QEMU's own virtio-iommu and virtio-blk and once with
 * ours, served or assigned, in turn, so that whatever else the machine does meets all. One thread;
 * blocks until it is over.
 */
final class GuestBench {
    private static final long SEED = 0x10a515;
    private static final long MIB = 1L << 20;
    private static final int MEMORY_MIB = 512;
    private static final int IOMMU_SLOT = 1;
    private static final int DISK_SLOT = 4;
    private static final String ASSIGNED_ADDRESS = "10a5:00:00.0";

    /** Boot, end and verification of a guest, and what fio needs around each cell. */
    private static final int BOOT_SECONDS = 90;

    private static final int CELL_SECONDS = 20;
    private static final List<String> DRIVERS = List.of("virtio_iommu", "virtio_blk");

    /** Whose devices. */
    enum Subject {
        QEMU("QEMU"),
        OURS("Ioasis"),
        /** Ours, told more: to record, for instance. */
        WITH("with"),
        /** Our disk, assigned: bound to /dev/iommu, with no IOMMU in the guest. */
        IOMMUFD("iommufd"),
        /** The same by its group, in a container of type 1. */
        TYPE1("type1");

        static final List<Subject> BY_DEFAULT = List.of(QEMU, OURS);
        static final List<Subject> ASSIGNED = List.of(IOMMUFD, TYPE1);

        private final String label;

        Subject(String label) {
            this.label = label;
        }

        String label() {
            return label;
        }
    }

    /** How Linux gives back addresses: many at once and late, or each before it is used again. */
    enum Mode {
        LAZY("0"),
        STRICT("1");

        private final String strict;

        Mode(String strict) {
            this.strict = strict;
        }

        String label() {
            return name().toLowerCase(Locale.ROOT);
        }

        List<String> parameters() {
            return List.of("iommu.passthrough=0", "iommu.strict=" + strict);
        }
    }

    /**
     * What is measured.
     *
     * @param seconds for each cell
     * @param processors of the guest
     * @param pollMicros of the server's loop; empty for its default
     * @param with further words for the server of that subject
     */
    record Options(
            int rounds,
            int seconds,
            int processors,
            List<FioCell> cells,
            List<Mode> modes,
            List<Subject> subjects,
            Optional<Long> pollMicros,
            List<String> with) {
        Options {
            with = List.copyOf(with);
            cells = List.copyOf(cells);
            modes = List.copyOf(modes);
            subjects = List.copyOf(subjects);
        }
    }

    private final Options options;
    private final Path launcher;
    private final Host host;
    private final Progress progress;
    private final Cleanup cleanup;
    private String seedHash = "";

    private GuestBench(
            Options options, Path launcher, Host host, Progress progress, Cleanup cleanup) {
        this.options = options;
        this.launcher = launcher;
        this.host = host;
        this.progress = progress;
        this.cleanup = cleanup;
    }

    /**
     * Measures.
     *
     * @param launcher what starts a server
     * @throws UnavailableException this machine lacks something; the message says what to do
     * @throws IOException a guest does not end well, or its data is not what it should be
     */
    static GuestBenchReport run(Options options, Path launcher, Host host, Progress progress)
            throws UnavailableException, IOException, InterruptedException {
        try (Cleanup cleanup = Cleanup.atExit()) {
            return new GuestBench(options, launcher, host, progress, cleanup).run();
        }
    }

    Host host() {
        return host;
    }

    Cleanup cleanup() {
        return cleanup;
    }

    List<FioCell> cells() {
        return options.cells();
    }

    /** SHA-256 of the part of the disk that is never written. */
    String seedHash() {
        return seedHash;
    }

    private GuestBenchReport run() throws UnavailableException, IOException, InterruptedException {
        Provisioner provisioner = new Provisioner(host, cleanup, progress::say);
        GuestKit kit = provisioner.provide(KernelChoice.Debian.STABLE);
        GuestProgram fio = provisioner.provide(DebianProgram.FIO);
        try (Workspace workspace =
                Workspace.create(host, cleanup, (FioCell.DISK_MIB + 128) * MIB)) {
            Accel accel = new AccelChoice(host, cleanup, progress::say).choose(kit, workspace);
            Path disk = workspace.file("disk.img");
            seedHash = new SeededDisk(SEED, FioCell.SEEDED_MIB * MIB).write(disk);
            try (FileChannel file = FileChannel.open(disk, StandardOpenOption.WRITE)) {
                // Written and not sparse: a hole is read faster than data.
                ByteBuffer chunk = ByteBuffer.allocate((int) MIB);
                for (long at = FioCell.SEEDED_MIB; at < FioCell.DISK_MIB; at++) {
                    file.write(chunk.clear(), at * MIB);
                }
            }
            GuestTask task =
                    new GuestTask.Measure(FioCell.script(options.cells(), options.seconds()));
            Initramfs initramfs =
                    Initramfs.write(
                            workspace.file("initramfs"),
                            kit,
                            DRIVERS,
                            task.commandFile(),
                            List.of(fio));
            GuestBenchReport report =
                    new GuestBenchReport(
                            kit.qemu().version(), kit.kernel().release(), accel.name(), options);
            for (int round = 1; round <= options.rounds(); round++) {
                for (Mode mode : options.modes()) {
                    for (Subject subject : options.subjects()) {
                        Map<String, GuestFigure> figures =
                                boot(subject, mode, kit, accel, task, initramfs, workspace);
                        report.add(mode, subject, figures);
                        progress.say(
                                "round %d, %s, %s: %s"
                                        .formatted(
                                                round,
                                                mode.label(),
                                                subject.label(),
                                                GuestBenchReport.line(figures)));
                    }
                }
            }
            return report;
        }
    }

    private Map<String, GuestFigure> boot(
            Subject subject,
            Mode mode,
            GuestKit kit,
            Accel accel,
            GuestTask task,
            Initramfs initramfs,
            Workspace workspace)
            throws IOException, InterruptedException {
        Path disk = workspace.file("disk.img");
        Path output = workspace.file("output.sock");
        Path iommuSocket = workspace.file("iommu.sock");
        Path diskSocket = workspace.file("disk.sock");
        Path table = workspace.file("viot");
        List<QemuArguments.Function> functions = new ArrayList<>();
        List<Path> tables = new ArrayList<>();
        List<String> own = new ArrayList<>();
        switch (subject) {
            case OURS, WITH -> {
                functions.add(new QemuArguments.Function(IOMMU_SLOT, 0, iommuSocket));
                functions.add(new QemuArguments.Function(DISK_SLOT, 0, diskSocket));
                tables.add(table);
            }
            case QEMU -> own.addAll(ownDevices(disk));
            case IOMMUFD -> {
                own.addAll(List.of("-object", "iommufd,id=host"));
                own.addAll(assigned(",iommufd=host"));
            }
            case TYPE1 -> own.addAll(assigned(""));
        }
        QemuCommand command =
                QemuCommand.builder(kit.qemu(), accel, kit.kernel().image(), initramfs.file())
                        .memoryMiB(MEMORY_MIB)
                        .processors(options.processors())
                        .commandLine(task.commandLine(initramfs.modules(), 0, mode.parameters()))
                        .acpiTables(tables)
                        .functions(functions)
                        .secondSerial(output)
                        .more(own)
                        .build();
        Duration limit =
                Duration.ofSeconds(
                        BOOT_SECONDS
                                + (long) options.cells().size()
                                        * (CELL_SECONDS + options.seconds()));
        if (subject == Subject.QEMU) {
            return new GuestBoot(this).run(command, output, limit);
        }
        if (Subject.ASSIGNED.contains(subject)) {
            Path folder = workspace.file("sysfs");
            try (ProgramMachine machine =
                    new ProgramMachine(
                            "machine",
                            IommufdNode.builder().build(),
                            IdlePolicy.ADAPTIVE,
                            RingFormat.SPLIT)) {
                var _ = machine.add(options(disk, diskSocket));
                machine.start();
                return new GuestBoot(
                                this,
                                (words, environment) ->
                                        ServedProgram.start(machine, folder, words, environment))
                        .run(command, output, limit);
            }
        }
        Path control = workspace.file("control.sock");
        Path config = workspace.file("serve.toml");
        Files.writeString(config, config(control, table, iommuSocket, diskSocket, disk));
        List<String> more = subject == Subject.WITH ? options.with() : List.of();
        try (ServerProcess server =
                new ServerProcess(host, cleanup, launcher, config, control, more)) {
            return new GuestBoot(this, server).run(command, output, limit);
        }
    }

    /** The first device that a machine serves to programs. */
    private static List<String> assigned(String how) {
        return List.of(
                "-device",
                "vfio-pci,host=%s,addr=%x%s".formatted(ASSIGNED_ADDRESS, DISK_SLOT, how));
    }

    private static DiskOptions options(Path disk, Path socket) {
        return DiskOptions.builder(DevicePlace.of("disk", socket, DISK_SLOT << 3), disk)
                .settings(BlkSettings.builder().serial(GuestTask.SEED_SERIAL).build())
                .build();
    }

    private static List<String> ownDevices(Path disk) {
        return List.of(
                "-device",
                "virtio-iommu-pci,addr=%x".formatted(IOMMU_SLOT),
                "-drive",
                "file=%s,format=raw,if=none,id=disk,cache=writeback"
                        .formatted(disk.toString().replace(",", ",,")),
                "-device",
                "virtio-blk-pci,drive=disk,iommu_platform=on,disable-legacy=on,addr=%x,serial=%s"
                        .formatted(DISK_SLOT, GuestTask.SEED_SERIAL));
    }

    /** As a user would write it: everything else is the server's default. */
    private String config(Path control, Path table, Path iommuSocket, Path diskSocket, Path disk) {
        return """
        control = "%s"
        [[machine]]
        viot = "%s"
        %s
        [[machine.iommu]]
        socket = "%s"
        address = "00:%02x.0"
        [[machine.iommu.blk]]
        socket = "%s"
        file = "%s"
        address = "00:%02x.0"
        serial = "%s"
        """
                .formatted(
                        control,
                        table,
                        options.pollMicros().map(micros -> "poll_us = " + micros).orElse(""),
                        iommuSocket,
                        IOMMU_SLOT,
                        diskSocket,
                        disk,
                        DISK_SLOT,
                        GuestTask.SEED_SERIAL);
    }
}
