// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.util.ArrayList;
import java.util.List;

/**
 * The steps of one setup in order, each with its numbers. The setups take turns, a block of
 * requests each, so a request has the same number however many follow. One thread.
 */
final class Script {
    /** Requests of one setup in a row. */
    static final long BLOCK = 1000;

    /**
     * One step in its place.
     *
     * @param index among the steps of its setup
     * @param request its number among the requests of all setups, or that of the next one
     */
    record Numbered(int index, long request, Step step) {}

    private final Requests maker;
    private final int setup;
    private final int setups;
    private int index;
    private long asked;

    /**
     * @param setups how many take turns
     */
    Script(long seed, int setup, int setups) {
        maker = new Requests(seed, setup);
        this.setup = setup;
        this.setups = setups;
    }

    /** Number of the next request. */
    long request() {
        return (asked / BLOCK * setups + setup) * BLOCK + asked % BLOCK;
    }

    /** The next steps, {@code count} requests among them, the last step being one. */
    List<Numbered> next(long count) {
        List<Numbered> steps = new ArrayList<>();
        for (Step step : maker.next(count)) {
            steps.add(new Numbered(index++, request(), step));
            if (step instanceof Step.Ask) {
                asked++;
            }
        }
        return steps;
    }
}
