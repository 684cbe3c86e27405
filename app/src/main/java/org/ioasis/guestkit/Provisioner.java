// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Finds what a guest needs on this machine, and gets what is missing from Debian into the user's
 * cache folder. A second run finds it there and uses no network. One thread; blocks.
 */
public final class Provisioner {
    private static final String QEMU_PART = "qemu";

    /** The stable kernel and busybox. */
    private static final String KERNEL_PART = "kernel";

    private static final String BACKPORTS_PART = "kernel-backports";
    private static final String GENERIC_PART = "kernel-generic";

    /** Kernel and busybox of 64-bit ARM, and what plays such a machine here. */
    private static final String ARM_PART = "kernel-arm64";

    private static final String ARM_QEMU_PART = "qemu-arm";

    /** What starts such a machine, where QEMU does not. */
    private static final String ARM_FIRMWARE_PART = "firmware-arm64";

    private static final String ARM_FIRMWARE_PACKAGE = "qemu-efi-aarch64";
    private static final String GRUB_PACKAGE = "grub-efi-arm64-bin";

    private static final String QEMU_PACKAGE = "qemu-system-x86";
    private static final String ARM_QEMU_PACKAGE = "qemu-system-arm";

    /** Stands for the newest kernel that Debian built for virtual machines. */
    private static final String KERNEL_PACKAGE = "linux-image-cloud-amd64";

    private static final String ARM_KERNEL_PACKAGE = "linux-image-cloud-arm64";

    /** The same for any machine. */
    private static final String GENERIC_KERNEL_PACKAGE = "linux-image-amd64";

    private static final Pattern IMAGE_PACKAGE = Pattern.compile("linux-image-(\\d.*)");

    /** What newer kernels are made of, each with the kernel's release behind it. */
    private static final List<String> KERNEL_PIECES =
            List.of("linux-base-", "linux-binary-", "linux-modules-");

    private static final String BUSYBOX_PACKAGE = "busybox-static";
    private static final String BUSYBOX = "usr/bin/busybox";
    private static final String VERSION_NOTE = "version";
    private static final String ADVICE =
            "They come from Debian packages: install apt (apt-get, dpkg), and set"
                    + " IOASIS_DEBIAN_MIRROR to the address of a Debian mirror.";
    private static final String QEMU_ADVICE =
            "\nA QEMU 10.1 or newer with the device "
                    + Qemu.DEVICE
                    + " on the PATH ("
                    + Qemu.PROGRAM
                    + ", on Debian the package "
                    + QEMU_PACKAGE
                    + ") is used as it is.";
    private static final long MIB = 1L << 20;

    /** Package lists, archives and unpacked trees at their largest moment, rounded up. */
    private static final long SPACE_NEEDED = 600 * MIB;

    private final Host host;
    private final Cleanup cleanup;
    private final Consumer<String> progress;

    /**
     * @param progress gets one line for each thing that takes a while; called on any thread
     */
    public Provisioner(Host host, Cleanup cleanup, Consumer<String> progress) {
        this.host = host;
        this.cleanup = cleanup;
        this.progress = progress;
    }

    /**
     * Returns everything that a guest needs.
     *
     * @throws UnavailableException when this machine cannot have it; the message says what to do
     */
    public GuestKit provide(KernelChoice choice)
            throws UnavailableException, IOException, InterruptedException {
        refuseOtherArchitectures();
        if (choice == KernelChoice.Debian.ARM64) {
            return provideArm();
        }
        Qemu installed = installedQemu();
        CacheFolder cache = filled(parts(choice, installed));
        Path stable = cache.part(KERNEL_PART).orElseThrow().folder();
        return new GuestKit(
                installed != null ? installed : cachedQemu(cache, QEMU_PART, Qemu.PROGRAM),
                switch (choice) {
                    case KernelChoice.Own(Kernel kernel) -> kernel;
                    case KernelChoice.Debian debian ->
                            Kernel.below(cache.part(kernelPart(debian)).orElseThrow().folder());
                },
                stable.resolve(BUSYBOX),
                cache.root());
    }

    private GuestKit provideArm() throws UnavailableException, IOException, InterruptedException {
        CacheFolder cache = filled(Set.of(ARM_PART, ARM_QEMU_PART));
        Path folder = cache.part(ARM_PART).orElseThrow().folder();
        return new GuestKit(
                cachedQemu(cache, ARM_QEMU_PART, Qemu.ARM_PROGRAM),
                Kernel.below(folder),
                folder.resolve(BUSYBOX),
                cache.root());
    }

    private static String kernelPart(KernelChoice.Debian choice) {
        return switch (choice) {
            case STABLE -> KERNEL_PART;
            case BACKPORTS -> BACKPORTS_PART;
            case GENERIC -> GENERIC_PART;
            case ARM64 -> ARM_PART;
        };
    }

    /**
     * Returns a QEMU, for whoever boots no guest.
     *
     * @throws UnavailableException when this machine cannot have it; the message says what to do
     */
    public Qemu provideQemu() throws UnavailableException, IOException, InterruptedException {
        refuseOtherArchitectures();
        Qemu installed = installedQemu();
        return installed != null
                ? installed
                : cachedQemu(filled(Set.of(QEMU_PART)), QEMU_PART, Qemu.PROGRAM);
    }

    /**
     * Returns a program that few need, to be run in a guest or here.
     *
     * @throws UnavailableException when this machine cannot have it; the message says what to do
     */
    public GuestProgram provide(DebianProgram program)
            throws UnavailableException, IOException, InterruptedException {
        Path folder =
                rare(
                        program.program(),
                        program.program(),
                        DebianArchive.AMD64,
                        (cache, archive) -> fetch(cache, archive, program));
        return GuestProgram.below(folder, program.file(), host, cleanup);
    }

    /**
     * Returns what starts a machine of 64-bit ARM as servers of that kind start.
     *
     * @throws UnavailableException when this machine cannot have it; the message says what to do
     */
    public ArmFirmware provideArmFirmware()
            throws UnavailableException, IOException, InterruptedException {
        return ArmFirmware.below(
                rare(
                        ARM_FIRMWARE_PART,
                        "firmware for a guest on ARM",
                        DebianArchive.ARM64,
                        this::fetchArmFirmware));
    }

    /** The folder of a part that few need. */
    private Path rare(String part, String wanted, String architecture, Fetch fetch)
            throws UnavailableException, IOException, InterruptedException {
        refuseOtherArchitectures();
        CacheFolder cache = CacheFolder.open(host);
        cache.sweep(cleanup);
        if (cache.part(part).isEmpty()) {
            try (CacheFolder.Lock _ = cache.lock(progress)) {
                // Another run may have done it while we waited for the lock.
                if (cache.part(part).isEmpty()) {
                    fill(cache, wanted, architecture, false, fetch);
                }
            }
        }
        return cache.part(part).orElseThrow().folder();
    }

    private void refuseOtherArchitectures() throws UnavailableException {
        if (!host.architecture().equals("amd64")) {
            throw new UnavailableException(
                    "guests run on x86-64 only for now; this machine is " + host.architecture());
        }
    }

    /** The cache with these parts in it. */
    private CacheFolder filled(Set<String> parts)
            throws UnavailableException, IOException, InterruptedException {
        CacheFolder cache = CacheFolder.open(host);
        cache.sweep(cleanup);
        if (!isComplete(cache, parts)) {
            try (CacheFolder.Lock _ = cache.lock(progress)) {
                fill(cache, parts);
            }
        }
        return cache;
    }

    private @Nullable Qemu installedQemu() throws IOException, InterruptedException {
        Optional<Path> program = host.program(Qemu.PROGRAM);
        if (program.isEmpty()) {
            return null;
        }
        List<String> command = List.of(program.get().toString());
        return switch (Qemu.ask(command, Map.of(), host, cleanup)) {
            case Qemu.Answer.Usable(Qemu qemu) -> qemu;
            case Qemu.Answer.Refused(String reason) -> {
                progress.accept(program.get() + " is not used: it " + reason);
                yield null;
            }
        };
    }

    private static Qemu cachedQemu(CacheFolder cache, String name, String program)
            throws IOException {
        CacheFolder.Part part = cache.part(name).orElseThrow();
        return new Qemu(
                Qemu.unpackedCommand(part.folder(), program),
                Qemu.unpackedEnvironment(part.folder()),
                part.notes().getOrDefault(VERSION_NOTE, "unknown"));
    }

    private static Set<String> parts(KernelChoice choice, @Nullable Qemu installed) {
        Set<String> parts = new LinkedHashSet<>();
        parts.add(KERNEL_PART);
        if (choice instanceof KernelChoice.Debian debian) {
            parts.add(kernelPart(debian));
        }
        if (installed == null) {
            parts.add(QEMU_PART);
        }
        return parts;
    }

    private static boolean isComplete(CacheFolder cache, Set<String> parts) throws IOException {
        for (String part : parts) {
            if (cache.part(part).isEmpty()) {
                return false;
            }
        }
        return true;
    }

    private void fill(CacheFolder cache, Set<String> parts)
            throws UnavailableException, IOException, InterruptedException {
        // Another run may have done it while we waited for the lock.
        if (isComplete(cache, parts)) {
            return;
        }
        boolean needsQemu = lacks(cache, parts, QEMU_PART);
        boolean needsArmQemu = lacks(cache, parts, ARM_QEMU_PART);
        boolean needsBackports = lacks(cache, parts, BACKPORTS_PART);
        boolean needsKernel = parts.contains(KERNEL_PART) || parts.contains(ARM_PART);
        boolean needsAnyQemu = needsQemu || needsArmQemu;
        String wanted =
                needsAnyQemu && needsKernel
                        ? "QEMU, kernel and busybox for the guest"
                        : needsAnyQemu ? "QEMU" : "kernel and busybox for the guest";
        try {
            fill(
                    cache,
                    wanted,
                    DebianArchive.AMD64,
                    needsAnyQemu || needsBackports,
                    (_, archive) -> {
                        if (lacks(cache, parts, KERNEL_PART)) {
                            fetchKernel(cache, archive, KERNEL_PART, KERNEL_PACKAGE, true);
                        }
                        if (needsBackports) {
                            fetchBackports(cache, archive);
                        }
                        if (lacks(cache, parts, GENERIC_PART)) {
                            fetchKernel(
                                    cache, archive, GENERIC_PART, GENERIC_KERNEL_PACKAGE, false);
                        }
                        if (needsQemu) {
                            fetchQemu(cache, archive, QEMU_PART, QEMU_PACKAGE, Qemu.PROGRAM);
                        }
                        if (needsArmQemu) {
                            fetchQemu(
                                    cache,
                                    archive,
                                    ARM_QEMU_PART,
                                    ARM_QEMU_PACKAGE,
                                    Qemu.ARM_PROGRAM);
                        }
                    });
            if (lacks(cache, parts, ARM_PART)) {
                // Packages of another architecture are in lists of their own.
                fill(
                        cache,
                        "kernel and busybox for a guest on ARM",
                        DebianArchive.ARM64,
                        false,
                        (_, archive) ->
                                fetchKernel(cache, archive, ARM_PART, ARM_KERNEL_PACKAGE, true));
            }
        } catch (UnavailableException e) {
            throw needsQemu ? new UnavailableException(e.getMessage() + QEMU_ADVICE, e) : e;
        }
    }

    private static boolean lacks(CacheFolder cache, Set<String> parts, String part)
            throws IOException {
        return parts.contains(part) && cache.part(part).isEmpty();
    }

    /** What is got from Debian while its archive is open. */
    @FunctionalInterface
    private interface Fetch {
        void from(CacheFolder cache, DebianArchive archive)
                throws UnavailableException, IOException, InterruptedException;
    }

    private void fill(
            CacheFolder cache,
            String wanted,
            String architecture,
            boolean isBackported,
            Fetch fetch)
            throws UnavailableException, IOException, InterruptedException {
        long space = Files.getFileStore(cache.root()).getUsableSpace();
        if (space < SPACE_NEEDED) {
            throw new UnavailableException(
                    "%s has %d MiB of free space, but %d MiB are needed; set IOASIS_CACHE to another folder"
                            .formatted(cache.root(), space / MIB, SPACE_NEEDED / MIB));
        }
        progress.accept("getting " + wanted + " from Debian into " + cache.root());
        Path state = cache.newTemporary(cleanup);
        try {
            fetch.from(
                    cache,
                    DebianArchive.open(host, cleanup, progress, state, architecture, isBackported));
        } catch (UnavailableException e) {
            throw new UnavailableException(
                    "no %s: %s%n%s".formatted(wanted, e.getMessage(), ADVICE), e);
        } finally {
            cleanup.delete(state);
        }
    }

    /** A kernel of the stable release, and busybox beside it where it is wanted. */
    private void fetchKernel(
            CacheFolder cache,
            DebianArchive archive,
            String part,
            String kernel,
            boolean withBusybox)
            throws UnavailableException, IOException, InterruptedException {
        Path folder = cache.newTemporary(cleanup);
        try {
            List<String> packages = kernelPackages(archive, kernel, DebianArchive.RELEASE);
            if (withBusybox) {
                packages.add(BUSYBOX_PACKAGE);
            }
            Map<String, String> versions =
                    archive.unpack(archive.download(packages, DebianArchive.RELEASE), folder);
            if (withBusybox && !Files.isExecutable(folder.resolve(BUSYBOX))) {
                throw new IOException("the package " + BUSYBOX_PACKAGE + " has no " + BUSYBOX);
            }
            publishKernel(cache, part, folder, versions);
        } finally {
            cleanup.delete(folder);
        }
    }

    private void fetchBackports(CacheFolder cache, DebianArchive archive)
            throws UnavailableException, IOException, InterruptedException {
        Path folder = cache.newTemporary(cleanup);
        try {
            List<String> packages =
                    kernelPackages(archive, KERNEL_PACKAGE, DebianArchive.BACKPORTS);
            Map<String, String> versions =
                    archive.unpack(archive.download(packages, DebianArchive.BACKPORTS), folder);
            publishKernel(cache, BACKPORTS_PART, folder, versions);
        } finally {
            cleanup.delete(folder);
        }
    }

    /** The packages that hold image and modules: one, or several of newer kernels. */
    private static List<String> kernelPackages(DebianArchive archive, String kernel, String release)
            throws UnavailableException, IOException, InterruptedException {
        for (String image : archive.dependencies(kernel, release)) {
            Matcher matcher = IMAGE_PACKAGE.matcher(image);
            if (matcher.matches()) {
                List<String> below = archive.dependencies(image, release);
                List<String> pieces = new ArrayList<>();
                for (String piece : KERNEL_PIECES) {
                    if (below.contains(piece + matcher.group(1))) {
                        pieces.add(piece + matcher.group(1));
                    }
                }
                return pieces.size() == KERNEL_PIECES.size()
                        ? pieces
                        : new ArrayList<>(List.of(image));
            }
        }
        throw new UnavailableException("Debian's " + kernel + " names no kernel");
    }

    private void publishKernel(
            CacheFolder cache, String part, Path folder, Map<String, String> versions)
            throws IOException {
        Kernel kernel = Kernel.below(folder);
        cache.publish(folder, part, notes(kernel.release(), versions), cleanup);
        progress.accept("Linux " + kernel.release() + " is ready");
    }

    private void fetchQemu(
            CacheFolder cache,
            DebianArchive archive,
            String part,
            String packageName,
            String program)
            throws UnavailableException, IOException, InterruptedException {
        Path folder = cache.newTemporary(cleanup);
        try {
            List<Path> files =
                    new ArrayList<>(
                            archive.downloadWithDependencies(packageName, DebianArchive.BACKPORTS));
            Map<String, String> versions = archive.unpack(files, folder);
            List<String> command = Qemu.unpackedCommand(folder, program);
            Map<String, String> environment = Qemu.unpackedEnvironment(folder);
            switch (Qemu.ask(command, environment, host, cleanup)) {
                case Qemu.Answer.Usable(Qemu qemu) -> {
                    cache.publish(folder, part, notes(qemu.version(), versions), cleanup);
                    progress.accept("QEMU " + qemu.version() + " is ready");
                }
                case Qemu.Answer.Refused(String reason) ->
                        throw new UnavailableException(
                                "Debian's QEMU cannot be used: it " + reason);
            }
        } finally {
            cleanup.delete(folder);
        }
    }

    private void fetch(CacheFolder cache, DebianArchive archive, DebianProgram program)
            throws UnavailableException, IOException, InterruptedException {
        Path folder = cache.newTemporary(cleanup);
        try {
            List<Path> files =
                    archive.downloadWithDependencies(program.packageName(), DebianArchive.RELEASE);
            Map<String, String> versions = archive.unpack(files, folder);
            // Refused now, if a library is missing, and not at every later use.
            GuestProgram _ = GuestProgram.below(folder, program.file(), host, cleanup);
            String version = versions.getOrDefault(program.packageName(), "unknown");
            cache.publish(folder, program.program(), notes(version, versions), cleanup);
            progress.accept(program.program() + " " + version + " is ready");
        } finally {
            cleanup.delete(folder);
        }
    }

    private void fetchArmFirmware(CacheFolder cache, DebianArchive archive)
            throws UnavailableException, IOException, InterruptedException {
        Path folder = cache.newTemporary(cleanup);
        try {
            List<Path> files =
                    archive.download(
                            List.of(ARM_FIRMWARE_PACKAGE, GRUB_PACKAGE), DebianArchive.RELEASE);
            Map<String, String> versions = archive.unpack(files, folder);
            ArmFirmware _ = ArmFirmware.below(folder);
            cleanup.delete(folder.resolve(ArmFirmware.UNUSED));
            String version = versions.getOrDefault(ARM_FIRMWARE_PACKAGE, "unknown");
            cache.publish(folder, ARM_FIRMWARE_PART, notes(version, versions), cleanup);
            progress.accept("EDK2 " + version + " is ready");
        } finally {
            cleanup.delete(folder);
        }
    }

    private static Map<String, String> notes(String version, Map<String, String> packages) {
        Map<String, String> notes = new LinkedHashMap<>();
        notes.put(VERSION_NOTE, version);
        packages.forEach((name, packageVersion) -> notes.put("package." + name, packageVersion));
        return notes;
    }
}
