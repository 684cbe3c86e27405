// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep.job;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.ioasis.sweep.Answer;
import org.ioasis.sweep.SweepReport;
import org.jspecify.annotations.Nullable;

/**
 * The folder that a report goes to: a new one, an empty one, or one that has an earlier report and
 * nothing else. What else is there belongs to somebody. One thread.
 */
final class ReportFolder {
    private static final String PAGE = "index.html";
    private static final String JSON = "figures.json";
    private static final String PARQUET = "figures.parquet";
    private static final List<String> OURS = List.of(PAGE, JSON, PARQUET);
    private static final int LOOKED_AT = 128;

    private final Path folder;

    ReportFolder(Path folder) {
        this.folder = folder;
    }

    /** Why no report can go there, for people; null if it can. Changes nothing. */
    @Nullable String refusal() throws IOException {
        if (!Files.exists(folder)) {
            Path above = folder.toAbsolutePath().normalize().getParent();
            return above == null || !Files.isDirectory(above)
                    ? "there is no folder for " + folder
                    : writable(above);
        }
        if (!Files.isDirectory(folder)) {
            return folder + " is there and is no folder";
        }
        List<String> names;
        try (Stream<Path> files = Files.list(folder)) {
            names = files.map(file -> file.getFileName().toString()).sorted().toList();
        }
        for (String name : names) {
            if (!OURS.contains(name)) {
                return "%s is there and has %s, which is of no report of `ioasis sweep`: name another folder"
                        .formatted(folder, name);
            }
        }
        if (!names.isEmpty() && !hasReport()) {
            return "%s is there and its %s is no report of `ioasis sweep`: name another folder"
                    .formatted(folder, names.getFirst());
        }
        return writable(folder);
    }

    private static @Nullable String writable(Path folder) {
        return Files.isWritable(folder) ? null : "no permission to write in " + folder;
    }

    private boolean hasReport() throws IOException {
        Path json = folder.resolve(JSON);
        if (!Files.isRegularFile(json)) {
            return false;
        }
        try (var in = Files.newInputStream(json)) {
            return new String(in.readNBytes(LOOKED_AT), StandardCharsets.UTF_8)
                    .contains("\"report\" : \"" + SweepReport.NAME + "\"");
        }
    }

    /** Writes all three; the JSON first, by which the folder is known again. */
    void write(List<Answer> answers) throws IOException {
        SweepReport report = new SweepReport(answers);
        Files.createDirectories(folder);
        Files.writeString(folder.resolve(JSON), report.json());
        FiguresFile.write(folder.resolve(PARQUET), answers);
        Files.writeString(folder.resolve(PAGE), report.page());
    }

    Path page() {
        return folder.resolve(PAGE);
    }
}
