package org.ioasis.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.run.DiskRun;
import org.ioasis.run.Progress;
import org.ioasis.run.RunOptions;
import org.ioasis.run.RunReport;
import org.ioasis.run.RunReportJson;
import org.ioasis.run.RunReportText;
import org.ioasis.vm.Accel;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code ioasis vm}: boots a Linux guest whose disks are behind our IOMMU and verifies its I/O. */
@Command(
        name = "vm",
        description = {
            "Boot an unmodified Linux guest with three disks behind the IOMMU, let it make a file system, copy 256 MiB"
                    + " through it, and check the result from the host's side.",
            "QEMU 10.1 or newer is taken from the PATH; it, a kernel and busybox are otherwise fetched from Debian"
                    + " into the user's cache folder."
        },
        mixinStandardHelpOptions = true,
        exitCodeListHeading = "%nExit codes:%n",
        exitCodeList = {
            "0:the host's check holds and nothing went past the IOMMU",
            "1:it does not; the report says why",
            "2:wrong arguments",
            "69:something that this machine must have is missing"
        })
final class VmCommand implements Callable<Integer> {
    private static final int MEMORY_MIN = 256;
    private static final int MEMORY_MAX = 65_536;

    /** How the guest's instructions are run. */
    enum AccelOption {
        auto,
        kvm,
        tcg
    }

    @Spec private @Nullable CommandSpec spec;

    @Option(
            names = "--accel",
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
            defaultValue = "600",
            description = {
                "When the guest has not ended by then, print the state of the devices and end it"
                        + " (default: ${DEFAULT-VALUE})."
            })
    private int timeout = 600;

    @Option(
            names = "--seed",
            paramLabel = "N",
            description = "Seed of the disk's content, to repeat a run (default: random).")
    private @Nullable Long seed;

    @Option(
            names = "--json",
            paramLabel = "FILE",
            description = "Write the report to FILE as JSON too (fields: docs/vm-report.md).")
    private @Nullable Path json;

    @Option(
            names = "--print-qemu",
            description = "Print the command that QEMU would be started with, and start nothing.")
    private boolean printQemu;

    @Override
    public Integer call() throws IOException, InterruptedException {
        if (memory < MEMORY_MIN || memory > MEMORY_MAX) {
            throw refused(
                    "--memory must be %d to %d MiB, not %d"
                            .formatted(MEMORY_MIN, MEMORY_MAX, memory));
        }
        if (timeout < 1) {
            throw refused("--timeout must be at least 1 second, not " + timeout);
        }
        Path report = json;
        if (report != null) {
            Path folder = report.toAbsolutePath().getParent();
            if (folder == null || !Files.isDirectory(folder)) {
                throw refused("--json: there is no folder for " + report);
            }
        }
        RunOptions options =
                new RunOptions(
                        switch (accel) {
                            case auto -> Optional.empty();
                            case kvm -> Optional.of(Accel.KVM);
                            case tcg -> Optional.of(Accel.TCG);
                        },
                        memory,
                        Duration.ofSeconds(timeout),
                        seed != null ? seed : new SecureRandom().nextLong());
        DiskRun run = new DiskRun(options, Host.current(), Progress.standard());
        try {
            if (printQemu) {
                System.out.println(run.qemuCommand());
                return 0;
            }
            RunReport result = run.run();
            System.out.print(RunReportText.of(result));
            if (report != null) {
                Files.writeString(report, RunReportJson.of(result));
            }
            return result.isOk() ? 0 : 1;
        } catch (UnavailableException e) {
            System.err.println("ioasis: " + e.getMessage());
            return e.exitCode();
        }
    }

    private ParameterException refused(String message) {
        if (spec == null) {
            throw new IllegalStateException("not called through the command line");
        }
        return new ParameterException(spec.commandLine(), message);
    }
}
