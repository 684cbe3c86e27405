// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Every source file says under which licence it may be used. */
class LicenseTest {
    private static final String LINE = "SPDX-License-Identifier: Apache-2.0";
    private static final Set<String> SOURCES = Set.of("java", "sh", "c", "h", "rs", "xml", "toml");

    private static List<Path> sources() throws IOException {
        try (Stream<Path> all = Files.walk(Tree.root())) {
            return all.filter(Files::isRegularFile)
                    .filter(file -> !isBuilt(Tree.root().relativize(file)))
                    .filter(file -> SOURCES.contains(extension(file)))
                    .toList();
        }
    }

    private static boolean isBuilt(Path file) {
        return Stream.of("target", ".git").anyMatch(name -> contains(file, name));
    }

    private static boolean contains(Path file, String name) {
        for (Path part : file) {
            if (part.toString().equals(name)) {
                return true;
            }
        }
        return false;
    }

    private static String extension(Path file) {
        String name = file.getFileName().toString();
        return name.substring(name.lastIndexOf('.') + 1);
    }

    private static boolean isMarked(Path file) throws IOException {
        return Files.readString(file).lines().limit(3).anyMatch(line -> line.contains(LINE));
    }

    @Test
    void everySourceFileNamesItsLicenceInItsFirstLines() throws IOException {
        List<Path> sources = sources();

        assertThat(sources).hasSizeGreaterThan(400);
        for (Path file : sources) {
            assertThat(isMarked(file)).as(Tree.root().relativize(file).toString()).isTrue();
        }
    }
}
