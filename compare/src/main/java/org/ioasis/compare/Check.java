// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.io.IOException;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/**
 * A statement that can be asked of a device. Immutable.
 *
 * @param id of the statement in docs/conformance.md
 * @param sentence what it asks; with {@code NOT} in its strength, what must not be
 * @param body starts the device of a trial, and asks
 */
record Check(String id, Strength strength, String sentence, Body body) {
    /** The specification's keyword, or that there is none. */
    enum Strength {
        MUST,
        MUST_NOT,
        SHOULD,
        SHOULD_NOT,
        PROSE;

        @Override
        public String toString() {
            return this == PROSE ? name().toLowerCase(Locale.ROOT) : name().replace('_', ' ');
        }
    }

    /** How it is asked. */
    @FunctionalInterface
    interface Body {
        void ask(Trial trial)
                throws IOException, InterruptedException, Trial.Violation, Trial.NotSeen;
    }

    /** What came of it. */
    enum Outcome {
        HOLDS("holds"),
        VIOLATED("does not hold"),
        NOT_SEEN("not seen");

        private final String words;

        Outcome(String words) {
            this.words = words;
        }

        @Override
        public String toString() {
            return words;
        }
    }

    /**
     * What a device has shown.
     *
     * @param reason why it does not hold, or cannot be seen
     * @param steps what was done to see that it does not hold
     */
    record Result(Check check, Outcome outcome, String reason, List<String> steps) {}

    /**
     * Asks it.
     *
     * @param attaches what was asked of the device before that may not have ended with its reset
     * @throws IOException the device cannot be asked anything any more
     */
    Result ask(Candidate candidate, Set<Request> attaches)
            throws IOException, InterruptedException {
        Trial trial = new Trial(candidate, attaches);
        try {
            body.ask(trial);
            return new Result(this, Outcome.HOLDS, "", List.of());
        } catch (Trial.Violation violation) {
            return new Result(
                    this, Outcome.VIOLATED, String.valueOf(violation.getMessage()), trial.steps());
        } catch (Trial.NotSeen why) {
            return new Result(this, Outcome.NOT_SEEN, String.valueOf(why.getMessage()), List.of());
        }
    }
}
