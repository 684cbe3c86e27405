// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;

/** What a flight recording has of ours, for tests. One thread at a time. */
public final class Flight {
    /** Fields of any event, which differ from run to run. */
    private static final List<String> OF_ALL =
            List.of("startTime", "duration", "eventThread", "stackTrace");

    private Flight() {}

    /**
     * The events of a task, in the order of their ends.
     *
     * @param settings besides what the events say themselves
     */
    public static List<RecordedEvent> of(Map<String, String> settings, Runnable task) {
        try (Recording recording = new Recording()) {
            recording.setSettings(settings);
            recording.start();
            task.run();
            recording.stop();
            Path file = Files.createTempFile("ioasis", ".jfr");
            try {
                recording.dump(file);
                List<RecordedEvent> ours = new ArrayList<>();
                for (RecordedEvent event : RecordingFile.readAllEvents(file)) {
                    if (event.getEventType().getName().startsWith("org.ioasis.")) {
                        ours.add(event);
                    }
                }
                ours.sort(Comparator.comparing(RecordedEvent::getEndTime));
                return ours;
            } finally {
                Files.delete(file);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The same as text: the last part of each event's name and its fields. */
    public static List<String> textOf(Map<String, String> settings, Runnable task) {
        return of(settings, task).stream().map(Flight::text).toList();
    }

    private static String text(RecordedEvent event) {
        StringBuilder text =
                new StringBuilder(event.getEventType().getName().substring("org.ioasis.".length()));
        Function<Object, String> value =
                field -> field instanceof Long big ? "0x" + Long.toHexString(big) : "" + field;
        event.getEventType().getFields().stream()
                .map(field -> field.getName())
                .filter(name -> !OF_ALL.contains(name))
                .forEach(name ->
                        text.append(' ')
                                .append(name)
                                .append('=')
                                .append(value.apply(event.getValue(name))));
        return text.toString();
    }
}
