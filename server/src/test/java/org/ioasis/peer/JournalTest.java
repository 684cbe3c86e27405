// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.System.Logger.Level;
import java.util.ArrayList;
import java.util.List;
import java.util.ResourceBundle;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** What is written of what peers do, and what is left out. */
class JournalTest implements System.Logger {
    private final AtomicLong clock = new AtomicLong(Long.MAX_VALUE - 5);
    private final List<String> written = new ArrayList<>();
    private final Journal journal = new Journal(this, clock::get);

    @Override
    public String getName() {
        return "test";
    }

    @Override
    public boolean isLoggable(Level level) {
        return level != Level.DEBUG;
    }

    @Override
    public void log(
            Level level,
            @Nullable ResourceBundle bundle,
            @Nullable String text,
            @Nullable Throwable thrown) {
        written.add(level + " " + text);
    }

    @Override
    public void log(
            Level level,
            @Nullable ResourceBundle bundle,
            @Nullable String text,
            @Nullable Object @Nullable ... parameters) {
        written.add(level + " " + text);
    }

    @Test
    void linesBeyondTheLimitAreCountedAndSaidWithTheNextOne() {
        for (int i = 0; i < Journal.LINES_MAX + 7; i++) {
            int number = i;
            journal.say(Level.WARNING, () -> "line " + number);
        }
        assertThat(written).hasSize(Journal.LINES_MAX).contains("WARNING line 0");
        assertThat(written.getLast()).isEqualTo("WARNING line " + (Journal.LINES_MAX - 1));

        clock.addAndGet(Journal.WINDOW_NANOS);
        journal.say(Level.INFO, () -> "next");
        journal.say(Level.INFO, () -> "one more");

        assertThat(written)
                .hasSize(Journal.LINES_MAX + 2)
                .contains("INFO next (7 lines were left out)", "INFO one more");
    }

    @Test
    void linesThatNobodyWantsAreNotMade() {
        journal.say(
                Level.DEBUG,
                () -> {
                    throw new IllegalStateException("made");
                });

        assertThat(written).isEmpty();
    }
}
