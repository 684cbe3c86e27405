// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a failing run says of itself: the steps that show it, and how to repeat them. */
class FailureTest {
    private static final long SEED = 5;
    private static final Finding LOST =
            new Finding(40, 1037, "DMA read: ours no fault, QEMU's fault", false);

    private static List<Script.Numbered> steps(String selection) {
        return Selection.parse(selection).orElseThrow().steps(SEED);
    }

    private static boolean has(List<Script.Numbered> steps, int index) {
        return steps.stream().anyMatch(step -> step.index() == index);
    }

    private static Failure failure(Failure.Runner runner) throws Exception {
        return Failure.of(LOST, 1, SEED, steps("1:0-40"), "--requests 2000", runner, () -> true);
    }

    @Test
    void theFewestStepsAndTheCommandForThemAreNamed() throws Exception {
        Failure failure =
                failure(steps ->
                        has(steps, 3) && has(steps, 4) && has(steps, 40)
                                ? Optional.of(LOST)
                                : Optional.empty());

        assertThat(failure.steps()).hasSize(3);
        assertThat(failure.steps().getFirst()).startsWith("1:3  ");
        assertThat(failure.command()).isEqualTo("./ioasis compare --seed 0x5 --steps 1:3-4,40");
        assertThat(failure.text())
                .startsWith("FAILED at request 1037: DMA read: ours no fault, QEMU's fault\n")
                .contains("of 3 steps", "39-bit input addresses", "\n  1:4  ")
                .endsWith("To repeat it: ./ioasis compare --seed 0x5 --steps 1:3-4,40\n");
        assertThat(steps("1:3-4,40")).extracting(Script.Numbered::index).containsExactly(3, 4, 40);
    }

    @Test
    void anotherDifferenceIsNotTakenForIt() throws Exception {
        Finding other = new Finding(2, 1002, "MAP: ours OK, QEMU's RANGE", false);

        Failure failure =
                failure(steps -> Optional.of(has(steps, 40) && has(steps, 7) ? LOST : other));

        assertThat(failure.command()).endsWith(" --steps 1:7,40");
    }

    @Test
    void whatIsNotSeenAgainIsRepeatedAsAWhole() throws Exception {
        Failure failure = failure(_ -> Optional.empty());

        assertThat(failure.steps()).isEmpty();
        assertThat(failure.text())
                .contains("It was not seen again in 8 runs")
                .endsWith("To repeat it: ./ioasis compare --seed 0x5 --requests 2000\n");
    }

    @ParameterizedTest
    @ValueSource(strings = {"0:", "1:0", "1:0,5-9", "0:2-4,6,8-999999999"})
    void aSelectionIsReadAsItIsWritten(String text) {
        assertThat(Selection.parse(text)).map(Selection::toString).contains(text);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "1",
                "2:0",
                "1:5,4",
                "1:5,5",
                "1:9-5",
                "1:,",
                "1:0,",
                "1:-1",
                "1:1-2-3",
                "x:1",
                "1:1234567890",
                "1:1111111111111111111111111111111111111111!"
            })
    void otherSelectionsAreRefused(String text) {
        assertThat(Selection.parse(text)).isEmpty();
    }

    @ParameterizedTest
    @CsvSource({"0,0,0", "0,999,999", "0,1000,2000", "1,0,1000", "1,1000,3000", "1,2500,5500"})
    void requestsOfTheSetupsTakeTurnsInBlocks(int setup, int nth, long number) {
        Script script = new Script(SEED, setup, 2);

        List<Script.Numbered> asks =
                script.next(nth + 1).stream()
                        .filter(one -> one.step() instanceof Step.Ask)
                        .toList();

        assertThat(asks.get(nth).request()).isEqualTo(number);
    }

    @Test
    void stepsKeepTheirNumbersHoweverTheyAreTaken() {
        Script pieces = new Script(SEED, 1, 2);
        List<Script.Numbered> first = pieces.next(700);
        List<Script.Numbered> second = pieces.next(700);

        assertThat(second.getFirst().index()).isEqualTo(first.size());
        assertThat(steps("1:0-" + (first.size() + second.size() - 1)))
                .extracting(Script.Numbered::request)
                .startsWith(1000L)
                .endsWith(3399L);
    }
}
