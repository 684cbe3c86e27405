// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.io.IOException;
import java.util.List;
import java.util.Optional;
import java.util.function.BooleanSupplier;

/**
 * What made a run fail, the shortest sequence of steps that was found to show it, and how to repeat
 * that. Immutable.
 *
 * @param request number of the request at which it was seen
 * @param setup of the two devices, in words
 * @param steps each with its place; empty if it was not seen again, or needs none
 * @param wasSeenAgain by these steps
 * @param trials runs that were made to find out
 * @param command repeats it
 */
public record Failure(
        long request,
        String what,
        String setup,
        List<String> steps,
        boolean wasSeenAgain,
        int trials,
        String command) {
    /** Takes a new pair of devices through steps. */
    interface Runner {
        Optional<Finding> run(List<Script.Numbered> steps) throws IOException, InterruptedException;
    }

    /**
     * Finds it out.
     *
     * @param before the steps up to the finding, as many as are to be looked at
     * @param whole the option that repeats the whole run
     * @param mayGoOn the search may take longer
     */
    static Failure of(
            Finding finding,
            int setup,
            long seed,
            List<Script.Numbered> before,
            String whole,
            Runner runner,
            BooleanSupplier mayGoOn)
            throws IOException, InterruptedException {
        Shrink<Script.Numbered> shrink =
                new Shrink<>(steps -> finding.isLike(runner.run(steps)), mayGoOn);
        Optional<List<Script.Numbered>> shortest = shrink.of(before);
        String steps = shortest.map(list -> "--steps " + Selection.of(setup, list)).orElse(whole);
        return new Failure(
                finding.request(),
                finding.what(),
                Setup.ALL.get(setup).toString(),
                shortest.orElse(List.of()).stream()
                        .map(one -> "%d:%d  %s".formatted(setup, one.index(), text(one.step())))
                        .toList(),
                shortest.isPresent(),
                shrink.trials(),
                "./ioasis compare --seed 0x%x %s".formatted(seed, steps));
    }

    private static String text(Step step) {
        return step instanceof Step.Ask(Request request)
                ? request + " = " + request.hex()
                : step.toString();
    }

    /** For people. */
    String text() {
        StringBuilder text = new StringBuilder();
        text.append("FAILED at request %d: %s%n".formatted(request, what));
        if (wasSeenAgain) {
            text.append(
                    "The shortest sequence that was found to show it, of %d steps after %d runs, with %s:%n"
                            .formatted(steps.size(), trials, setup));
            steps.forEach(step -> text.append("  ").append(step).append('\n'));
        } else {
            text.append(
                    "It was not seen again in %d runs of the steps before it.%n".formatted(trials));
        }
        return text.append("To repeat it: ").append(command).append('\n').toString();
    }
}
