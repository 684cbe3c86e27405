// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * The kernel's own tests of iommufd and VFIO: their sources as Debian packages them, built by this
 * machine's compiler in the user's cache folder, where a second run finds them. Nothing of them is
 * changed.
 *
 * @param folder where the programs are
 * @param version of the kernel's source package
 */
public record KernelTests(Path folder, String version) {
    /** Tests that are run together. */
    public enum Suite {
        IOMMUFD,
        VFIO;

        private static final List<String> OF_IOMMUFD = List.of("iommufd", "iommufd_fail_nth");

        /** Those that need neither a driver of the tests' own nor SR-IOV. */
        private static final List<String> OF_VFIO =
                List.of(
                        "vfio_dma_mapping_test",
                        "vfio_dma_mapping_mmio_test",
                        "vfio_iommufd_setup_test",
                        "vfio_pci_device_test",
                        "vfio_pci_device_init_perf_test");

        /** In the order in which they are run. */
        public List<String> programs() {
            return switch (this) {
                case IOMMUFD -> OF_IOMMUFD;
                case VFIO -> OF_VFIO;
            };
        }
    }

    private static final String PART = "kernel-tests";
    private static final String VERSION_NOTE = "version";
    private static final String PROGRAMS_NOTE = "programs";
    private static final String SOURCE_PACKAGE = "linux-source";
    private static final Pattern VERSIONED_SOURCE = Pattern.compile("linux-source-[0-9.]+");

    /** The kernel's interface for programs, of the same version as the tests. */
    private static final String HEADERS_PACKAGE = "linux-libc-dev";

    // Libraries of the tests, one for each suite; linked in, so that they need not be here.
    private static final String RIGHTS_PACKAGE = "libcap-dev";
    private static final String RIGHTS = "usr/lib/x86_64-linux-gnu/libcap.a";
    private static final String NAMES_PACKAGE = "uuid-dev";
    private static final String NAMES = "usr/lib/x86_64-linux-gnu/libuuid.a";

    /**
     * What Debian's library asks the C library for since 2.38; of an older one it is this. No test
     * calls it.
     */
    private static final String OLDER_C_LIBRARY =
            """
            unsigned long strtoul(const char *, char **, int);
            __attribute__((weak)) unsigned long __isoc23_strtoul(const char *s, char **end, int base)
            {
                return strtoul(s, end, base);
            }
            """;

    private static final String TESTS = "tools/testing/selftests";

    /** What the tests of VFIO call the way to an IOMMU where they have no other. */
    private static final String USUAL_MODE = "default_iommu_mode";

    /** What of the kernel's tree the tests are made of. */
    private static final List<String> PIECES =
            List.of(
                    "*/" + TESTS + "/iommu",
                    "*/" + TESTS + "/vfio",
                    "*/" + TESTS + "/*.h",
                    "*/" + TESTS + "/kselftest",
                    "*/tools/include",
                    "*/tools/arch/x86/include",
                    "*/include/linux/pci_ids.h",
                    "*/drivers/dma/idxd/*.h",
                    "*/drivers/dma/ioat/*.h",
                    "*/drivers/net/ethernet/intel/igb/*.h",
                    "*/drivers/iommu/iommufd/iommufd_test.h");

    private static final Duration BUILD_LIMIT = Duration.ofMinutes(10);
    private static final long MIB = 1L << 20;
    private static final long SPACE_NEEDED = 600 * MIB;

    /** A program of the tests. */
    public Path program(String name) {
        return folder.resolve(name);
    }

    /**
     * Builds a program of the tests of VFIO for a guest, whose kernel is a distribution's: with all
     * libraries in it, and with type 1 as the way to the IOMMU where a test does not say which,
     * since such kernels have no iommufd.
     *
     * @param target a folder of the caller's
     * @throws UnavailableException when this machine cannot; the message says what to do
     */
    public Path standalone(String program, Path target, Host host, Cleanup cleanup)
            throws UnavailableException, IOException, InterruptedException {
        requirePrograms(host);
        Compiler compiler = new Compiler(host, cleanup, folder.resolve("packages"), folder);
        Path file = target.resolve(program);
        try {
            compiler.linkStandalone(program, file);
        } catch (IOException e) {
            throw new UnavailableException(
                    e.getMessage() + "\n(on Debian the packages gcc and libc6-dev are needed)", e);
        }
        return file;
    }

    /**
     * Finds them in the cache, or fetches and builds them.
     *
     * @throws UnavailableException when this machine cannot have them; the message says what to do
     */
    public static KernelTests provide(Host host, Cleanup cleanup, Consumer<String> progress)
            throws UnavailableException, IOException, InterruptedException {
        CacheFolder cache = CacheFolder.open(host);
        cache.sweep(cleanup);
        Optional<CacheFolder.Part> there = whole(cache);
        if (there.isEmpty()) {
            requirePrograms(host);
            try (CacheFolder.Lock _ = cache.lock(progress)) {
                // Another run may have done it while we waited for the lock.
                there = whole(cache);
                if (there.isEmpty()) {
                    there = Optional.of(make(host, cleanup, progress, cache));
                }
            }
        }
        CacheFolder.Part part = there.get();
        return new KernelTests(part.folder(), part.notes().getOrDefault(VERSION_NOTE, "unknown"));
    }

    /** What is in the cache, unless it is from a time when there were other programs. */
    private static Optional<CacheFolder.Part> whole(CacheFolder cache) throws IOException {
        return cache.part(PART)
                .filter(part -> allPrograms().equals(part.notes().get(PROGRAMS_NOTE)));
    }

    /** Names of all that is built. */
    static String allPrograms() {
        return Stream.of(Suite.values())
                .flatMap(suite -> suite.programs().stream())
                .collect(Collectors.joining(" "));
    }

    private static void requirePrograms(Host host) throws UnavailableException {
        Map<String, String> packages = new LinkedHashMap<>();
        packages.put("cc", "gcc and libc6-dev");
        packages.put("tar", "tar");
        packages.put("xz", "xz-utils");
        for (Map.Entry<String, String> each : packages.entrySet()) {
            if (host.program(each.getKey()).isEmpty()) {
                throw new UnavailableException(
                        "the kernel's tests are built from source, and there is no %s on the PATH; install it (on Debian: %s)"
                                .formatted(each.getKey(), each.getValue()));
            }
        }
    }

    private static CacheFolder.Part make(
            Host host, Cleanup cleanup, Consumer<String> progress, CacheFolder cache)
            throws UnavailableException, IOException, InterruptedException {
        long space = Files.getFileStore(cache.root()).getUsableSpace();
        if (space < SPACE_NEEDED) {
            throw new UnavailableException(
                    "%s has %d MiB of free space, but %d MiB are needed; set IOASIS_CACHE to another folder"
                            .formatted(cache.root(), space / MIB, SPACE_NEEDED / MIB));
        }
        progress.accept("getting the kernel's tests from Debian into " + cache.root());
        Path state = cache.newTemporary(cleanup);
        Path made = cache.newTemporary(cleanup);
        try {
            DebianArchive archive =
                    DebianArchive.open(host, cleanup, progress, state, DebianArchive.AMD64, true);
            String source =
                    archive.dependencies(SOURCE_PACKAGE, DebianArchive.BACKPORTS).stream()
                            .filter(name -> VERSIONED_SOURCE.matcher(name).matches())
                            .findFirst()
                            .orElseThrow(() ->
                                    new UnavailableException(
                                            "Debian's " + SOURCE_PACKAGE + " names no source"));
            Path packages = Files.createDirectory(made.resolve("packages"));
            Map<String, String> versions =
                    archive.unpack(
                            archive.download(
                                    List.of(source, HEADERS_PACKAGE, RIGHTS_PACKAGE, NAMES_PACKAGE),
                                    DebianArchive.BACKPORTS),
                            packages);
            unpackSources(host, cleanup, progress, packages, made);
            build(host, cleanup, progress, packages, made);
            Map<String, String> notes = new LinkedHashMap<>();
            notes.put(VERSION_NOTE, versions.getOrDefault(source, "unknown"));
            notes.put(PROGRAMS_NOTE, allPrograms());
            versions.forEach((name, version) -> notes.put("package." + name, version));
            return cache.publish(made, PART, notes, cleanup);
        } catch (UnavailableException e) {
            throw new UnavailableException(
                    "no tests of the kernel: "
                            + e.getMessage()
                            + "\nTheir sources come from Debian packages: install apt (apt-get, dpkg), and set"
                            + " IOASIS_DEBIAN_MIRROR to the address of a Debian mirror.",
                    e);
        } finally {
            cleanup.delete(made);
            cleanup.delete(state);
        }
    }

    private static void unpackSources(
            Host host, Cleanup cleanup, Consumer<String> progress, Path packages, Path made)
            throws IOException, InterruptedException {
        progress.accept("unpacking the sources");
        Path archive;
        try (Stream<Path> all = Files.list(packages.resolve("usr/src"))) {
            archive =
                    all.filter(file -> file.toString().endsWith(".tar.xz"))
                            .findFirst()
                            .orElseThrow(() -> new IOException("the package has no sources"));
        }
        List<String> command = new ArrayList<>();
        command.addAll(List.of("tar", "-xJf", archive.toString(), "-C", made.toString()));
        command.addAll(List.of("--strip-components=1", "--wildcards"));
        command.addAll(PIECES);
        run(host, cleanup, command, made, "tar cannot unpack the kernel's sources");
        Files.delete(archive);
    }

    private static void build(
            Host host, Cleanup cleanup, Consumer<String> progress, Path packages, Path made)
            throws UnavailableException, IOException, InterruptedException {
        Compiler compiler = new Compiler(host, cleanup, packages, made);
        try {
            for (String program : Suite.IOMMUFD.programs()) {
                progress.accept("building " + program);
                compiler.link(program, "iommu", List.of(packages.resolve(RIGHTS)));
            }
            progress.accept("building what the tests of VFIO have in common");
            List<Path> common = new ArrayList<>(compiler.objects("vfio/lib"));
            Path older = Files.writeString(made.resolve("older.c"), OLDER_C_LIBRARY);
            common.add(packages.resolve(NAMES));
            common.add(older);
            for (String program : Suite.VFIO.programs()) {
                progress.accept("building " + program);
                compiler.link(program, "vfio", common);
            }
        } catch (IOException e) {
            throw new UnavailableException(
                    e.getMessage() + "\n(on Debian the packages gcc and libc6-dev are needed)", e);
        }
    }

    /** The machine's C compiler, as the kernel's makefiles would call it. One thread. */
    private record Compiler(Host host, Cleanup cleanup, Path packages, Path made) {
        private List<String> words() {
            List<String> words = new ArrayList<>();
            words.addAll(List.of("cc", "-std=gnu11", "-D_GNU_SOURCE=", "-O2", "-w", "-pthread"));
            for (String headers : List.of("usr/include", "usr/include/x86_64-linux-gnu")) {
                words.addAll(List.of("-isystem", packages.resolve(headers).toString()));
            }
            for (String headers : List.of(TESTS + "/vfio/lib/include", "tools/include", TESTS)) {
                words.add("-I" + made.resolve(headers));
            }
            return words;
        }

        /** Objects of all sources of a folder of the tests, and below. */
        List<Path> objects(String folder) throws IOException, InterruptedException {
            Path objects = Files.createDirectory(made.resolve("objects"));
            List<String> words = words();
            words.add("-c");
            try (Stream<Path> all = Files.walk(made.resolve(TESTS).resolve(folder))) {
                all.map(Path::toString).filter(name -> name.endsWith(".c")).forEach(words::add);
            }
            run(host, cleanup, words, objects, "cc cannot build " + folder);
            try (Stream<Path> all = Files.list(objects)) {
                return all.toList();
            }
        }

        /** A program of the tests of VFIO, without libraries and with another usual mode. */
        void linkStandalone(String program, Path file) throws IOException, InterruptedException {
            Path library = made.resolve(TESTS).resolve("vfio/lib");
            Path target = file.resolveSibling("iommu.o");
            List<String> compile = words();
            compile.addAll(List.of("-D" + USUAL_MODE + "=other_mode", "-c"));
            compile.addAll(List.of("-o", target.toString(), library.resolve("iommu.c").toString()));
            run(host, cleanup, compile, library, "cc cannot build what the tests have in common");
            Path mode =
                    Files.writeString(
                            file.resolveSibling("mode.c"),
                            "const char *%s = \"vfio_type1v2_iommu\";\n".formatted(USUAL_MODE));
            List<String> words = words();
            words.addAll(List.of("-static", "-o", file.toString(), program + ".c"));
            words.addAll(List.of(mode.toString(), target.toString()));
            try (Stream<Path> all = Files.list(made.resolve("objects"))) {
                all.filter(object -> !object.endsWith("iommu.o"))
                        .forEach(object -> words.add(object.toString()));
            }
            words.add(packages.resolve(NAMES).toString());
            words.add(made.resolve("older.c").toString());
            run(
                    host,
                    cleanup,
                    words,
                    made.resolve(TESTS).resolve("vfio"),
                    "cc cannot build " + program);
        }

        /** A program of one source, and what else is given. */
        void link(String program, String folder, List<Path> more)
                throws IOException, InterruptedException {
            List<String> words = words();
            words.addAll(List.of("-o", made.resolve(program).toString(), program + ".c"));
            more.forEach(file -> words.add(file.toString()));
            Path in = made.resolve(TESTS).resolve(folder);
            run(host, cleanup, words, in, "cc cannot build " + program);
        }
    }

    private static void run(
            Host host, Cleanup cleanup, List<String> command, Path in, String failure)
            throws IOException, InterruptedException {
        List<String> words = new ArrayList<>(command);
        words.set(0, host.program(words.getFirst()).map(Path::toString).orElse(words.getFirst()));
        Tool.Result result =
                Tool.run(cleanup, words, host.childEnvironment(), in, BUILD_LIMIT, line -> {});
        if (!result.isSuccess()) {
            throw new IOException(failure + ":\n" + result.explanation());
        }
    }
}
