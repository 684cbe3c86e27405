// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Each limit that docs/threat-model.md names is in the code, and so is its test. */
class ThreatModelTest {
    private static final Pattern NAMED = Pattern.compile("`([\\w/]+\\.java)`: `(\\w+)`");

    /** The rows of the table of limits. */
    private static List<String> rows() throws IOException {
        String text = Tree.text("docs/threat-model.md");
        String limits = text.substring(text.indexOf("## Limits"), text.indexOf("## What remains"));
        return limits.lines().filter(line -> line.startsWith("|")).skip(2).toList();
    }

    /** What a row names and is not there. */
    private static List<String> missing(String row) throws IOException {
        List<String> missing = new ArrayList<>();
        Matcher named = NAMED.matcher(row);
        while (named.find()) {
            List<Path> files = files(named.group(1));
            if (files.size() != 1) {
                missing.add(named.group(1) + " is " + files);
            } else if (!Pattern.compile("\\b" + named.group(2) + "\\b")
                    .matcher(Files.readString(files.getFirst()))
                    .find()) {
                missing.add(named.group(2) + " in " + named.group(1));
            }
        }
        return missing;
    }

    private static List<Path> files(String suffix) throws IOException {
        List<Path> found = new ArrayList<>();
        for (String module : Tree.modules()) {
            try (Stream<Path> all = Files.walk(Tree.root().resolve(module).resolve("src"))) {
                found.addAll(all.filter(file -> file.endsWith(suffix)).toList());
            }
        }
        return found;
    }

    @Test
    void everyLimitNamesItsPlaceAndItsTestAndBothAreThere() throws IOException {
        List<String> rows = rows();

        assertThat(rows).hasSizeGreaterThan(20);
        for (String row : rows) {
            assertThat(NAMED.matcher(row).results()).as(row).hasSize(2);
            assertThat(row).as("the second is a test").containsPattern("Test\\.java`: `\\w+` \\|$");
            assertThat(missing(row)).as(row).isEmpty();
        }
    }

    @Test
    void limitThatIsNotThereIsFound() throws IOException {
        assertThat(missing("| x | `memory/Guards.java`: `NO_LIMIT` |")).hasSize(1);
        assertThat(missing("| x | `memory/Nowhere.java`: `LIMIT` |")).hasSize(1);
    }
}
