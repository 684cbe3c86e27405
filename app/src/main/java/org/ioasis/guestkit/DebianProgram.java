// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.nio.file.Path;

/**
 * Programs that few need, each a part of the cache of its own: one package of Debian's, and what
 * that depends on. Immutable.
 */
public enum DebianProgram {
    /** Makes and measures I/O, in a guest. */
    FIO("fio", "usr/bin/fio"),
    /** Compiles and decompiles tables of ACPI. */
    IASL("acpica-tools", "usr/bin/iasl"),
    /** Compiles and decompiles device trees. */
    DTC("device-tree-compiler", "usr/bin/dtc"),
    /** Puts an overlay on a device tree. */
    FDTOVERLAY("device-tree-compiler", "usr/bin/fdtoverlay"),
    /** Makes a program for EFI of the pieces of GRUB, see {@link GrubImage}. */
    GRUB_MKIMAGE("grub-common", "usr/bin/grub-mkimage"),
    /** No program but the library by which one drives a disk from user space, with its headers. */
    LIBBLKIO("libblkio-dev", "usr/lib/x86_64-linux-gnu/libblkio.so.1");

    private final String packageName;
    private final String file;

    DebianProgram(String packageName, String file) {
        this.packageName = packageName;
        this.file = file;
    }

    String packageName() {
        return packageName;
    }

    /** Below the folder that the packages are unpacked in. */
    String file() {
        return file;
    }

    /** What people call it, and its part of the cache. */
    String program() {
        return Path.of(file).getFileName().toString();
    }
}
