// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import org.ioasis.run.RunOptions;
import picocli.CommandLine.Option;

/** What the guest's processor is, and what is around it. Main thread. */
final class BoardOptions {
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
                        + " told of its IOMMU by a device tree; without --net and --scenario (default: ${DEFAULT-VALUE})."
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
    }

    RunOptions.Board chosen() {
        if (!isArm()) {
            return new RunOptions.Board.Pc();
        }
        return new RunOptions.Board.Virt(
                RunOptions.Tables.DEVICE_TREE,
                switch (controller) {
                    case gicv2m -> RunOptions.Controller.GICV2M;
                    case its -> RunOptions.Controller.ITS;
                },
                isDoorbellMapped,
                isMmio);
    }
}
