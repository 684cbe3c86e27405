// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.zip.Deflater;
import java.util.zip.GZIPOutputStream;

/**
 * The guest's first file system, as a file for QEMU: busybox, our init, the modules that init is to
 * load in this order, and more programs where they are needed. Any thread.
 */
public record Initramfs(Path file, List<String> modules) {
    public Initramfs {
        modules = List.copyOf(modules);
    }

    /**
     * Writes the archive to {@code file}.
     *
     * @param drivers names of the drivers that the guest needs, built in or not
     * @param command for the guest's shell, if that is what it is to do; else empty
     */
    public static Initramfs write(
            Path file, GuestKit kit, List<String> drivers, Optional<String> command)
            throws IOException {
        return write(file, kit, drivers, command, List.of());
    }

    /**
     * Writes an archive with more programs than busybox.
     *
     * @param programs each is in the guest's {@code /bin}
     */
    public static Initramfs write(
            Path file,
            GuestKit kit,
            List<String> drivers,
            Optional<String> command,
            List<GuestProgram> programs)
            throws IOException {
        Map<String, byte[]> modules = new KernelModules(kit.kernel()).loadOrder(drivers);
        try (OutputStream raw = Files.newOutputStream(file);
                CpioWriter archive =
                        new CpioWriter(new BufferedOutputStream(new FastGzip(raw), 1 << 16))) {
            for (String folder : List.of("bin", "dev", "proc", "sys", "modules")) {
                archive.folder(folder);
            }
            archive.file("bin/busybox", true, Files.readAllBytes(kit.busybox()));
            archive.file("init", true, init());
            if (command.isPresent()) {
                byte[] script = (command.get() + "\n").getBytes(StandardCharsets.UTF_8);
                archive.file("command", false, script);
            }
            writePrograms(archive, programs);
            for (Map.Entry<String, byte[]> module : modules.entrySet()) {
                archive.file("modules/" + module.getKey() + ".ko", false, module.getValue());
            }
        }
        return new Initramfs(file, List.copyOf(modules.keySet()));
    }

    /** With a folder of the host's in it too. */
    public Initramfs sharing(SharedFolder folder) throws IOException {
        folder.appendTo(file);
        return this;
    }

    private static void writePrograms(CpioWriter archive, List<GuestProgram> programs)
            throws IOException {
        Set<String> written = new HashSet<>();
        for (GuestProgram program : programs) {
            for (Map.Entry<String, Path> file : program.files().entrySet()) {
                String path = file.getKey();
                for (int slash = path.indexOf('/'); slash > 0; ) {
                    String folder = path.substring(0, slash);
                    if (!folder.equals("bin") && written.add(folder)) {
                        archive.folder(folder);
                    }
                    slash = path.indexOf('/', slash + 1);
                }
                if (written.add(path)) {
                    archive.file(path, true, Files.readAllBytes(file.getValue()));
                }
            }
        }
    }

    private static byte[] init() throws IOException {
        try (InputStream in = Initramfs.class.getResourceAsStream("init")) {
            if (in == null) {
                throw new IllegalStateException("the program for the guest is not in the build");
            }
            return in.readAllBytes();
        }
    }

    /** The guest unpacks it once; writing it is what takes time. */
    private static final class FastGzip extends GZIPOutputStream {
        FastGzip(OutputStream out) throws IOException {
            super(out, 1 << 16);
            def.setLevel(Deflater.BEST_SPEED);
        }
    }
}
