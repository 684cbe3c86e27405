// SPDX-License-Identifier: Apache-2.0
package org.ioasis.conformance;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.io.InputStream;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;

/**
 * The statements of virtio 1.4, 5.13, by their ids, and the tests that carry them: a test method
 * carries a statement by a {@code @Tag} with its id. Any thread.
 */
final class Statements {
    private static final Pattern ID = Pattern.compile("[DHPSR]-\\d\\d|T\\d");

    /**
     * One statement.
     *
     * @param strength the specification's keyword, or where else it comes from
     * @param sentence what it asks
     * @param choice what we do where it leaves a choice, or nothing
     */
    record Statement(String id, String strength, String sentence, String choice) {
        /** False for what was asked of people and not of a device: no test can carry it. */
        boolean isBehaviour() {
            return !strength.equals("not behaviour");
        }
    }

    private Statements() {}

    /** The table, in its order. */
    static List<Statement> table() throws IOException {
        List<Statement> table = new ArrayList<>();
        try (InputStream in = Statements.class.getResourceAsStream("statements.txt")) {
            if (in == null) {
                throw new IOException("no statements.txt beside " + Statements.class);
            }
            for (String line : new String(in.readAllBytes(), UTF_8).lines().toList()) {
                if (!line.startsWith("#")) {
                    String[] fields = line.split("\\|", -1);
                    table.add(
                            new Statement(
                                    fields[0].strip(),
                                    fields[1].strip(),
                                    fields[2].strip(),
                                    fields[3].strip()));
                }
            }
        }
        return table;
    }

    /** Tests by id, each as Class#method, of all compiled test classes in a folder. */
    static Map<String, SortedSet<String>> carried(Path classes)
            throws IOException, ClassNotFoundException {
        Map<String, SortedSet<String>> carried = new TreeMap<>();
        List<Path> files;
        try (Stream<Path> all = Files.walk(classes)) {
            files = all.filter(file -> file.toString().endsWith("Test.class")).toList();
        }
        for (Path file : files) {
            String path = classes.relativize(file).toString();
            String name = path.substring(0, path.length() - 6).replace('/', '.');
            Class<?> type = Class.forName(name, false, Statements.class.getClassLoader());
            for (Method method : type.getDeclaredMethods()) {
                for (Tag tag : method.getAnnotationsByType(Tag.class)) {
                    if (ID.matcher(tag.value()).matches()) {
                        carried.computeIfAbsent(tag.value(), _ -> new TreeSet<>())
                                .add(type.getSimpleName() + "#" + method.getName());
                    }
                }
            }
        }
        return carried;
    }

    /** The document. */
    static String document(List<Statement> table, Map<String, SortedSet<String>> carried) {
        StringBuilder text =
                new StringBuilder(
                        """
                        # Conformance of the virtio-iommu device and driver

                        Generated from the tests by `./ioasis test ConformanceTest` with `MAVEN_ARGS=-Dioasis.write=true`; the build
                        fails when it is not what the tests say. Each statement of virtio 1.4, 5.13 has an id: D for those of the
                        device, R for those of the driver, P for rules in its prose, T for decisions where it contradicts itself or
                        others, S for what was asked for when it was drafted, H for what the profiles `tables-2021` and `tables-2023` add ([nesting.md](nesting.md)). A test carries a statement by a tag with the id; a statement is met when
                        its tests pass, and `./ioasis test` runs them all. What is not behaviour has the reason instead. Tests of the wire run twice, with both settings of T3.

                        | id | strength | statement | choice | tests |
                        |---|---|---|---|---|
                        """);
        for (Statement statement : table) {
            text.append(
                    "| %s | %s | %s | %s | %s |\n"
                            .formatted(
                                    statement.id,
                                    statement.strength,
                                    statement.sentence,
                                    statement.choice,
                                    String.join(
                                            ", ",
                                            carried.getOrDefault(statement.id, new TreeSet<>()))));
        }
        return text.toString();
    }
}
