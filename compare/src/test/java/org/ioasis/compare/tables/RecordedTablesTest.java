// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.tables;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Tables and commands that Linux made for QEMU's IOMMUs, as {@code ioasis compare tables --record}
 * wrote them down: the same comparison without a guest. Nobody writes a recording by hand: {@code
 * --record} with the folder of these replaces them by those of new guests ({@code
 * docs/compare.md}).
 */
class RecordedTablesTest {
    static Recording recording(Subject subject) throws IOException {
        String name = subject.label() + ".tables";
        try (InputStream in =
                Objects.requireNonNull(
                        RecordedTablesTest.class.getResourceAsStream(name), () -> name)) {
            return Recording.read(in.readAllBytes());
        }
    }

    @ParameterizedTest
    @EnumSource
    void everyTranslationThatQemuFoundIsWhatOurWalkersFind(Subject subject) throws Exception {
        Recording recording = recording(subject);

        TableComparison.Result result = TableComparison.of(recording);

        System.out.print(TablesCommand.text(recording, result));
        assertThat(result.differences()).isEmpty();
        assertThat(result.devices()).isEqualTo(2);
        assertThat(result.translations()).isGreaterThan(200);
        if (subject.family() != Subject.Family.AMD) {
            assertThat(result.sizes()).isEqualTo(result.translations());
            assertThat(result.rights()).isEqualTo(result.translations());
        }
    }

    /** Nothing passes for a comparison that could not fail. */
    @ParameterizedTest
    @EnumSource
    void anEntryThatIsAnotherIsADifference(Subject subject) throws Exception {
        Recording recording = recording(subject);
        LiveTranslations.Live one = LiveTranslations.after(recording.events()).getFirst();
        List<TraceEvent> events = new ArrayList<>(recording.events());
        events.add(
                new TraceEvent.Translated(
                        one.device(),
                        one.iova(),
                        one.output() ^ 0x1000,
                        one.pageLg2(),
                        one.rights()));

        TableComparison.Result result =
                TableComparison.of(
                        new Recording(
                                subject,
                                recording.maker(),
                                recording.registers(),
                                recording.pages(),
                                events));

        assertThat(result.differences()).singleElement().asString().contains("QEMU's");
    }

    /** In place: the ring in the guest's memory has what QEMU has taken from it last. */
    @ParameterizedTest
    @EnumSource(names = "VTD_.*", mode = EnumSource.Mode.MATCH_ALL)
    void commandsInTheRingAreThoseThatQemuHasCarriedOut(Subject subject) throws Exception {
        Recording recording = recording(subject);
        List<TraceEvent> carriedOut =
                recording.events().stream()
                        .filter(event -> event instanceof TraceEvent.Command)
                        .toList();

        CommandQueue queue = CommandQueue.of(recording);
        List<TraceEvent.Command> inPlace = queue.commands(recording.pages());

        assertThat(inPlace).hasSize(queue.entries());
        assertThat(carriedOut.size()).isGreaterThan(inPlace.size());
        assertThat(Collections.unmodifiableList(inPlace))
                .isEqualTo(
                        carriedOut.subList(carriedOut.size() - inPlace.size(), carriedOut.size()));
    }

    @Test
    void recordingsAreSmall() throws Exception {
        long bytes = 0;
        for (Subject subject : Subject.values()) {
            bytes += recording(subject).bytes().length;
        }
        assertThat(bytes).isLessThan(600 << 10);
    }
}
