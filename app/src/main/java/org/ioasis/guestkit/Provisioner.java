package org.ioasis.guestkit;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Finds what a guest needs on this machine, and gets what is missing from Debian into the user's
 * cache folder. A second run finds it there and uses no network. One thread; blocks.
 */
public final class Provisioner {
    private static final String QEMU_PART = "qemu";
    private static final String KERNEL_PART = "kernel";
    private static final String QEMU_PACKAGE = "qemu-system-x86";

    /** Stands for the newest kernel that Debian built for virtual machines. */
    private static final String KERNEL_PACKAGE = "linux-image-cloud-amd64";

    private static final String BUSYBOX_PACKAGE = "busybox-static";
    private static final String BUSYBOX = "usr/bin/busybox";
    private static final String VERSION_NOTE = "version";
    private static final long MIB = 1L << 20;

    /** Package lists, archives and unpacked trees at their largest moment, rounded up. */
    private static final long SPACE_NEEDED = 500 * MIB;

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
    public GuestKit provide() throws UnavailableException, IOException, InterruptedException {
        if (!host.architecture().equals("amd64")) {
            throw new UnavailableException(
                    "ioasis vm runs on x86-64 only for now; this machine is "
                            + host.architecture());
        }
        Qemu installed = installedQemu();
        CacheFolder cache = CacheFolder.open(host);
        cache.sweep(cleanup);
        if (!isComplete(cache, installed)) {
            try (CacheFolder.Lock _ = cache.lock(progress)) {
                fill(cache, installed);
            }
        }
        CacheFolder.Part kernel = cache.part(KERNEL_PART).orElseThrow();
        return new GuestKit(
                installed != null ? installed : cachedQemu(cache),
                Kernel.below(kernel.folder()),
                kernel.folder().resolve(BUSYBOX),
                cache.root());
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

    private static Qemu cachedQemu(CacheFolder cache) throws IOException {
        CacheFolder.Part part = cache.part(QEMU_PART).orElseThrow();
        return new Qemu(
                Qemu.unpackedCommand(part.folder()),
                Qemu.unpackedEnvironment(part.folder()),
                part.notes().getOrDefault(VERSION_NOTE, "unknown"));
    }

    private static boolean isComplete(CacheFolder cache, @Nullable Qemu installed)
            throws IOException {
        return cache.part(KERNEL_PART).isPresent()
                && (installed != null || cache.part(QEMU_PART).isPresent());
    }

    private void fill(CacheFolder cache, @Nullable Qemu installed)
            throws UnavailableException, IOException, InterruptedException {
        // Another run may have done it while we waited for the lock.
        if (isComplete(cache, installed)) {
            return;
        }
        boolean needsQemu = installed == null && cache.part(QEMU_PART).isEmpty();
        long space = Files.getFileStore(cache.root()).getUsableSpace();
        if (space < SPACE_NEEDED) {
            throw new UnavailableException(
                    "%s has %d MiB of free space, but %d MiB are needed; set IOASIS_CACHE to another folder"
                            .formatted(cache.root(), space / MIB, SPACE_NEEDED / MIB));
        }
        progress.accept(
                "getting "
                        + (needsQemu ? "QEMU and a guest kernel" : "a guest kernel")
                        + " from Debian into "
                        + cache.root());
        Path state = cache.newTemporary(cleanup);
        try {
            DebianArchive archive = DebianArchive.open(host, cleanup, progress, state, needsQemu);
            if (cache.part(KERNEL_PART).isEmpty()) {
                fetchKernel(cache, archive);
            }
            if (needsQemu) {
                fetchQemu(cache, archive);
            }
        } catch (UnavailableException e) {
            throw new UnavailableException(
                    (needsQemu ? "no QEMU, kernel and busybox" : "no kernel and busybox")
                            + " for the guest: "
                            + e.getMessage()
                            + "\n"
                            + advice(needsQemu),
                    e);
        } finally {
            cleanup.delete(state);
        }
    }

    private static String advice(boolean needsQemu) {
        String mirror =
                "They come from Debian packages: install apt (apt-get, dpkg), and set"
                        + " IOASIS_DEBIAN_MIRROR to the address of a Debian mirror.";
        return needsQemu
                ? mirror
                        + "\nA QEMU 10.1 or newer with the device "
                        + Qemu.DEVICE
                        + " on the PATH ("
                        + Qemu.PROGRAM
                        + ", on Debian the package "
                        + QEMU_PACKAGE
                        + ") is used as it is."
                : mirror;
    }

    private void fetchKernel(CacheFolder cache, DebianArchive archive)
            throws UnavailableException, IOException, InterruptedException {
        Path folder = cache.newTemporary(cleanup);
        try {
            String image = archive.dependency(KERNEL_PACKAGE);
            Map<String, String> versions =
                    archive.unpack(archive.download(List.of(image, BUSYBOX_PACKAGE)), folder);
            Kernel kernel = Kernel.below(folder);
            if (!Files.isExecutable(folder.resolve(BUSYBOX))) {
                throw new IOException("the package " + BUSYBOX_PACKAGE + " has no " + BUSYBOX);
            }
            Map<String, String> notes = notes(kernel.release(), versions);
            cache.publish(folder, KERNEL_PART, notes, cleanup);
            progress.accept("Linux " + kernel.release() + " is ready");
        } finally {
            cleanup.delete(folder);
        }
    }

    private void fetchQemu(CacheFolder cache, DebianArchive archive)
            throws UnavailableException, IOException, InterruptedException {
        Path folder = cache.newTemporary(cleanup);
        try {
            List<Path> files = new ArrayList<>(archive.downloadWithDependencies(QEMU_PACKAGE));
            Map<String, String> versions = archive.unpack(files, folder);
            List<String> command = Qemu.unpackedCommand(folder);
            Map<String, String> environment = Qemu.unpackedEnvironment(folder);
            switch (Qemu.ask(command, environment, host, cleanup)) {
                case Qemu.Answer.Usable(Qemu qemu) -> {
                    cache.publish(folder, QEMU_PART, notes(qemu.version(), versions), cleanup);
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

    private static Map<String, String> notes(String version, Map<String, String> packages) {
        Map<String, String> notes = new LinkedHashMap<>();
        notes.put(VERSION_NOTE, version);
        packages.forEach((name, packageVersion) -> notes.put("package." + name, packageVersion));
        return notes;
    }
}
