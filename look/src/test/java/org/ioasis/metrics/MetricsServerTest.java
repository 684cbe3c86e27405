// SPDX-License-Identifier: Apache-2.0
package org.ioasis.metrics;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.live.MachineView;
import org.ioasis.loop.LoopCounts;
import org.ioasis.web.WebAnswer;
import org.ioasis.web.WebRequest;
import org.junit.jupiter.api.Test;

/** What a scrape gets, and how often machines are looked at for it. */
final class MetricsServerTest {
    private static final LoopCounts COUNTS = new LoopCounts(9, 8, 7, 6, 5, 4, 3, 2, 1, 1, 1, 0);

    private final List<MachineView> machines = new ArrayList<>();
    private int looks;
    private long now;
    private final MetricsServer metrics =
            new MetricsServer(
                    () -> {
                        looks++;
                        return List.copyOf(machines);
                    },
                    () -> now);

    private static MachineView machine(String name, boolean answers) {
        return new MachineView(name, answers, 2, "", COUNTS, List.of());
    }

    private WebAnswer.Whole ask(String method, String path) {
        return (WebAnswer.Whole) metrics.answer(new WebRequest(method, path, "", "", ""));
    }

    private String scrape() {
        WebAnswer.Whole answer = ask("GET", MetricsServer.PATH);
        assertThat(answer.status()).isEqualTo(200);
        assertThat(answer.type()).isEqualTo("text/plain; version=0.0.4; charset=utf-8");
        return answer.content();
    }

    @Test
    void machineThatDoesNotAnswerIsDownAndItsLoopIsCountedAllTheSame() {
        machines.add(machine("up", true));
        machines.add(machine("down", false));

        assertThat(scrape())
                .contains("\nioasis_machine_up{machine=\"up\"} 1.0\n")
                .contains("\nioasis_machine_up{machine=\"down\"} 0.0\n")
                .contains("\nioasis_loop_turns_total{machine=\"down\"} 9.0\n")
                .contains("\nioasis_internal_failures_total{machine=\"down\"} 2.0\n");
    }

    @Test
    void namesThatTheFormatGivesAMeaningToAreEscaped() {
        machines.add(machine("a\"b\\c\nd", true));

        assertThat(scrape()).contains("\nioasis_machine_up{machine=\"a\\\"b\\\\c\\nd\"} 1.0\n");
    }

    @Test
    void howeverManyAskMachinesAreLookedAtAFewTimesASecond() {
        machines.add(machine("first", true));
        String before = scrape();
        machines.set(0, machine("second", true));
        for (int i = 0; i < 1000; i++) {
            now = MetricsServer.AGE_NANOS * i / 1000;
            assertThat(scrape()).isEqualTo(before);
        }
        assertThat(looks).isEqualTo(1);

        now = MetricsServer.AGE_NANOS;

        assertThat(scrape()).contains("second");
        assertThat(looks).isEqualTo(2);
    }

    @Test
    void nothingElseIsThereAndNothingCanBeDone() {
        assertThat(ask("GET", "/").status()).isEqualTo(404);
        assertThat(ask("GET", "/metrics/").status()).isEqualTo(404);
        assertThat(ask("POST", MetricsServer.PATH).status()).isEqualTo(405);
        assertThat(looks).isZero();
    }
}
