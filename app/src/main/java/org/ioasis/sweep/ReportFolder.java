// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.ioasis.output.OutputFile;
import org.ioasis.output.OutputKind;
import org.jspecify.annotations.Nullable;

/**
 * The folder that a report goes to: a new one, an empty one, or one that has an earlier report and
 * nothing else. What else is there belongs to somebody. One thread.
 */
public final class ReportFolder {
    private static final String PAGE = "index.html";
    private static final String JSON = "figures.json";
    private static final String PARQUET = "figures.parquet";
    private static final Map<String, OutputKind> OURS = ours();

    private final Path folder;

    public ReportFolder(Path folder) {
        this.folder = folder;
    }

    private static Map<String, OutputKind> ours() {
        Map<String, OutputKind> ours = new LinkedHashMap<>();
        ours.put(JSON, OutputKind.SWEEP);
        ours.put(PARQUET, OutputKind.SWEEP_FIGURES);
        ours.put(PAGE, OutputKind.SWEEP_PAGE);
        return ours;
    }

    /** Why no report can go there, for people; null if it can. Changes nothing. */
    public @Nullable String refusal() throws IOException {
        if (!Files.exists(folder)) {
            Path above = folder.toAbsolutePath().normalize().getParent();
            if (above == null || !Files.isDirectory(above)) {
                return "there is no folder for " + folder;
            }
            return Files.isWritable(above) ? null : "no permission to write in " + above;
        }
        if (!Files.isDirectory(folder)) {
            return folder + " is there and is no folder";
        }
        List<String> names;
        try (Stream<Path> files = Files.list(folder)) {
            names = files.map(file -> file.getFileName().toString()).sorted().toList();
        }
        for (String name : names) {
            if (!OURS.containsKey(name)) {
                return "%s is there and has %s, which is of no report of `ioasis sweep`: name another folder"
                        .formatted(folder, name);
            }
        }
        for (Map.Entry<String, OutputKind> one : OURS.entrySet()) {
            String refusal = OutputFile.refusal(folder.resolve(one.getKey()), one.getValue());
            if (refusal != null) {
                return refusal;
            }
        }
        return null;
    }

    /**
     * Writes all three, after all three could be opened.
     *
     * @param figures the same as Parquet
     * @throws IOException with the file
     */
    public void write(SweepReport report, byte[] figures) throws IOException {
        Files.createDirectories(folder);
        try (OutputFile json = open(JSON);
                OutputFile parquet = open(PARQUET);
                OutputFile page = open(PAGE)) {
            json.write(report.json().getBytes(StandardCharsets.UTF_8));
            parquet.write(figures);
            page.write(report.page().getBytes(StandardCharsets.UTF_8));
        }
    }

    private OutputFile open(String name) throws IOException {
        return OutputFile.open(folder.resolve(name), Objects.requireNonNull(OURS.get(name), name));
    }

    /** What to look at. */
    public Path page() {
        return folder.resolve(PAGE);
    }
}
