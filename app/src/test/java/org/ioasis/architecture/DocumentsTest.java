// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The documents name files and methods that are there. Their commands are checked by {@code
 * tools/tests/readme.sh}.
 */
class DocumentsTest {
    private static References references;

    @BeforeAll
    static void readTree() throws IOException {
        references = new References(Tree.root(), Tree.productionClasses());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "README.md",
                "ARCHITECTURE.md",
                "CONTRIBUTING.md",
                "mutants/README.md",
                "bench/README.md",
                "docs/commands.md",
                "docs/compare.md",
                "docs/config.md",
                "docs/embedding.md",
                "docs/features.md",
                "docs/flight-recorder.md",
                "docs/fuzz-coverage.md",
                "docs/gdb.md",
                "docs/host.md",
                "docs/interop.md",
                "docs/kernel-quirks.md",
                "docs/monitoring/README.md",
                "docs/nesting.md",
                "docs/recording.md",
                "docs/save-restore.md",
                "docs/serve.md",
                "docs/threat-model.md",
                "docs/vm.md"
            })
    void documentNamesOnlyWhatIsThere(String document) throws IOException {
        assertThat(references.missingIn(Tree.text(document))).isEmpty();
    }

    @Test
    void architectureNamesMethods() throws IOException {
        assertThat(References.methodsIn(Tree.text("ARCHITECTURE.md"))).isPositive();
    }

    @Test
    void licenseIsThere() throws IOException {
        assertThat(Tree.text("LICENSE")).contains("Apache License", "Version 2.0, January 2004");
    }

    @Test
    void fileThatIsNotThereIsFound() {
        assertThat(references.missingIn("`cli/Nowhere.java`"))
                .containsExactly("`cli/Nowhere.java`: no such file");
    }

    @Test
    void methodThatIsNotThereIsFound() {
        assertThat(references.missingIn("`cli/Main.java#nothing`"))
                .containsExactly(
                        "`cli/Main.java#nothing`: no such method in"
                                + " app/src/main/java/org/ioasis/cli/Main.java");
    }

    @Test
    void methodOfAnotherFileIsFound() {
        assertThat(references.missingIn("`cli/Main.java#missingIn`")).hasSize(1);
    }

    @Test
    void pathThatFitsTwoFilesIsFound(@TempDir Path tree) throws IOException {
        for (String module : new String[] {"a", "b"}) {
            Files.createDirectories(tree.resolve(module));
            Files.createFile(tree.resolve(module).resolve("Same.java"));
        }
        References two = new References(tree, Tree.productionClasses());

        assertThat(two.missingIn("`Same.java`")).hasSize(1);
        assertThat(two.missingIn("`a/Same.java`")).isEmpty();
    }

    @Test
    void methodsAndFilesThatAreThereAreNotReported() {
        assertThat(
                        references.missingIn(
                                "`app/src/main/java/org/ioasis/cli/Main.java#main`,"
                                        + " `cli/Main.java#main`, `tools/test.sh`, `ioasis`"))
                .isEmpty();
    }
}
