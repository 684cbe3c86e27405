// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.Charset;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.ioasis.config.AssignedConfig;
import org.ioasis.config.ConfigException;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.mock.MockDriver;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.DeviceOptions;
import org.ioasis.machine.HostIommu;
import org.ioasis.machine.ProgramMachine;
import org.ioasis.output.OutputFile;
import org.ioasis.output.OutputKind;
import org.ioasis.program.CallTrace;
import org.ioasis.program.ProgramRun;
import org.ioasis.sys.ChildProcess;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.ProgramSetting;
import org.ioasis.sys.Signals;
import org.ioasis.virtqueue.RingFormat;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/**
 * {@code ioasis host}: a program for which /dev/iommu exists, and devices under /dev/vfio. Main
 * thread.
 */
@Command(
        name = HostCommand.NAME,
        description = {
            "Run a program for which /dev/iommu exists, and all that it starts.",
            "The program is not changed, and needs no rights; its system calls on the device are answered here. Its"
                    + " standard input and output, its signals and its exit status are its own; the command ends when"
                    + " the last of its processes has."
        },
        customSynopsis =
                "ioasis host [--mock | --device NAME=KIND,... [--iommu KIND]] [--kernel-quirks] [--trace FILE]"
                        + " -- PROGRAM [ARG...]",
        mixinStandardHelpOptions = true,
        exitCodeListHeading = "%nExit codes:%n",
        exitCodeList = {
            "...:that of the program; a signal that killed it ends this command too",
            "2:wrong arguments",
            "69:this machine cannot run the program so; the message says why",
            "126:PROGRAM cannot be executed",
            "127:there is no PROGRAM"
        })
final class HostCommand implements Callable<Integer> {
    static final String NAME = "host";
    private static final int NOT_EXECUTABLE = 126;
    private static final int NOT_FOUND = 127;
    private static final int SIGNAL_CODE = 128;

    /** EI_CLASS behind the magic of an ELF file: 1 is a 32-bit program. */
    private static final byte[] ELF_32 = {0x7f, 'E', 'L', 'F', 1};

    @Option(
            names = "--mock",
            description =
                    "With the mock devices, test commands and injected failures of the kernel's test module, for"
                            + " programs that test iommufd. Any of them may raise limits, which takes"
                            + " CAP_SYS_RESOURCE otherwise, and have more pages held than its own"
                            + " limit of locked memory.")
    private boolean isMock;

    @Option(
            names = "--kernel-quirks",
            description =
                    "Answer as Linux does also where that is a mistake (docs/kernel-quirks.md).")
    private boolean hasKernelQuirks;

    @Option(
            names = "--device",
            paramLabel = "NAME=KIND[,KEY=VALUE...]",
            description = {
                "A device that the program finds under /dev/vfio, as Linux shows one that it has given away, by its own"
                        + " file (vfio0, the next vfio1, bound to /dev/iommu) and by its group (0, the next 1, in a"
                        + " container of type 1); repeatable. In sysfs it is 10a5:00:00.0, the next 10a5:00:01.0."
                        + " KIND and its keys are those of ioasis serve without socket, endpoint and alias:"
                        + " disk=blk,file=FILE; random=rng; net=net,stream=SOCKET; dma=ioat;"
                        + " own=device,jar=FILE,kind=NAME. Its DMA goes through the address space that the"
                        + " program builds, to memory that the program shares (a memfd, a shared mapping);"
                        + " to private memory it is refused."
            })
    private List<String> devices = List.of();

    @Option(
            names = "--iommu",
            paramLabel = "KIND",
            description =
                    "What the program takes the IOMMU of its devices for: ${COMPLETION-CANDIDATES}. It finds its"
                            + " registers (IOMMU_GET_HW_INFO), and can hand over tables of its guest's"
                            + " and invalidate what is kept of them. Without it the IOMMU has page tables"
                            + " and nothing for guests.")
    private @Nullable IommuOption iommu;

    /** Which IOMMU. */
    enum IommuOption {
        vtd(HostIommu.VTD),
        smmuv3(HostIommu.SMMUV3),
        amd(HostIommu.AMD);

        private final HostIommu kind;

        IommuOption(HostIommu kind) {
            this.kind = kind;
        }
    }

    @Option(
            names = "--trace",
            paramLabel = "FILE",
            description =
                    "Write each call with its fields and its answer to FILE, and for a refusal the rule that"
                            + " refused it; and each access of a device that was refused, with the reason, 256 a"
                            + " second at most.")
    private @Nullable Path trace;

    @Parameters(
            paramLabel = "PROGRAM",
            arity = "1..*",
            description = "The program, looked for on the PATH, and its arguments.")
    private List<String> command = List.of();

    @Override
    public Integer call() throws UnavailableException, IOException, InterruptedException {
        refuseWhatCannotBeServed(Host.current());
        List<DeviceOptions<?>> chosen = chosenDevices();
        Outputs.check("--trace", trace, OutputKind.CALLS);
        ChildProcess.End end;
        Path file = trace;
        try (OutputFile held = file == null ? null : OutputFile.open(file, OutputKind.CALLS);
                CallTrace written = held == null ? CallTrace.none() : CallTrace.to(held.stream())) {
            IommufdNode.Builder options = IommufdNode.builder().kernelQuirks(hasKernelQuirks);
            IommufdNode node = (isMock ? options.commands(new MockDriver()) : options).build();
            end = chosen.isEmpty() ? runAlone(node, written) : run(node, chosen, written);
        } catch (ErrnoException e) {
            return refused(e);
        }
        return switch (end) {
            case ChildProcess.End.Exit(int code) -> code;
            case ChildProcess.End.Signal(int number) -> {
                System.out.flush();
                Signals.die(number);
                yield SIGNAL_CODE + number;
            }
        };
    }

    private ChildProcess.End runAlone(IommufdNode node, CallTrace written)
            throws ErrnoException, IOException, InterruptedException {
        ProgramRun program = ProgramRun.start(bytes(), node, isMock, written);
        SignalForwarder.forwardTo(program);
        return program.await();
    }

    private List<DeviceOptions<?>> chosenDevices() {
        if (isMock && !devices.isEmpty()) {
            throw new UsageException("--mock and --device do not go together");
        }
        if (iommu != null && devices.isEmpty()) {
            throw new UsageException("--iommu is that of devices: name one with --device");
        }
        try {
            return AssignedConfig.of(devices);
        } catch (ConfigException e) {
            throw new UsageException(String.valueOf(e.getMessage()));
        }
    }

    private ChildProcess.End run(IommufdNode node, List<DeviceOptions<?>> chosen, CallTrace written)
            throws ErrnoException, IOException, InterruptedException {
        try (ProgramMachine machine =
                new ProgramMachine(
                        "host",
                        node,
                        iommu == null ? HostIommu.PLAIN : iommu.kind,
                        IdlePolicy.ADAPTIVE,
                        RingFormat.SPLIT)) {
            for (DeviceOptions<?> device : chosen) {
                var _ = machine.add(device);
            }
            machine.onRefused(written::refused);
            machine.start();
            ProgramRun program =
                    ProgramRun.start(
                            bytes(),
                            ProgramSetting.INHERITED,
                            machine.files().build(),
                            written,
                            machine.loop());
            SignalForwarder.forwardTo(program);
            return program.await();
        }
    }

    private void refuseWhatCannotBeServed(Host host) throws UnavailableException, IOException {
        if (!host.architecture().equals("amd64")) {
            throw new UnavailableException(
                    "programs are served on x86-64 only; this machine is " + host.architecture());
        }
        String name = command.getFirst();
        Optional<Path> file = name.contains("/") ? Optional.of(Path.of(name)) : host.program(name);
        if (file.isPresent() && Files.isRegularFile(file.get()) && Files.isReadable(file.get())) {
            try (InputStream in = Files.newInputStream(file.get())) {
                if (java.util.Arrays.equals(in.readNBytes(ELF_32.length), ELF_32)) {
                    throw new UnavailableException(
                            name
                                    + " is a 32-bit program: its system calls have other numbers and"
                                    + " structures, and are not served");
                }
            }
        }
    }

    private int refused(ErrnoException failure) throws UnavailableException, ErrnoException {
        return switch (failure.call()) {
            case "seccomp" ->
                    throw new UnavailableException(
                            "this kernel, or the sandbox that this runs in, does not let a process answer"
                                    + " the system calls of another (seccomp user notification, Linux 5.19 or"
                                    + " newer), or somebody else answers ours already: "
                                    + failure.inWords(),
                            failure);
            case "posix_spawnp" -> {
                String name = command.getFirst();
                boolean isThere = failure.errno() != Errno.ENOENT;
                System.err.println(
                        isThere
                                ? "ioasis: %s cannot be executed: %s"
                                        .formatted(name, Errno.words(failure.errno()))
                                : "ioasis: there is no program " + name);
                yield isThere ? NOT_EXECUTABLE : NOT_FOUND;
            }
            default -> throw failure;
        };
    }

    /** As Java has decoded them; what is no text in the user's encoding is lost. */
    private List<byte[]> bytes() {
        Charset encoding = Charset.forName(System.getProperty("sun.jnu.encoding", "UTF-8"));
        return command.stream().map(word -> word.getBytes(encoding)).toList();
    }
}
