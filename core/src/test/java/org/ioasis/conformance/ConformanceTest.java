// SPDX-License-Identifier: Apache-2.0
package org.ioasis.conformance;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SortedSet;
import org.ioasis.conformance.Statements.Statement;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Every statement is carried by a test, and docs/conformance.md says by which. */
class ConformanceTest {
    private static List<Statement> table = List.of();
    private static Map<String, SortedSet<String>> carried = Map.of();

    @BeforeAll
    static void read() throws Exception {
        table = Statements.table();
        carried =
                Statements.carried(
                        Path.of(
                                ConformanceTest.class
                                        .getProtectionDomain()
                                        .getCodeSource()
                                        .getLocation()
                                        .toURI()));
    }

    @Test
    void everyStatementIsCarriedByATest() {
        assertThat(table)
                .filteredOn(Statement::isBehaviour)
                .allSatisfy(statement ->
                        assertThat(carried.get(statement.id()))
                                .as(statement.id() + " has no test")
                                .isNotEmpty());
        assertThat(table)
                .filteredOn(statement -> !statement.isBehaviour())
                .allSatisfy(other -> {
                    assertThat(other.id()).startsWith("S-");
                    assertThat(other.choice()).as("why").isNotEmpty();
                    assertThat(carried).doesNotContainKey(other.id());
                });
    }

    @Test
    void everyTagIsAStatement() {
        assertThat(table).extracting(Statement::id).containsAll(carried.keySet());
    }

    @Test
    void theTableIsWhole() {
        List<String> expected = new ArrayList<>();
        for (int i = 1; i <= 65; i++) {
            expected.add("D-%02d".formatted(i));
        }
        for (int i = 1; i <= 13; i++) {
            expected.add("P-%02d".formatted(i));
        }
        for (int i = 1; i <= 43; i++) {
            expected.add("R-%02d".formatted(i));
        }
        for (int i = 1; i <= 6; i++) {
            expected.add("T" + i);
        }
        for (int i = 1; i <= 30; i++) {
            expected.add("S-%02d".formatted(i));
        }
        for (int i = 1; i <= 26; i++) {
            expected.add("H-%02d".formatted(i));
        }
        assertThat(table).extracting(Statement::id).containsExactlyElementsOf(expected);
        assertThat(table)
                .filteredOn(statement -> statement.strength().equals("MAY"))
                .allSatisfy(may -> assertThat(may.choice()).as(may.id()).isNotEmpty());
    }

    @Test
    void theDocumentIsWhatTheTestsSay() throws IOException {
        Path file = root().resolve("docs/conformance.md");
        String expected = Statements.document(table, carried);
        if (Boolean.getBoolean("ioasis.write")) {
            Files.writeString(file, expected, UTF_8);
        }
        assertThat(Files.exists(file) ? Files.readString(file, UTF_8) : "")
                .as("docs/conformance.md; MAVEN_ARGS=-Dioasis.write=true rewrites it")
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
