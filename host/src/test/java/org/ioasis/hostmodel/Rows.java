// SPDX-License-Identifier: Apache-2.0
package org.ioasis.hostmodel;

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
import org.junit.platform.commons.annotation.Testable;
import org.junit.platform.commons.support.AnnotationSupport;

/**
 * The systems of the host side by their ids, and the tests that show them: a test method shows a
 * system by a {@code @Tag} with its id. Any thread.
 */
final class Rows {
    private static final Pattern ID = Pattern.compile("S\\d\\d");

    /**
     * One system that is built.
     *
     * @param thread the year of the discussion that asked for it
     * @param evidence what its tests show
     */
    record Row(String id, String system, String thread, String evidence) {}

    private Rows() {}

    /** What is built, in the order of the file. */
    static List<Row> table() throws IOException {
        List<Row> table = new ArrayList<>();
        try (InputStream in = Rows.class.getResourceAsStream("rows.txt")) {
            if (in == null) {
                throw new IOException("no rows.txt beside " + Rows.class);
            }
            for (String line : new String(in.readAllBytes(), UTF_8).lines().toList()) {
                if (!line.startsWith("#")) {
                    String[] fields = line.split("\\|", -1);
                    if (fields.length != 4) {
                        throw new IOException("four fields are expected: " + line);
                    }
                    table.add(
                            new Row(
                                    fields[0].strip(),
                                    fields[1].strip(),
                                    fields[2].strip(),
                                    fields[3].strip()));
                }
            }
        }
        return table;
    }

    /**
     * Tests by id, each as Class#method, or Outer.Inner#method, of all classes in a folder.
     *
     * @throws IllegalStateException where a tag is on what no run would look at
     */
    static Map<String, SortedSet<String>> shown(Path classes)
            throws IOException, ClassNotFoundException {
        Map<String, SortedSet<String>> shown = new TreeMap<>();
        List<Path> files;
        try (Stream<Path> all = Files.walk(classes)) {
            files =
                    all.filter(file -> file.toString().endsWith(".class"))
                            .filter(file -> !file.endsWith("package-info.class"))
                            .toList();
        }
        for (Path file : files) {
            String path = classes.relativize(file).toString();
            String name = path.substring(0, path.length() - 6).replace('/', '.');
            collect(Class.forName(name, false, Rows.class.getClassLoader()), shown);
        }
        return shown;
    }

    /** Adds what one class shows. */
    static void collect(Class<?> type, Map<String, SortedSet<String>> shown) {
        String simple =
                type.getName().substring(type.getPackageName().length() + 1).replace('$', '.');
        for (Tag tag : type.getAnnotationsByType(Tag.class)) {
            if (ID.matcher(tag.value()).matches()) {
                throw new IllegalStateException(simple + ": a tag belongs on a test, not a class");
            }
        }
        for (Method method : type.getDeclaredMethods()) {
            for (Tag tag : method.getAnnotationsByType(Tag.class)) {
                if (ID.matcher(tag.value()).matches()) {
                    String test = simple + "#" + method.getName();
                    if (!AnnotationSupport.isAnnotated(method, Testable.class)) {
                        throw new IllegalStateException(test + " has a tag and is no test");
                    }
                    shown.computeIfAbsent(tag.value(), _ -> new TreeSet<>()).add(test);
                }
            }
        }
    }

    /** The document. */
    static String document(List<Row> table, Map<String, SortedSet<String>> shown) {
        StringBuilder text =
                new StringBuilder(
                        """
                        # The systems of the host side

                        Generated from the tests by `./ioasis test HostModelTest` with `MAVEN_ARGS=-Dioasis.write=true`; the build
                        fails when it is not what the tests say, and when a row has no test. Each system that the discussions on
                        IOMMUs in user space describe has an id; a test shows a system by a tag with the id. The discussions are
                        those of 2016 (mediated devices on the type1 container), 2019 (the allocator of IOASIDs), 2021 (the
                        interface that became `/dev/iommu`) and 2023 (nesting). What is not built is not here. Page requests,
                        shared virtual memory and page-table handover as a guest sees them, at a virtio-iommu device of ours, are
                        H-01 to H-18 in [conformance.md](conformance.md); [nesting.md](nesting.md) tells how to try them.

                        | id | system | asked for in | what its tests show | tests |
                        |---|---|---|---|---|
                        """);
        for (Row row : table) {
            text.append(
                    "| %s | %s | %s | %s | %s |\n"
                            .formatted(
                                    row.id,
                                    row.system,
                                    row.thread,
                                    row.evidence,
                                    String.join(
                                            ", ", shown.getOrDefault(row.id, new TreeSet<>()))));
        }
        return text.toString();
    }
}
