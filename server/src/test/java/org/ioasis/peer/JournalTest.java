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
    private final List<Runnable> tasks = new ArrayList<>();
    private final List<Long> deadlines = new ArrayList<>();
    private final Journal journal =
            new Journal(
                    this,
                    clock::get,
                    (deadline, task) -> {
                        deadlines.add(deadline);
                        tasks.add(task);
                    });

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

    private void say(int count) {
        for (int i = 0; i < count; i++) {
            int number = i;
            journal.say(Level.WARNING, () -> "line " + number);
        }
    }

    @Test
    void theLastOfTheLinesBeyondTheLimitIsSaidWhenTheWhileIsOver() {
        long end = clock.get() + Journal.WINDOW_NANOS;
        say(Journal.LINES_MAX);
        assertThat(written).hasSize(Journal.LINES_MAX);
        assertThat(tasks).isEmpty();

        say(7);
        assertThat(written).hasSize(Journal.LINES_MAX);
        assertThat(written.getLast()).isEqualTo("WARNING line " + (Journal.LINES_MAX - 1));
        assertThat(deadlines).containsExactly(end);

        clock.set(end);
        tasks.getFirst().run();
        assertThat(written)
                .hasSize(Journal.LINES_MAX + 1)
                .endsWith("WARNING line 6 (6 lines before it were left out)");

        tasks.getFirst().run();
        journal.say(Level.INFO, () -> "next");
        assertThat(written).hasSize(Journal.LINES_MAX + 2).endsWith("INFO next");
    }

    @Test
    void oneLineBeyondTheLimitIsOnlyLate() {
        say(Journal.LINES_MAX);
        journal.say(Level.INFO, () -> "late");

        clock.addAndGet(Journal.WINDOW_NANOS);
        // A busy loop has not come to its task yet.
        journal.say(Level.WARNING, () -> "next");
        tasks.getFirst().run();

        assertThat(written).hasSize(Journal.LINES_MAX + 2).endsWith("INFO late", "WARNING next");
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
