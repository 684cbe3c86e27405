// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Kernel;
import org.ioasis.guestkit.KernelChoice;
import org.ioasis.guestkit.SharedFolder;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.live.TraceConfig;
import org.ioasis.output.OutputKind;
import org.ioasis.record.RecordConfig;
import org.ioasis.run.AssignedRun;
import org.ioasis.run.DiskRun;
import org.ioasis.run.GuestDevices;
import org.ioasis.run.NetRun;
import org.ioasis.run.PrintedGuest;
import org.ioasis.run.Progress;
import org.ioasis.run.RunOptions;
import org.ioasis.run.RunReport;
import org.ioasis.run.RunReportJson;
import org.ioasis.run.RunReportText;
import org.ioasis.run.ShellRun;
import org.ioasis.vm.Accel;
import org.ioasis.vm.Ending;
import org.ioasis.vm.GuestTask;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * {@code ioasis vm}: boots a Linux guest whose disks are behind our IOMMU and verifies its I/O.
 * Main thread.
 */
@Command(
        name = "vm",
        description = {
            "Boot an unmodified Linux guest with three disks behind the IOMMU, let it make a file system, copy 256 MiB"
                    + " through it, and check the result from the host's side; or let it exchange data with the"
                    + " host over a network device behind the IOMMU; or let it run what you want.",
            "QEMU 10.1 or newer is taken from the PATH; it, a kernel and busybox are otherwise fetched from Debian"
                    + " into the user's cache folder."
        },
        mixinStandardHelpOptions = true,
        exitCodeListHeading = "%nExit codes:%n",
        exitCodeList = {
            "0:the host's check holds and nothing went past the IOMMU",
            "1:it does not; the report says why",
            "2:wrong arguments",
            "69:something that this machine must have is missing",
            "70:with --run or --interactive: the guest powered off without an exit status",
            "71:the guest's kernel panicked",
            "72:the guest rebooted, which it was not to",
            "73:the guest did not end within --timeout"
        })
final class VmCommand implements Callable<Integer> {
    private static final int MEMORY_MIN = 256;
    private static final int MEMORY_MAX = 65_536;
    private static final int PROCESSOR_MAX = 64;
    private static final int MEBIBYTES_MIN = 4;
    private static final int MEBIBYTES_MAX = 65_536;
    private static final int DEFAULT_MEBIBYTES = 256;
    private static final int SMALL_MEBIBYTES = 32;
    private static final int BLOCK = 512;

    /** How the guest's instructions are run. */
    enum AccelOption {
        auto,
        kvm,
        tcg
    }

    @Option(
            names = "--accel",
            paramLabel = "ACCEL",
            defaultValue = "auto",
            description = {
                "${COMPLETION-CANDIDATES}: how to run the guest's instructions. auto tries KVM with a short boot and"
                        + " falls back to TCG (default: ${DEFAULT-VALUE})."
            })
    private AccelOption accel = AccelOption.auto;

    @Option(
            names = "--memory",
            paramLabel = "MIB",
            defaultValue = "512",
            description = "Memory of the guest in MiB, 256 to 65536 (default: ${DEFAULT-VALUE}).")
    private int memory = 512;

    @Option(
            names = "--timeout",
            paramLabel = "SECONDS",
            description = {
                "When the guest has not ended by then, print the state of devices and processors and end it"
                        + " (default: 600; none with --gdb)."
            })
    private @Nullable Integer timeout;

    @Mixin private final SeedOption seed = new SeedOption();

    @Mixin private final JsonOption json = new JsonOption();

    @Option(
            names = "--net",
            description = {
                "Instead of the check of disks: the guest and its host exchange 256 MiB each way, both ways at once,"
                        + " through a network device behind the IOMMU, and each side hashes what it gets. The"
                        + " network is between them alone."
            })
    private boolean isNet;

    @Option(
            names = "--run",
            paramLabel = "CMD",
            description = {
                "Run CMD in the guest's shell instead of the check. Its output is ours and so is its exit status; 70"
                        + " if the guest ended without one. The three disks are /dev/vda (seeded, read-only),"
                        + " /dev/vdb and /dev/vdc."
            })
    private @Nullable String command;

    @Option(
            names = "--interactive",
            description =
                    "A shell on the guest's console instead of the check. Ctrl-A x or the shell's exit ends it.")
    private boolean isInteractive;

    @Mixin private final BoardOptions board = new BoardOptions();

    @Option(
            names = "--kernel",
            paramLabel = "KERNEL",
            defaultValue = "stable",
            description = {
                "stable or backports (of Debian), or the path of a bzImage or vmlinux of your own"
                        + " (default: ${DEFAULT-VALUE})."
            })
    private String kernel = "stable";

    @Option(
            names = "--modules",
            paramLabel = "DIR",
            description = {
                "The modules of your own kernel: what modules_install made, or the tree it was built in. Not needed if"
                        + " virtio_iommu, virtio_blk, virtio_pci and ext4 (with --net virtio_net) are built in."
            })
    private @Nullable Path modules;

    @Option(
            names = "--append",
            paramLabel = "WORDS",
            description = "Further parameters of the kernel. Can be repeated.")
    private List<String> append = new ArrayList<>();

    @Option(
            names = "--initrd",
            paramLabel = "FILE",
            description = {
                "Boot FILE as the initramfs instead of ours, with the console on the terminal and no check. Exit code 0"
                        + " if the guest ends by itself."
            })
    private @Nullable Path initrd;

    @Option(
            names = "--disk",
            paramLabel = "FILE",
            description = {
                "One more disk behind the IOMMU, an endpoint of its own, or assigned as the others are: /dev/vdd, the"
                        + " next /dev/vde. Read-only if you may not write to FILE. Can be repeated."
            })
    private List<Path> disks = new ArrayList<>();

    @Option(
            names = "--cpus",
            paramLabel = "N",
            defaultValue = "1",
            description = "Processors of the guest, 1 to 64 (default: ${DEFAULT-VALUE}).")
    private int processors = 1;

    @ArgGroup(exclusive = true)
    private @Nullable TranslationOptions translation;

    /** At most one of them. */
    static final class TranslationOptions {
        @Option(
                names = "--lazy",
                description =
                        "The guest gives unmapped addresses back later, many at once (iommu.strict=0).")
        private boolean isLazy;

        @Option(
                names = "--strict",
                description = "The guest waits for each UNMAP before it goes on (iommu.strict=1).")
        private boolean isStrict;

        @Option(
                names = "--passthrough",
                description = {
                    "The guest attaches its disks to bypass domains, in which nothing is translated"
                            + " (iommu.passthrough=1)."
                })
        private boolean isPassthrough;

        RunOptions.Translation chosen() {
            if (isLazy) {
                return RunOptions.Translation.LAZY;
            }
            if (isStrict) {
                return RunOptions.Translation.STRICT;
            }
            return isPassthrough
                    ? RunOptions.Translation.PASSTHROUGH
                    : RunOptions.Translation.UNCHANGED;
        }
    }

    @Option(
            names = "--no-boot-bypass",
            description = {
                "Refuse the disks every access until the guest's driver attaches them. The firmware leaves them alone"
                        + " then."
            })
    private boolean isWithoutBootBypass;

    @Option(
            names = "--iommus",
            paramLabel = "N",
            defaultValue = "1",
            description = {
                "1 or 2: with 2, the disk with the file system is behind an IOMMU of its own"
                        + " (default: ${DEFAULT-VALUE})."
            })
    private int iommus = 1;

    @Mixin private final RingOption ring = new RingOption();

    @Option(
            names = "--bytes",
            paramLabel = "MIB",
            description = {
                "Size of the seeded disk in MiB, 4 to 65536, and with --net what goes each way (default: 256, with --run,"
                        + " --interactive or --initrd 32)."
            })
    private @Nullable Integer mebibytes;

    @Option(
            names = "--scenario",
            paramLabel = "NAME",
            defaultValue = "plain",
            description = {
                "${COMPLETION-CANDIDATES}: what happens to the guest before it is checked a second time: it reboots, its"
                        + " drivers unbind and bind again, its disks are removed and found by a rescan; or the third"
                        + " disk is plugged in while it runs (default: ${DEFAULT-VALUE})."
            })
    private ScenarioOption scenario = ScenarioOption.plain;

    /** What happens to the guest. */
    enum ScenarioOption {
        plain,
        reboot,
        rebind,
        rescan,
        hotplug
    }

    @Option(
            names = "--assigned",
            paramLabel = "INTERFACE",
            description = {
                "${COMPLETION-CANDIDATES}: the disks are assigned to the guest, as a host assigns devices of its own: QEMU"
                        + " finds them under /dev/vfio, and its address space on /dev/iommu, or in a container of"
                        + " type 1, is the only way of their DMA. No virtio-iommu of ours is in front of them."
            })
    private @Nullable AssignedOption assigned;

    /** How QEMU reaches VFIO. */
    enum AssignedOption {
        iommufd,
        type1
    }

    @Option(
            names = "--viommu",
            description =
                    "With --assigned: QEMU's own virtio-iommu in front of the disks, so that QEMU maps for them what the"
                            + " guest maps.")
    private boolean hasViommu;

    @Option(
            names = "--nested",
            paramLabel = "IOMMU",
            description = {
                "With --assigned iommufd: ${COMPLETION-CANDIDATES}: QEMU's own IOMMU of this kind in front of the disks,"
                        + " whose page tables the guest writes. They are walked here, behind QEMU's address space, and"
                        + " QEMU (11.1 or newer) passes the guest's invalidations on."
            })
    private @Nullable NestedOption nested;

    /** Whose tables the guest has. */
    enum NestedOption {
        vtd
    }

    @Mixin private final TraceOptions trace = new TraceOptions();
    @Mixin private final PageOption page = new PageOption();

    @Mixin private final RecordOptions record = new RecordOptions();

    @Option(
            names = "--share",
            paramLabel = "DIR",
            description = {
                "DIR as it is at the start is /share in the guest, in its memory: what the guest changes there is lost."
                        + " At most 256 MiB; not with --initrd."
            })
    private @Nullable Path share;

    @Option(
            names = "--qemu",
            paramLabel = "WORDS",
            description = {
                "Further words for QEMU behind all of ours, as --qemu '-device virtio-rng-pci'; split at spaces, quotes"
                        + " mean nothing. A device of these is QEMU's own, and not behind the IOMMU. Can be repeated."
            })
    private List<String> qemu = new ArrayList<>();

    @Option(
            names = "--gdb",
            description = {
                "The guest waits for a debugger, whatever it is to do then; the line that starts it is printed. Its kernel"
                        + " stays where it was linked (nokaslr), and there is no time limit."
            })
    private boolean isDebugged;

    @Option(
            names = "--print-qemu",
            description =
                    "Print the command that QEMU would be started with, and start nothing. With --keep it can be run.")
    private boolean printQemu;

    @Option(
            names = "--keep",
            paramLabel = "DIR",
            description = {
                "With --print-qemu: make what the command needs in DIR, which is not there yet, and leave it: kernel's"
                        + " initramfs, table, disks, and a configuration with which `ioasis serve` serves them."
                        + " Not with --run, --net or --scenario hotplug, which need this command."
            })
    private @Nullable Path keep;

    @Override
    public Integer call() throws UnavailableException, IOException, InterruptedException {
        if (memory < MEMORY_MIN || memory > MEMORY_MAX) {
            throw new UsageException(
                    "--memory must be %d to %d MiB, not %d"
                            .formatted(MEMORY_MIN, MEMORY_MAX, memory));
        }
        if (timeout != null && timeout < 1) {
            throw new UsageException("--timeout must be at least 1 second, not " + timeout);
        }
        json.check(OutputKind.RUN_REPORT);
        if (processors < 1 || processors > PROCESSOR_MAX) {
            throw new UsageException(
                    "--cpus must be 1 to %d, not %d".formatted(PROCESSOR_MAX, processors));
        }
        if (iommus < 1 || iommus > RunOptions.IOMMU_LIMIT) {
            throw new UsageException(
                    "--iommus must be 1 to %d, not %d".formatted(RunOptions.IOMMU_LIMIT, iommus));
        }
        GuestTask task = task();
        refuseWhatIsNotAssigned();
        refuseWhatArmHasNot();
        RunOptions options = options(task);
        Progress progress = Progress.standard();
        Path kept = keep;
        if (kept != null) {
            refuseWhatIsNotKept(task, kept);
            System.out.println(PrintedGuest.kept(options, task, Host.current(), progress, kept));
            return 0;
        }
        if (printQemu) {
            System.out.println(PrintedGuest.command(options, task, Host.current(), progress));
            return 0;
        }
        RunReport result;
        AssignedOption assignment = assigned;
        if (assignment != null) {
            AssignedRun.Interface how =
                    switch (assignment) {
                        case iommufd -> AssignedRun.Interface.IOMMUFD;
                        case type1 -> AssignedRun.Interface.TYPE1;
                    };
            return told(new AssignedRun(options, how, inFront(), Host.current(), progress).run());
        }
        switch (task) {
            case GuestTask.Check(long _, GuestTask.Scenario chosen) ->
                    result = new DiskRun(options, chosen, Host.current(), progress).run();
            case GuestTask.Net _ -> result = new NetRun(options, Host.current(), progress).run();
            default -> {
                result = new ShellRun(options, task, Host.current(), progress).run();
                result.problems().forEach(progress::say);
                json.write(OutputKind.RUN_REPORT, RunReportJson.of(result));
                return result.isOk() ? result.status().orElse(0) : coded(result.ending());
            }
        }
        return told(result);
    }

    private int told(RunReport result) throws IOException {
        System.out.print(RunReportText.of(result));
        json.write(OutputKind.RUN_REPORT, RunReportJson.of(result));
        return result.code() == result.ending().code() ? coded(result.ending()) : result.code();
    }

    /** The last line says what the code means. */
    private static int coded(Ending ending) {
        System.out.flush();
        System.err.printf("ioasis: %s (exit code %d)%n", ending.words(), ending.code());
        return ending.code();
    }

    private void refuseWhatIsNotKept(GuestTask task, Path folder) {
        if (!printQemu) {
            throw new UsageException("--keep belongs to --print-qemu");
        }
        if (command != null || isNet || task.hotplugs()) {
            throw new UsageException(
                    "--keep is for a guest that QEMU alone can run: no --run, --net or --scenario hotplug");
        }
        if (Files.exists(folder)) {
            throw new UsageException("--keep: %s is there already".formatted(folder));
        }
    }

    /** What a board of another architecture has no part in. */
    private void refuseWhatArmHasNot() {
        if (!board.isArm()) {
            board.refuseWithoutArm();
            return;
        }
        List<String> others = new ArrayList<>();
        if (assigned != null) {
            others.add("--assigned");
        }
        if (accel == AccelOption.kvm) {
            others.add("--accel kvm");
        }
        if (!kernel.equals("stable")) {
            others.add("--kernel");
        }
        if (modules != null) {
            others.add("--modules");
        }
        if (keep != null && (board.isDoorbellMapped() || board.isMmio())) {
            others.add("--keep with --map-msi or --virtio-mmio");
        }
        if (isNet) {
            others.add("--net");
        }
        if (scenario != ScenarioOption.plain) {
            others.add("--scenario");
        }
        board.refuseBesideAcpi(append, memory);
        if (!others.isEmpty()) {
            throw new UsageException(
                    "--arch arm64 is Debian's stable kernel under TCG, and of our checks the plain one of disks;"
                            + " leave out "
                            + String.join(", ", others));
        }
    }

    /** What an assigned disk has no part in. */
    private void refuseWhatIsNotAssigned() throws IOException {
        if (assigned == null) {
            if (hasViommu) {
                throw new UsageException("--viommu needs --assigned iommufd or --assigned type1");
            }
            if (nested != null) {
                throw new UsageException("--nested needs --assigned iommufd");
            }
            return;
        }
        refuseWhatIsNotNested();
        List<String> others = chosenTasks();
        if (iommus != 1) {
            others.add("--iommus");
        }
        if (isWithoutBootBypass) {
            others.add("--no-boot-bypass");
        }
        if (printQemu) {
            others.add("--print-qemu");
        }
        if (isDebugged) {
            others.add("--gdb");
        }
        if (share != null) {
            others.add("--share");
        }
        if (page.chosen().isPresent()) {
            others.add("--page");
        }
        if (trace.chosen() != null) {
            others.add("--trace");
        }
        if (record.chosen("vm") != null) {
            others.add("--record");
        }
        if (!others.isEmpty()) {
            throw new UsageException(
                    "--assigned is the plain check of disks with no IOMMU of ours; leave out "
                            + String.join(", ", others));
        }
        if (translation != null && !hasViommu && nested == null) {
            throw new UsageException(
                    "--lazy, --strict and --passthrough are about the guest's IOMMU, which --assigned"
                            + " has with --viommu or --nested only");
        }
    }

    private void refuseWhatIsNotNested() {
        if (nested == null) {
            return;
        }
        if (assigned != AssignedOption.iommufd) {
            throw new UsageException(
                    "--nested needs --assigned iommufd, which knows tables of guests");
        }
        if (hasViommu) {
            throw new UsageException("--nested and --viommu put two IOMMUs in front of the disks");
        }
        if (translation != null && translation.isPassthrough) {
            throw new UsageException(
                    "with --passthrough there is no table of the guest's for --nested");
        }
    }

    private AssignedRun.InFront inFront() {
        if (nested == NestedOption.vtd) {
            return AssignedRun.InFront.VTD;
        }
        return hasViommu ? AssignedRun.InFront.VIRTIO_IOMMU : AssignedRun.InFront.NOTHING;
    }

    /** Options that each say what the guest does. */
    private List<String> chosenTasks() {
        List<String> chosen = new ArrayList<>();
        if (command != null) {
            chosen.add("--run");
        }
        if (isInteractive) {
            chosen.add("--interactive");
        }
        if (initrd != null) {
            chosen.add("--initrd");
        }
        if (isNet) {
            chosen.add("--net");
        }
        if (scenario != ScenarioOption.plain) {
            chosen.add("--scenario");
        }
        return chosen;
    }

    private GuestTask task() {
        List<String> chosen = chosenTasks();
        // The console is the terminal's with an initramfs of the user's, so this adds nothing.
        if (chosen.equals(List.of("--interactive", "--initrd"))) {
            return new GuestTask.Boot();
        }
        if (chosen.size() > 1) {
            throw new UsageException(String.join(" and ", chosen) + " do not go together");
        }
        if (command != null) {
            return new GuestTask.Run(command);
        }
        if (isInteractive) {
            return new GuestTask.Shell();
        }
        if (isNet) {
            return new GuestTask.Net(seedBytes(DEFAULT_MEBIBYTES));
        }
        return initrd != null
                ? new GuestTask.Boot()
                : new GuestTask.Check(
                        seedBytes(DEFAULT_MEBIBYTES),
                        switch (scenario) {
                            case plain -> GuestTask.Scenario.PLAIN;
                            case reboot -> GuestTask.Scenario.REBOOT;
                            case rebind -> GuestTask.Scenario.REBIND;
                            case rescan -> GuestTask.Scenario.RESCAN;
                            case hotplug -> GuestTask.Scenario.HOTPLUG;
                        });
    }

    private long seedBytes(int byDefault) {
        int chosen = mebibytes != null ? mebibytes : byDefault;
        if (chosen < MEBIBYTES_MIN || chosen > MEBIBYTES_MAX) {
            throw new UsageException(
                    "--bytes must be %d to %d MiB, not %d"
                            .formatted(MEBIBYTES_MIN, MEBIBYTES_MAX, chosen));
        }
        return (long) chosen << 20;
    }

    private RunOptions options(GuestTask task) throws IOException {
        long bytes =
                switch (task) {
                    case GuestTask.Check(long checked, GuestTask.Scenario _) -> checked;
                    case GuestTask.Net(long exchanged) -> exchanged;
                    default -> seedBytes(SMALL_MEBIBYTES);
                };
        if (disks.size() > GuestDevices.OWN_DISK_LIMIT) {
            throw new UsageException(
                    "at most %d disks have room beside ours"
                            .formatted(GuestDevices.OWN_DISK_LIMIT));
        }
        for (Path disk : disks) {
            if (!Files.isRegularFile(disk) || !Files.isReadable(disk)) {
                throw new UsageException(
                        "--disk: %s is not a file that can be read".formatted(disk));
            }
            if (Files.size(disk) < BLOCK) {
                throw new UsageException(
                        "--disk: %s has %d bytes, less than a block of %d"
                                .formatted(disk, Files.size(disk), BLOCK));
            }
        }
        RunOptions.Builder options =
                RunOptions.builder(seed.or(new SecureRandom()::nextLong))
                        .memoryMiB(memory)
                        .processors(processors)
                        .limit(limit())
                        .qemu(
                                qemu.stream()
                                        .flatMap(
                                                words -> Stream.of(words.strip().split("\\s+", -1)))
                                        .toList())
                        .debugged(isDebugged)
                        .seedBytes(bytes)
                        .board(board.chosen())
                        .kernel(kernelChoice(task))
                        .bypassing(!isWithoutBootBypass)
                        .iommus(iommus)
                        .ring(ring.chosen())
                        .append(append)
                        .disks(disks);
        TraceConfig traced = trace.chosen();
        if (traced != null) {
            options.trace(traced);
        }
        RecordConfig recorded = record.chosen("vm");
        if (recorded != null) {
            options.record(recorded);
        }
        options.page(page.chosen());
        if (translation != null) {
            options.translation(translation.chosen());
        }
        Path shared = share;
        if (shared != null) {
            if (initrd != null) {
                throw new UsageException(
                        "--share puts a folder into our initramfs, not --initrd's");
            }
            if (!Files.isDirectory(shared)) {
                throw new UsageException("--share: %s is not a folder".formatted(shared));
            }
            options.share(new SharedFolder(shared));
        }
        switch (accel) {
            case auto -> {}
            case kvm -> options.accel(Accel.KVM);
            case tcg -> options.accel(Accel.TCG);
        }
        if (initrd != null) {
            if (!Files.isRegularFile(initrd)) {
                throw new UsageException("--initrd: there is no file " + initrd);
            }
            options.initramfs(initrd);
        }
        return options.build();
    }

    private Duration limit() {
        if (timeout != null) {
            return Duration.ofSeconds(timeout);
        }
        return isDebugged ? Duration.ofDays(365) : Duration.ofMinutes(10);
    }

    private KernelChoice kernelChoice(GuestTask task) {
        if (board.isArm()) {
            return KernelChoice.Debian.ARM64;
        }
        switch (kernel) {
            case "stable", "backports" -> {
                if (modules != null) {
                    throw new UsageException(
                            "--modules belongs to a kernel of your own; %s has its modules"
                                    .formatted(kernel));
                }
                return kernel.equals("stable")
                        ? KernelChoice.Debian.STABLE
                        : KernelChoice.Debian.BACKPORTS;
            }
            default -> {
                if (modules != null && !Files.isDirectory(modules)) {
                    throw new UsageException("--modules: %s is no folder".formatted(modules));
                }
                try {
                    Kernel own = Kernel.at(Path.of(kernel).toAbsolutePath(), modules);
                    List<String> missing =
                            modules == null && initrd == null
                                    ? own.modular(task.drivers())
                                    : List.of();
                    if (!missing.isEmpty()) {
                        throw new UsageException(
                                "--kernel: by its configuration %s has %s as modules: name the folder of these with --modules"
                                        .formatted(kernel, String.join(", ", missing)));
                    }
                    return new KernelChoice.Own(own);
                } catch (IOException e) {
                    throw new UsageException("--kernel: " + e.getMessage());
                }
            }
        }
    }
}
