// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.zip.GZIPInputStream;
import org.jspecify.annotations.Nullable;
import org.tukaani.xz.XZInputStream;

/**
 * The modules of one kernel: which ones are needed for some drivers, in the order in which they
 * must be loaded, and their uncompressed bytes. One thread.
 */
public final class KernelModules {
    /** The largest module of a distribution is a tenth of this. */
    private static final int SIZE_LIMIT = 64 << 20;

    private static final Pattern FILE =
            Pattern.compile("([A-Za-z0-9_-]+)\\.ko(\\.xz|\\.gz|\\.zst)?");

    private final String release;
    private final boolean isMonolithic;
    private final Set<String> builtIn = new HashSet<>();
    private final Map<String, Path> files = new HashMap<>();

    /** Takes stock of a kernel's modules; opens none of them. */
    public KernelModules(Kernel kernel) throws IOException {
        release = kernel.release();
        Path folder = kernel.modules();
        isMonolithic = folder == null;
        if (folder == null) {
            return;
        }
        Path list = folder.resolve(Kernel.BUILT_IN);
        for (String line : Files.readAllLines(list)) {
            String name = nameOf(Path.of(line));
            if (name != null) {
                builtIn.add(name);
            }
        }
        try (Stream<Path> all = Files.walk(folder)) {
            all.forEach(file -> {
                String name = nameOf(file);
                if (name != null) {
                    files.put(name, file);
                }
            });
        }
    }

    private static @Nullable String nameOf(Path file) {
        Path last = file.getFileName();
        Matcher matcher = FILE.matcher(last == null ? "" : last.toString());
        return matcher.matches() ? ModuleInfo.canonicalName(matcher.group(1)) : null;
    }

    /**
     * What must be loaded for {@code drivers}, dependencies first, each module once. Built-in ones
     * are left out.
     *
     * @return names and uncompressed bytes, in load order
     * @throws IOException when the kernel has no such driver, or a module cannot be read
     */
    SequencedMap<String, byte[]> loadOrder(List<String> drivers) throws IOException {
        SequencedMap<String, byte[]> ordered = new LinkedHashMap<>();
        for (String driver : drivers) {
            add(ModuleInfo.canonicalName(driver), ordered, new ArrayList<>());
        }
        return ordered;
    }

    private void add(String name, Map<String, byte[]> ordered, List<String> path)
            throws IOException {
        if (isMonolithic || builtIn.contains(name) || ordered.containsKey(name)) {
            return;
        }
        if (path.contains(name)) {
            throw new IOException("kernel modules depend on each other: " + path + ", " + name);
        }
        Path file = files.get(name);
        if (file == null) {
            throw new IOException("kernel " + release + " has no module " + name);
        }
        byte[] bytes = uncompressed(file);
        path.add(name);
        for (String dependency : ModuleInfo.read(name, bytes).depends()) {
            add(dependency, ordered, path);
        }
        path.removeLast();
        ordered.put(name, bytes);
    }

    private static byte[] uncompressed(Path file) throws IOException {
        String name = file.toString();
        if (name.endsWith(".zst")) {
            return uncompressedByProgram(file);
        }
        try (InputStream raw = Files.newInputStream(file);
                InputStream in =
                        name.endsWith(".xz")
                                ? new XZInputStream(raw)
                                : name.endsWith(".gz") ? new GZIPInputStream(raw) : raw) {
            return readAll(in, file);
        }
    }

    /** Neither Java nor our libraries know Zstandard. */
    private static byte[] uncompressedByProgram(Path file) throws IOException {
        Process zstd;
        try {
            zstd =
                    new ProcessBuilder("zstd", "-d", "-q", "-c", file.toString())
                            .redirectError(ProcessBuilder.Redirect.DISCARD)
                            .start();
        } catch (IOException absent) {
            throw new IOException(
                    file + " can only be read by the program zstd, which is not on the PATH",
                    absent);
        }
        try (InputStream in = zstd.getInputStream()) {
            byte[] bytes = readAll(in, file);
            if (zstd.waitFor() != 0) {
                throw new IOException("zstd cannot uncompress " + file);
            }
            return bytes;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while zstd ran", e);
        } finally {
            zstd.destroyForcibly();
        }
    }

    private static byte[] readAll(InputStream in, Path file) throws IOException {
        byte[] bytes = in.readNBytes(SIZE_LIMIT);
        if (bytes.length == SIZE_LIMIT) {
            throw new IOException(file + " is larger than " + SIZE_LIMIT + " bytes");
        }
        return bytes;
    }
}
