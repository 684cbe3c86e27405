// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/**
 * Makes a program for EFI that adds tables to those of the firmware and then boots a kernel: GRUB,
 * with the tables, the kernel and its own few commands inside. QEMU's {@code -kernel} takes it
 * where the board has EDK2. One thread; blocks.
 *
 * <p>The kernel's first file system is not inside: EDK2 offers what {@code -initrd} names to any
 * kernel that it runs (LoadFile2 with LINUX_EFI_INITRD_MEDIA_GUID; Linux,
 * drivers/firmware/efi/libstub).
 */
public final class GrubImage {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final String FORMAT = "arm64-efi";

    /** What the commands below need, and a file system for {@code (memdisk)}, which is a cpio. */
    private static final List<String> MODULES = List.of("acpi", "linux", "halt", "memdisk", "newc");

    private static final String FOLDER = "(memdisk)/";
    private static final String KERNEL = "vmlinuz";

    /** GRUB puts a backslash in front of these, wherever a kernel's word has one. */
    private static final Pattern NOT_HANDED_ON = Pattern.compile("['\"\\\\]");

    private final ArmFirmware firmware;
    private final GuestProgram tool;
    private final Host host;
    private final Cleanup cleanup;

    /**
     * @param tool {@link DebianProgram#GRUB_MKIMAGE}
     */
    public GrubImage(ArmFirmware firmware, GuestProgram tool, Host host, Cleanup cleanup) {
        this.firmware = firmware;
        this.tool = tool;
        this.host = host;
        this.cleanup = cleanup;
    }

    /** Whether GRUB hands a word on to the kernel as it is. */
    public static boolean handsOn(String word) {
        return !NOT_HANDED_ON.matcher(word).find();
    }

    /**
     * Writes the program to {@code file}, and what goes into it beside that.
     *
     * @param kernel its image
     * @param commandLine what that is told
     * @param tables complete ones
     * @throws IllegalArgumentException the command line has a word that is not handed on
     * @throws IOException the tool refuses it; the message has what it said
     */
    public Path write(Path file, Path kernel, String commandLine, List<byte[]> tables)
            throws IOException, InterruptedException {
        String name = file.getFileName().toString();
        Path commands = file.resolveSibling(name + ".cfg");
        Files.writeString(commands, commands(commandLine, tables.size()));
        Path archive = file.resolveSibling(name + ".cpio");
        try (CpioWriter writer =
                new CpioWriter(new BufferedOutputStream(Files.newOutputStream(archive), 1 << 16))) {
            for (int i = 0; i < tables.size(); i++) {
                writer.file(table(i), false, tables.get(i));
            }
            writer.file(KERNEL, false, Files.readAllBytes(kernel));
        }
        List<String> words = new ArrayList<>(tool.command());
        words.addAll(List.of("-O", FORMAT, "-d", firmware.modules().toString()));
        words.addAll(List.of("-c", commands.toString(), "-m", archive.toString()));
        words.addAll(List.of("-p", FOLDER, "-o", file.toString()));
        words.addAll(MODULES);
        Tool.Result result =
                Tool.run(cleanup, words, host.childEnvironment(), Path.of("/"), LIMIT, _ -> {});
        if (!result.isSuccess() || !Files.isRegularFile(file)) {
            throw new IOException("no program of GRUB's:\n" + result.explanation());
        }
        Files.delete(archive);
        return file;
    }

    private static String table(int index) {
        return "table" + index;
    }

    /** What GRUB does, line by line; it goes on after a line that fails, having said why. */
    static String commands(String commandLine, int tables) {
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < tables; i++) {
            lines.append("acpi ").append(FOLDER).append(table(i)).append('\n');
        }
        lines.append("linux ").append(FOLDER).append(KERNEL);
        for (String word : commandLine.strip().split("\\s+", -1)) {
            if (!handsOn(word)) {
                throw new IllegalArgumentException(
                        "GRUB does not hand on quotes and backslashes: " + word);
            }
            lines.append(" '").append(word).append('\'');
        }
        // Without a kernel: not its prompt, at which nobody is.
        return lines.append("\nboot\nhalt\n").toString();
    }
}
