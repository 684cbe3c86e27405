// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.lang.module.ModuleDescriptor;
import java.lang.module.ModuleFinder;
import java.lang.module.ModuleReference;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** What the artifacts for others export is what their document says, and nothing else. */
class ExportsTest {
    private static final List<String> FOR_OTHERS =
            List.of("sys", "core", "host", "server", "machine");

    private static final Pattern ROW =
            Pattern.compile("(?m)^\\| `(org\\.ioasis\\.\\w+)` \\| (.*) \\|$");
    private static final Pattern PACKAGE = Pattern.compile("`([a-z0-9.]+)`");

    private static List<ModuleDescriptor> modules() throws IOException {
        Path root = Tree.root();
        Path[] folders =
                FOR_OTHERS.stream()
                        .map(name -> root.resolve(name).resolve("target/classes"))
                        .toArray(Path[]::new);
        return ModuleFinder.of(folders).findAll().stream()
                .map(ModuleReference::descriptor)
                .toList();
    }

    @Test
    void packagesThatEverybodyMayUseAreThoseOfTheDocument() throws IOException {
        Map<String, Set<String>> exported = new TreeMap<>();
        for (ModuleDescriptor module : modules()) {
            for (ModuleDescriptor.Exports each : module.exports()) {
                if (!each.isQualified()) {
                    exported.computeIfAbsent(module.name(), _ -> new TreeSet<>())
                            .add(each.source().substring("org.ioasis.".length()));
                }
            }
        }
        String text = Tree.text("docs/embedding.md");
        Map<String, Set<String>> documented = new TreeMap<>();
        ROW.matcher(text.substring(text.indexOf("## What is exported")))
                .results()
                .forEach(row -> documented.put(row.group(1), packages(row.group(2))));
        assertThat(exported).hasSize(4).isEqualTo(documented);
    }

    private static Set<String> packages(String cell) {
        return new TreeSet<>(
                PACKAGE.matcher(cell).results().map((MatchResult one) -> one.group(1)).toList());
    }

    @Test
    void whatServesBringsNeitherTheCommandsNorTheirLibraries() throws IOException {
        TreeSet<String> required = new TreeSet<>();
        for (ModuleDescriptor module : modules()) {
            module.requires().forEach(each -> required.add(each.name()));
        }
        assertThat(required)
                .containsExactlyInAnyOrder(
                        "com.fasterxml.jackson.core",
                        "java.base",
                        "jdk.jfr",
                        "org.ioasis.core",
                        "org.ioasis.host",
                        "org.ioasis.server",
                        "org.ioasis.sys",
                        "org.jspecify");
    }

    @Test
    void onlyModulesOfOursAreGivenTheRest() throws IOException {
        List<String> given =
                modules().stream()
                        .flatMap(module -> module.exports().stream())
                        .flatMap(each -> each.targets().stream())
                        .distinct()
                        .toList();
        assertThat(given).isNotEmpty().allMatch(name -> name.startsWith("org.ioasis."));
        assertThat(given).allMatch(name -> isOurs(name.substring("org.ioasis.".length())));
    }

    private static boolean isOurs(String name) {
        return Arrays.asList("host", "server", "machine", "look", "app", "compare").contains(name);
    }
}
