// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import jdk.jfr.Event;
import jdk.jfr.EventType;
import jdk.jfr.ValueDescriptor;
import org.junit.jupiter.api.Test;

/** The table of docs/flight-recorder.md is about the events that there are, and all of them. */
class FlightDocumentTest {
    private static final Pattern ROW =
            Pattern.compile("(?m)^\\| `(org\\.ioasis\\.\\w+)` \\|.*\\| ([^|]+) \\|$");
    private static final Pattern FIELD = Pattern.compile("`(\\w+)`");
    private static final Set<String> OF_ALL =
            Set.of("startTime", "duration", "eventThread", "stackTrace");

    /** Those of all sources: their files say what their classes are called. */
    private static List<EventType> events() throws IOException, ReflectiveOperationException {
        List<EventType> events = new ArrayList<>();
        for (String module : Tree.modules()) {
            Path sources = Tree.root().resolve(module).resolve("src/main/java");
            if (!Files.isDirectory(sources)) {
                continue;
            }
            List<Path> files;
            try (Stream<Path> all = Files.walk(sources)) {
                files = all.filter(file -> file.toString().endsWith("Event.java")).toList();
            }
            for (Path file : files) {
                if (Files.readString(file, UTF_8).contains("@Name(\"org.ioasis.")) {
                    String path = sources.relativize(file).toString();
                    String name = path.substring(0, path.length() - ".java".length());
                    events.add(
                            EventType.getEventType(
                                    Class.forName(name.replace('/', '.')).asSubclass(Event.class)));
                }
            }
        }
        return events;
    }

    @Test
    void theTableHasEachEventAndItsFields() throws Exception {
        List<EventType> events = events();
        assertThat(events).hasSizeGreaterThanOrEqualTo(7);
        String document = Tree.text("docs/flight-recorder.md");
        Set<String> rows = new TreeSet<>();
        for (Matcher row = ROW.matcher(document); row.find(); ) {
            rows.add(row.group(1));
            EventType event =
                    events.stream()
                            .filter(one -> one.getName().equals(row.group(1)))
                            .findAny()
                            .orElseThrow(() -> new AssertionError("no event " + row.group(1)));
            List<String> fields =
                    FIELD.matcher(row.group(2)).results().map(found -> found.group(1)).toList();
            List<String> own =
                    event.getFields().stream()
                            .map(ValueDescriptor::getName)
                            .filter(name -> !OF_ALL.contains(name))
                            .toList();
            if (row.group(2).contains("those of a request")) {
                assertThat(own).containsAll(fields);
            } else {
                assertThat(own).containsExactlyInAnyOrderElementsOf(fields);
            }
        }
        assertThat(rows)
                .containsExactlyInAnyOrderElementsOf(
                        events.stream().map(EventType::getName).toList());
    }

    @Test
    void eachEventAndFieldIsLabelledAndNoneTakesAStackTrace() throws Exception {
        for (EventType event : events()) {
            assertThat(event.getLabel()).as(event.getName()).isNotBlank();
            assertThat(event.getDescription()).as(event.getName()).isNotBlank();
            assertThat(event.getCategoryNames()).containsExactly("Ioasis");
            assertThat(event.isEnabled()).as(event.getName()).isFalse();
            for (ValueDescriptor field : event.getFields()) {
                assertThat(field.getLabel())
                        .as(event.getName() + " " + field.getName())
                        .isNotBlank();
            }
        }
    }
}
