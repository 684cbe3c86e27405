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
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Debian's packages for one architecture, by a private apt state: apt's own programs and the keys
 * that the host trusts, but lists, archives and the idea of what is installed lie in one temporary
 * folder. So it needs no root and leaves the host's apt as it is. One thread; blocks.
 */
final class DebianArchive {
    static final String RELEASE = "trixie";
    static final String BACKPORTS = RELEASE + "-backports";
    static final String AMD64 = "amd64";
    static final String ARM64 = "arm64";

    private static final Duration QUERY_LIMIT = Duration.ofSeconds(60);
    private static final Duration DOWNLOAD_LIMIT = Duration.ofMinutes(15);

    /** Where Debian puts the keys that sign its releases; newer systems use the first name. */
    private static final List<Path> KEYRINGS =
            List.of(
                    Path.of("/usr/share/keyrings/debian-archive-keyring.pgp"),
                    Path.of("/usr/share/keyrings/debian-archive-keyring.gpg"));

    /**
     * Settings of the host that say how to reach a mirror. Anything else of the host's apt
     * configuration stays out, above all hooks, which would run as part of our update.
     */
    private static final Pattern CARRIED_SETTING =
            Pattern.compile(
                    "Acquire::(?:(?:http|https)(?:::[A-Za-z0-9:._/-]+)?|Retries"
                            + "|ForceIPv[46]|Check-Valid-Until|Check-Date) \"[^\"]*\";");

    private static final Pattern PACKAGE_NAME = Pattern.compile("[a-z0-9][a-z0-9+.-]{1,127}");
    private static final Pattern PACKAGE_FILE =
            Pattern.compile(
                    "([a-z0-9][a-z0-9+.-]{1,127})_([A-Za-z0-9.+~%:-]+)_(amd64|arm64|all)\\.deb");
    private static final Pattern DEPENDS = Pattern.compile("\\s+\\|?Depends: (\\S+)");
    private static final Pattern NEED = Pattern.compile("Need to get (.+) of archives\\.");
    private static final Pattern COUNT = Pattern.compile(".* (\\d{1,6}) newly installed,.*");
    private static final Pattern GET = Pattern.compile("Get:(\\d{1,6}) .*");

    private final Host host;
    private final Cleanup cleanup;
    private final Consumer<String> progress;
    private final Path folder;
    private final Map<String, String> environment;

    private DebianArchive(
            Host host,
            Cleanup cleanup,
            Consumer<String> progress,
            Path folder,
            Map<String, String> environment) {
        this.host = host;
        this.cleanup = cleanup;
        this.progress = progress;
        this.folder = folder;
        this.environment = environment;
    }

    /**
     * Prepares a private state in {@code folder} and fetches the package lists.
     *
     * @param architecture whose packages, this machine's or not
     * @throws UnavailableException when this machine has no apt, no mirror is known or it fails
     */
    static DebianArchive open(
            Host host,
            Cleanup cleanup,
            Consumer<String> progress,
            Path folder,
            String architecture,
            boolean withBackports)
            throws UnavailableException, IOException, InterruptedException {
        for (String program : List.of("apt-get", "apt-cache", "apt-config", "dpkg")) {
            if (host.program(program).isEmpty()) {
                throw new UnavailableException(program + " is not on the PATH");
            }
        }
        String mirror = mirror(host, cleanup, folder);
        Path configuration = writeState(host, cleanup, folder, mirror, architecture, withBackports);
        Map<String, String> environment = new LinkedHashMap<>(host.childEnvironment());
        environment.put("APT_CONFIG", configuration.toString());
        environment.put("DEBIAN_FRONTEND", "noninteractive");
        DebianArchive archive = new DebianArchive(host, cleanup, progress, folder, environment);
        progress.accept("reading Debian's package lists from " + withoutPassword(mirror));
        Tool.Result update =
                archive.apt(
                        command(host, "apt-get", "-q", "update"), folder, DOWNLOAD_LIMIT, l -> {});
        if (!update.isSuccess()) {
            throw new UnavailableException(
                    "the Debian mirror "
                            + withoutPassword(mirror)
                            + " cannot be used:\n"
                            + update.explanation());
        }
        return archive;
    }

    /** The program by the PATH that we were given, which need not be the JVM's own. */
    private static List<String> command(Host host, String program, String... arguments) {
        List<String> words = new ArrayList<>();
        words.add(host.program(program).map(Path::toString).orElse(program));
        words.addAll(List.of(arguments));
        return words;
    }

    private static String withoutPassword(String uri) {
        return uri.replaceFirst("//[^/@]*@", "//");
    }

    private static String mirror(Host host, Cleanup cleanup, Path folder)
            throws UnavailableException, IOException, InterruptedException {
        String chosen = host.variable("IOASIS_DEBIAN_MIRROR");
        if (chosen != null) {
            if (!AptTargets.isMirror(chosen)) {
                throw new UnavailableException(
                        "IOASIS_DEBIAN_MIRROR is not an http:, https: or file: address: " + chosen);
            }
            return chosen;
        }
        List<String> targets = new ArrayList<>();
        Tool.run(
                cleanup,
                command(host, "apt-get", "indextargets", "Identifier: Packages"),
                host.childEnvironment(),
                folder,
                QUERY_LIMIT,
                targets::add);
        Optional<String> found = AptTargets.debianMirror(targets);
        return found.orElseThrow(() ->
                new UnavailableException(
                        "this machine's apt configuration names no mirror of Debian"));
    }

    private static Path writeState(
            Host host,
            Cleanup cleanup,
            Path folder,
            String mirror,
            String architecture,
            boolean withBackports)
            throws IOException, InterruptedException {
        for (String name :
                List.of("state/lists/partial", "cache/archives/partial", "parts", "debs")) {
            Files.createDirectories(folder.resolve(name));
        }
        Path status = Files.createFile(folder.resolve("state/status"));

        String signedBy =
                KEYRINGS.stream()
                        .filter(Files::isReadable)
                        .findFirst()
                        .map(keyring -> " signed-by=" + keyring)
                        .orElse("");
        String source = "deb [arch=" + architecture + signedBy + "] " + mirror + " ";
        List<String> sources = new ArrayList<>();
        sources.add(source + RELEASE + " main");
        if (withBackports) {
            sources.add(source + BACKPORTS + " main");
        }
        Path sourceList = Files.write(folder.resolve("sources.list"), sources);

        List<String> settings = new ArrayList<>();
        // First, for it keeps apt from reading the host's files.
        set(settings, "Dir::Etc::main", "/dev/null");
        set(settings, "Dir::Etc::parts", folder.resolve("parts").toString());
        set(settings, "Dir::Etc::sourcelist", sourceList.toString());
        set(settings, "Dir::Etc::sourceparts", folder.resolve("parts").toString());
        set(settings, "Dir::Etc::preferences", "/dev/null");
        set(settings, "Dir::Etc::preferencesparts", folder.resolve("parts").toString());
        set(settings, "Dir::State", folder.resolve("state").toString());
        set(settings, "Dir::State::status", status.toString());
        set(settings, "Dir::Cache", folder.resolve("cache").toString());
        set(settings, "Dir::Log", folder.resolve("state").toString());
        set(settings, "APT::Architecture", architecture);
        set(settings, "APT::Architectures", architecture);
        // apt drops root to a user that cannot write into our folder.
        set(settings, "APT::Sandbox::User", "");
        set(settings, "APT::Install-Recommends", "false");
        set(settings, "APT::Update::Error-Mode", "any");
        set(settings, "Acquire::Languages", "none");
        List<String> dump = new ArrayList<>();
        Tool.run(
                cleanup,
                command(host, "apt-config", "dump"),
                host.childEnvironment(),
                folder,
                QUERY_LIMIT,
                dump::add);
        dump.stream()
                .filter(line -> CARRIED_SETTING.matcher(line).matches())
                .forEach(settings::add);
        return Files.write(folder.resolve("apt.conf"), settings);
    }

    private static void set(List<String> settings, String name, String value) {
        settings.add(name + " \"" + value + "\";");
    }

    /**
     * The packages that {@code name} depends on, in its own order.
     *
     * @param release the release whose version of {@code name} is asked for
     */
    List<String> dependencies(String name, String release)
            throws UnavailableException, IOException, InterruptedException {
        List<String> lines = new ArrayList<>();
        Tool.Result result =
                apt(
                        command(host, "apt-cache", "-t", release, "depends", name),
                        folder,
                        QUERY_LIMIT,
                        lines::add);
        List<String> found = new ArrayList<>();
        for (String line : lines) {
            Matcher matcher = DEPENDS.matcher(line);
            if (matcher.matches() && PACKAGE_NAME.matcher(matcher.group(1)).matches()) {
                found.add(matcher.group(1));
            }
        }
        if (found.isEmpty()) {
            throw new UnavailableException(
                    "Debian's " + name + " depends on nothing:\n" + result.explanation());
        }
        return found;
    }

    /** Downloads exactly these packages. */
    List<Path> download(List<String> names, String release)
            throws UnavailableException, IOException, InterruptedException {
        progress.accept("downloading " + String.join(" ", names));
        Path target = folder.resolve("debs");
        List<String> command =
                new ArrayList<>(command(host, "apt-get", "-q", "-t", release, "download"));
        command.addAll(names);
        Tool.Result result = apt(command, target, DOWNLOAD_LIMIT, line -> {});
        List<Path> files = packageFiles(target);
        if (!result.isSuccess() || files.size() < names.size()) {
            throw new UnavailableException(
                    "cannot download "
                            + String.join(" ", names)
                            + " from Debian:\n"
                            + result.explanation());
        }
        return files;
    }

    /** Downloads a package and all that it needs, as if nothing were installed. */
    List<Path> downloadWithDependencies(String name, String release)
            throws UnavailableException, IOException, InterruptedException {
        Tool.Result result =
                apt(
                        command(
                                host,
                                "apt-get",
                                "-q",
                                "-y",
                                "--download-only",
                                "-t",
                                release,
                                "install",
                                name),
                        folder,
                        DOWNLOAD_LIMIT,
                        new DownloadProgress(name, progress));
        List<Path> files = packageFiles(folder.resolve("cache/archives"));
        if (!result.isSuccess() || files.isEmpty()) {
            throw new UnavailableException(
                    "cannot download " + name + " from Debian:\n" + result.explanation());
        }
        return files;
    }

    private static List<Path> packageFiles(Path folder) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.filter(e -> PACKAGE_FILE.matcher(fileName(e)).matches())
                    .sorted()
                    .toList();
        }
    }

    private static String fileName(Path file) {
        return file.getFileName().toString();
    }

    /**
     * Unpacks packages into {@code target} and removes their files.
     *
     * @return version by package
     */
    Map<String, String> unpack(List<Path> files, Path target)
            throws IOException, InterruptedException {
        progress.accept(
                "unpacking " + files.size() + (files.size() == 1 ? " package" : " packages"));
        Map<String, String> versions = new LinkedHashMap<>();
        for (Path file : files) {
            Tool.Result result =
                    Tool.run(
                            cleanup,
                            command(host, "dpkg", "-x", file.toString(), target.toString()),
                            environment,
                            folder,
                            DOWNLOAD_LIMIT,
                            line -> {});
            if (!result.isSuccess()) {
                throw new IOException(
                        "dpkg cannot unpack " + fileName(file) + ":\n" + result.explanation());
            }
            Matcher matcher = PACKAGE_FILE.matcher(fileName(file));
            if (matcher.matches()) {
                versions.put(matcher.group(1), matcher.group(2).replace("%3a", ":"));
            }
            Files.delete(file);
        }
        return versions;
    }

    private Tool.Result apt(List<String> command, Path in, Duration limit, Consumer<String> sink)
            throws IOException, InterruptedException {
        return Tool.run(cleanup, command, environment, in, limit, sink);
    }

    /** Turns apt's lines into about ten of ours. Called on the reader's thread. */
    static final class DownloadProgress implements Consumer<String> {
        private static final int STEPS = 8;

        private final String name;
        private final Consumer<String> progress;
        private int total;
        private int reported;

        DownloadProgress(String name, Consumer<String> progress) {
            this.name = name;
            this.progress = progress;
        }

        @Override
        public void accept(String line) {
            Matcher count = COUNT.matcher(line);
            if (count.matches()) {
                total = Integer.parseInt(count.group(1));
                return;
            }
            Matcher need = NEED.matcher(line);
            if (need.matches()) {
                progress.accept(
                        "downloading " + name + ": " + total + " packages, " + need.group(1));
                return;
            }
            Matcher get = GET.matcher(line);
            if (get.matches() && total > 0) {
                int done = Integer.parseInt(get.group(1));
                int step = (int) ((long) done * STEPS / total);
                if (step > reported && done <= total) {
                    reported = step;
                    progress.accept("  package " + done + " of " + total);
                }
            }
        }
    }
}
