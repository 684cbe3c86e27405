// SPDX-License-Identifier: Apache-2.0
package org.ioasis.hostmodel;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.SortedSet;
import org.ioasis.hostmodel.Rows.Row;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Every system that is built is shown by a test, and docs/host-model.md says by which. */
class HostModelTest {
    private static List<Row> table = List.of();
    private static Map<String, SortedSet<String>> shown = Map.of();

    @BeforeAll
    static void read() throws Exception {
        table = Rows.table();
        shown =
                Rows.shown(
                        Path.of(
                                HostModelTest.class
                                        .getProtectionDomain()
                                        .getCodeSource()
                                        .getLocation()
                                        .toURI()));
    }

    @Test
    void everyRowIsShownByATest() {
        assertThat(table)
                .hasSizeGreaterThanOrEqualTo(4)
                .allSatisfy(row ->
                        assertThat(shown.get(row.id())).as(row.id() + " has no test").isNotEmpty());
    }

    @Test
    void everyTagIsARow() {
        assertThat(table).extracting(Row::id).containsAll(shown.keySet());
    }

    @Test
    void rowsAreInOrderAndEachIsThereOnce() {
        assertThat(table)
                .isNotEmpty()
                .extracting(Row::id)
                .allSatisfy(id -> assertThat(id).matches("S\\d\\d"))
                .isSorted()
                .doesNotHaveDuplicates();
    }

    @Test
    void theDocumentIsWhatTheTestsSay() throws IOException {
        Path file = root().resolve("docs/host-model.md");
        String expected = Rows.document(table, shown);
        if (Boolean.getBoolean("ioasis.write")) {
            Files.writeString(file, expected, UTF_8);
        }
        assertThat(Files.exists(file) ? Files.readString(file, UTF_8) : "")
                .as("docs/host-model.md; MAVEN_ARGS=-Dioasis.write=true rewrites it")
                .isEqualTo(expected);
    }

    /** The folder with the launcher; Maven runs the tests of a module in the module's folder. */
    private static Path root() {
        Path folder = Path.of("").toAbsolutePath();
        while (!Files.exists(folder.resolve("ioasis"))) {
            Path parent = folder.getParent();
            if (parent == null) {
                throw new IllegalStateException(
                        "no ./ioasis above " + Path.of("").toAbsolutePath());
            }
            folder = parent;
        }
        return folder;
    }
}
