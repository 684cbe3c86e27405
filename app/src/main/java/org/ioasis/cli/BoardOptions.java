// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.util.List;
import org.ioasis.guestkit.GrubImage;
import org.ioasis.run.RunOptions;
import picocli.CommandLine.Option;

/** What the guest's processor is, and what is around it. Main thread. */
final class BoardOptions {
    /** What memory of the board is below 4 GiB: it begins at 1 GiB. */
    private static final int ACPI_MEMORY_MAX = 3072;

    /** The processor. */
    enum Architecture {
        x86_64,
        arm64
    }

    /** Where devices' interrupts go on ARM. */
    enum Controller {
        gicv2m,
        its
    }

    @Option(
            names = "--arch",
            paramLabel = "ARCH",
            defaultValue = "x86_64",
            description = {
                "${COMPLETION-CANDIDATES}: the guest's processor. arm64 is QEMU's board virt with Debian's kernel for it,"
                        + " told of its IOMMU by a device tree or by --acpi; without --net and --scenario (default:"
                        + " ${DEFAULT-VALUE})."
            })
    private Architecture architecture = Architecture.x86_64;

    @Option(
            names = "--msi",
            paramLabel = "CONTROLLER",
            defaultValue = "gicv2m",
            description = {
                "With --arch arm64, ${COMPLETION-CANDIDATES}: what takes the devices' interrupts; the guest is told that"
                        + " these need no address (default: ${DEFAULT-VALUE})."
            })
    private Controller controller = Controller.gicv2m;

    @Option(
            names = "--map-msi",
            description = {
                "With --arch arm64: the guest is told nothing of the kind, and maps where the interrupts go for each"
                        + " device."
            })
    private boolean isDoorbellMapped;

    @Option(
            names = "--virtio-mmio",
            description = {
                "With --arch arm64: the IOMMU is no PCI function, but one of the board's virtio-mmio devices, and QEMU"
                        + " attaches it over vhost-user."
            })
    private boolean isMmio;

    @Option(
            names = "--acpi",
            description = {
                "With --arch arm64: the guest starts as a server does, and is told of its devices by tables of ACPI:"
                        + " Debian's EDK2, and GRUB, which adds the VIOT to those of the firmware."
            })
    private boolean isAcpi;

    boolean isMmio() {
        return isMmio;
    }

    boolean isArm() {
        return architecture == Architecture.arm64;
    }

    boolean isDoorbellMapped() {
        return isDoorbellMapped;
    }

    void refuseWithoutArm() {
        if (controller != Controller.gicv2m || isDoorbellMapped) {
            throw new UsageException("--msi and --map-msi need --arch arm64");
        }
        if (isMmio) {
            throw new UsageException("--virtio-mmio needs --arch arm64");
        }
        if (isAcpi) {
            throw new UsageException("--acpi needs --arch arm64; elsewhere there is nothing else");
        }
    }

    /** What GRUB would get wrong, with {@code --acpi}. */
    void refuseBesideAcpi(List<String> append, int memoryMiB) {
        if (!isAcpi) {
            return;
        }
        for (String words : append) {
            if (!GrubImage.handsOn(words)) {
                throw new UsageException(
                        "--append: with --acpi no quotes or backslashes, which GRUB would change: "
                                + words);
            }
        }
        if (memoryMiB > ACPI_MEMORY_MAX) {
            throw new UsageException(
                    "--memory: with --acpi at most %d MiB, not %d: the firmware puts its tables last, and GRUB finds no DSDT above 4 GiB"
                            .formatted(ACPI_MEMORY_MAX, memoryMiB));
        }
    }

    RunOptions.Board chosen() {
        if (!isArm()) {
            return new RunOptions.Board.Pc();
        }
        return new RunOptions.Board.Virt(
                isAcpi ? RunOptions.Tables.ACPI : RunOptions.Tables.DEVICE_TREE,
                switch (controller) {
                    case gicv2m -> RunOptions.Controller.GICV2M;
                    case its -> RunOptions.Controller.ITS;
                },
                isDoorbellMapped,
                isMmio);
    }
}
