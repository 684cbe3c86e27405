// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.tables;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Initramfs;
import org.ioasis.guestkit.KernelChoice;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.run.Progress;
import org.ioasis.vm.Accel;
import org.ioasis.vm.GuestEvent;
import org.ioasis.vm.GuestTask;
import org.ioasis.vm.QemuCommand;
import org.ioasis.vm.QemuProcess;
import org.ioasis.vm.Qmp;
import org.ioasis.vm.SeededDisk;
import org.ioasis.vm.Workspace;

/**
 * A guest whose disks are behind an IOMMU of QEMU's: boots it, lets it do I/O, and stops it at a
 * moment at which it waits for many requests and does nothing else, so that what its tables say and
 * what QEMU has been told are the same. One thread; blocks; another hears what the guest says.
 */
final class TablesRun {
    private static final Duration LIMIT = Duration.ofMinutes(2);
    private static final long MIB = 1L << 20;
    private static final long SEED = 0x7ab1e5;
    private static final SeededDisk DISK = new SeededDisk(SEED, 4 * MIB);
    private static final int MEMORY_MIB = 512;
    private static final List<String> DISKS = List.of("seed", "copy");
    private static final int FIRST_SLOT = 4;

    /** The log does not grow for so many looks: nobody does I/O any more. */
    private static final int QUIET_LOOKS = 6;

    private static final long LOOK_MILLIS = 50;
    private static final int STOPS = 40;

    /**
     * Data is read and hashed, and copied; then many read and write without end, each in a size of
     * its own, one of them in huge pages. Where the host holds the disks all of them wait.
     */
    private static final String SCRIPT =
            """
            say() { echo "<3>ioasis: $*" >/dev/kmsg; }
            for disk in vda vdb; do cat /sys/block/$disk/queue/max_hw_sectors_kb >/sys/block/$disk/queue/max_sectors_kb; done
            hash=$(dd if=/dev/vda bs=16k iflag=direct 2>/dev/null | sha256sum)
            say "hash=${hash%% *}"
            dd if=/dev/vda of=/dev/vdb bs=64k iflag=direct oflag=direct 2>/dev/null || say "error=copy: ended with $?"
            say step=hold
            { while :; do dd if=/dev/vda of=/dev/null bs=4M count=1 iflag=direct 2>/dev/null; done; } &
            for n in 0 1 2 3 4 5 6 7 8 9 10 11; do
                { while :; do dd if=/dev/vda of=/dev/null bs=$((n * 12 + 4))k count=1 skip=$n iflag=direct 2>/dev/null; done; } &
                { while :; do dd if=/dev/zero of=/dev/vdb bs=$((n * 8 + 4))k count=1 seek=$((4096 / (n * 8 + 4) + 1)) oflag=direct 2>/dev/null; done; } &
            done
            wait
            """;

    private final Subject subject;
    private final Host host;
    private final Progress progress;
    private final Cleanup cleanup;

    private TablesRun(Subject subject, Host host, Progress progress, Cleanup cleanup) {
        this.subject = subject;
        this.host = host;
        this.progress = progress;
        this.cleanup = cleanup;
    }

    /**
     * Runs a guest to its stop.
     *
     * @throws UnavailableException this machine lacks something; the message says what to do
     * @throws IOException the guest does not come to its stop, or its data is not what it should be
     */
    static Recording record(Subject subject, Host host, Progress progress)
            throws UnavailableException, IOException, InterruptedException {
        try (Cleanup cleanup = Cleanup.atExit()) {
            return new TablesRun(subject, host, progress, cleanup).record();
        }
    }

    private Recording record() throws UnavailableException, IOException, InterruptedException {
        GuestKit kit = new Provisioner(host, cleanup, progress::say).provide(kernel());
        try (Workspace workspace = Workspace.create(host, cleanup, 64 * MIB)) {
            GuestTask task = new GuestTask.Measure(SCRIPT);
            Initramfs initramfs =
                    Initramfs.write(
                            workspace.file("initramfs"),
                            kit,
                            List.of("virtio_blk"),
                            task.commandFile());
            String hash = DISK.write(workspace.file(DISKS.get(0)));
            workspace.emptyDisk(DISKS.get(1), 2 * DISK.bytes());
            Path control = workspace.file("control.sock");
            Path log = workspace.file("trace");
            QemuCommand command =
                    QemuCommand.builder(
                                    kit.qemu(), Accel.TCG, kit.kernel().image(), initramfs.file())
                            .memoryMiB(MEMORY_MIB)
                            .machine(machine())
                            .commandLine(task.commandLine(initramfs.modules(), 0, parameters()))
                            .firmwareKeptOff(true)
                            .control(control)
                            .more(words(workspace, log))
                            .build();
            String maker =
                    "QEMU %s, Linux %s".formatted(kit.qemu().version(), kit.kernel().release());
            progress.say(subject.label() + ": " + maker);
            CountDownLatch held = new CountDownLatch(1);
            try (QemuProcess qemu =
                    QemuProcess.start(command, host, cleanup, event -> hear(event, held))) {
                if (!held.await(LIMIT.toMillis(), TimeUnit.MILLISECONDS)
                        || !qemu.report().hashes().equals(List.of(hash))) {
                    throw new IOException(
                            "the guest does not do its I/O:%n  %s%n  %s"
                                    .formatted(
                                            String.join("\n  ", qemu.report().lastLines()),
                                            String.join("\n  ", qemu.errors())));
                }
                Recording recording;
                try (Qmp qmp = Qmp.connect(control)) {
                    stop(qmp, log);
                    recording = recording(maker, qmp, qemu.pid(), log);
                }
                qemu.kill();
                qemu.await(LIMIT, () -> {});
                checkCopy(workspace);
                return recording;
            }
        }
    }

    private static void hear(GuestEvent event, CountDownLatch held) {
        switch (event) {
            case GuestEvent.Step(String name, long _) when name.equals("hold") -> held.countDown();
            case GuestEvent.Failed _ -> held.countDown();
            default -> {}
        }
    }

    /** Debian's kernels for virtual machines have no driver for AMD's IOMMU. */
    private KernelChoice kernel() {
        return switch (subject.family()) {
            case VTD -> KernelChoice.Debian.STABLE;
            case AMD -> KernelChoice.Debian.GENERIC;
            case SMMUV3 -> KernelChoice.Debian.ARM64;
        };
    }

    private QemuCommand.Machine machine() {
        return subject.family() == Subject.Family.SMMUV3
                ? new QemuCommand.Machine("virt,iommu=smmuv3,gic-version=3", "max")
                : QemuCommand.Machine.Q35;
    }

    private List<String> parameters() {
        List<String> parameters = new ArrayList<>();
        parameters.add("iommu.passthrough=0");
        // Each page that is given back is told at once, and by itself.
        parameters.add("iommu.strict=1");
        if (subject.family() == Subject.Family.SMMUV3) {
            // The name of ARM's ports; the last console is the one that counts.
            parameters.add("console=ttyAMA0");
        }
        return parameters;
    }

    private List<String> words(Workspace workspace, Path log) {
        List<String> words = new ArrayList<>(subject.words());
        // The guest's second serial port, where its commands would write.
        words.addAll(List.of("-serial", "null"));
        for (int i = 0; i < DISKS.size(); i++) {
            String name = DISKS.get(i);
            String file = workspace.file(name).toString().replace(",", ",,");
            words.addAll(
                    List.of(
                            "-drive",
                            "file=%s,format=raw,if=none,id=%s,cache=writeback"
                                    .formatted(file, name)));
            words.addAll(
                    List.of(
                            "-device",
                            "virtio-blk-pci,id=%s,drive=%s,iommu_platform=on,disable-legacy=on,addr=%x,serial=%s"
                                    .formatted(
                                            id(name),
                                            name,
                                            FIRST_SLOT + i,
                                            i == 0 ? GuestTask.SEED_SERIAL : name)));
        }
        for (String event : Trace.names(subject.family())) {
            words.addAll(List.of("-trace", "enable=" + event));
        }
        words.addAll(List.of("-D", log.toString()));
        return words;
    }

    private static String id(String disk) {
        return "disk-" + disk;
    }

    /**
     * Stops the guest while all that it runs waits for its disks. Its one processor halts then: it
     * is not between taking something out of a table and saying so.
     */
    private void stop(Qmp qmp, Path log) throws IOException, InterruptedException {
        for (String disk : DISKS) {
            qmp.hold("/machine/peripheral/" + id(disk) + "/virtio-backend");
        }
        for (int i = 0; i < STOPS; i++) {
            awaitQuiet(log);
            qmp.stop();
            if (subject.family() == Subject.Family.SMMUV3 || qmp.isHalted()) {
                return;
            }
            qmp.goOn();
        }
        throw new IOException("the guest does not come to rest though its disks are held");
    }

    private static void awaitQuiet(Path log) throws IOException, InterruptedException {
        long size = -1;
        for (int quiet = 0; quiet < QUIET_LOOKS; quiet++) {
            Thread.sleep(LOOK_MILLIS);
            long now = Files.size(log);
            if (now != size) {
                quiet = 0;
            }
            size = now;
        }
    }

    private Recording recording(String maker, Qmp qmp, long pid, Path log) throws IOException {
        Map<String, Long> registers = new HashMap<>();
        Subject.Family family = subject.family();
        for (Subject.Register register : family.registers()) {
            registers.put(
                    register.name(), qmp.register(family.address(register), register.bytes()));
        }
        List<TraceEvent> events = Trace.events(family, Files.readAllLines(log));
        try (FileChannel memory = memory(pid)) {
            GuestPages all = GuestPages.of(memory, family.memory());
            Recording whole = new Recording(subject, maker, registers, all, events);
            List<TraceEvent.Command> commands = CommandQueue.of(whole).commands(all);
            if (family == Subject.Family.AMD) {
                events = AmdRanges.added(events, commands);
            }
            // What is looked at now is what is written down.
            TableComparison.of(new Recording(subject, maker, registers, all, events));
            GuestPages looked = GuestPages.written();
            all.pages().forEach(looked::put);
            return new Recording(subject, maker, registers, looked, events);
        }
    }

    /** The guest's memory, by QEMU's descriptor. */
    private static FileChannel memory(long pid) throws IOException {
        try (Stream<Path> descriptors = Files.list(Path.of("/proc", Long.toString(pid), "fd"))) {
            for (Path descriptor : descriptors.toList()) {
                if (Files.isSymbolicLink(descriptor)
                        && Files.readSymbolicLink(descriptor)
                                .toString()
                                .startsWith("/memfd:memory-backend")) {
                    return FileChannel.open(descriptor, StandardOpenOption.READ);
                }
            }
        }
        throw new IOException("QEMU holds no memory that can be opened");
    }

    /** What the guest copied is on the other disk; behind it is what was written without end. */
    private static void checkCopy(Workspace workspace) throws IOException {
        Path copy = workspace.file(DISKS.get(1));
        try (FileChannel file = FileChannel.open(copy, StandardOpenOption.WRITE)) {
            file.truncate(DISK.bytes());
        }
        Optional<SeededDisk.Difference> difference = DISK.compare(copy);
        if (difference.isPresent()) {
            throw new IOException("the guest's copy is wrong: " + difference.get());
        }
    }
}
