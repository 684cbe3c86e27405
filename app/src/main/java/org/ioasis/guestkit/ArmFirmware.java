// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * What a virtual board of 64-bit ARM starts with if nobody tells its kernel of the board by a
 * device tree: EDK2, and the pieces of GRUB, the loader that can give a kernel more tables of ACPI
 * than the firmware has. Any thread.
 *
 * @param image of the firmware, as QEMU's {@code -bios} takes it
 * @param modules GRUB's, for this processor and EFI
 */
public record ArmFirmware(Path image, Path modules) {
    /** Files that the package of the firmware has too: six of 64 MiB each. */
    static final String UNUSED = "usr/share/AAVMF";

    private static final String IMAGE = "usr/share/qemu-efi-aarch64/QEMU_EFI.fd";
    private static final String MODULES = "usr/lib/grub/arm64-efi";

    /** What it is called in the folder of modules that has it. */
    private static final String KERNEL_OF_GRUB = "kernel.img";

    /**
     * Among packages that were unpacked below {@code root}.
     *
     * @throws IOException it is not there
     */
    static ArmFirmware below(Path root) throws IOException {
        ArmFirmware firmware = new ArmFirmware(root.resolve(IMAGE), root.resolve(MODULES));
        for (Path file : new Path[] {firmware.image, firmware.modules.resolve(KERNEL_OF_GRUB)}) {
            if (!Files.isRegularFile(file)) {
                throw new IOException("Debian's packages have no " + root.relativize(file));
            }
        }
        return firmware;
    }
}
