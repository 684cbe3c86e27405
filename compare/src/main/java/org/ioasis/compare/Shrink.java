// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.BooleanSupplier;

/**
 * Looks for the shortest list that still shows a failure (delta debugging): first how much of the
 * end is needed, then pieces are left out, smaller and smaller, until no single element can be. One
 * thread.
 */
final class Shrink<T> {
    /** Whether a list shows the failure. */
    interface Trial<T> {
        boolean shows(List<T> list) throws IOException, InterruptedException;
    }

    private final Trial<T> trial;
    private final BooleanSupplier mayGoOn;
    private int trials;

    /**
     * @param mayGoOn asked before each trial: false ends the search with what is there
     */
    Shrink(Trial<T> trial, BooleanSupplier mayGoOn) {
        this.trial = trial;
        this.mayGoOn = mayGoOn;
    }

    /** How often the failure was looked for. */
    int trials() {
        return trials;
    }

    private boolean shows(List<T> list) throws IOException, InterruptedException {
        trials++;
        return trial.shows(List.copyOf(list));
    }

    /** The shortest list that was found, in the order of {@code all}; nothing if none shows it. */
    Optional<List<T>> of(List<T> all) throws IOException, InterruptedException {
        int length = 0;
        while (mayGoOn.getAsBoolean()) {
            List<T> end = all.subList(all.size() - length, all.size());
            if (shows(end)) {
                return Optional.of(without(new ArrayList<>(end)));
            }
            if (length == all.size()) {
                break;
            }
            length = Math.min(all.size(), Math.max(1, 2 * length));
        }
        return Optional.empty();
    }

    private List<T> without(List<T> all) throws IOException, InterruptedException {
        List<T> list = all;
        // All of it is needed, or an earlier end would have shown it.
        int piece = list.size() / 2;
        while (piece > 0) {
            boolean isShorter = false;
            for (int end = list.size(); end > 0 && mayGoOn.getAsBoolean(); ) {
                int from = Math.max(0, end - piece);
                List<T> rest = new ArrayList<>(list);
                rest.subList(from, end).clear();
                if (shows(rest)) {
                    list = rest;
                    isShorter = true;
                }
                end = from;
            }
            if (!mayGoOn.getAsBoolean()) {
                return list;
            }
            // What could not be left out may be, once something else is.
            piece = piece > 1 ? piece / 2 : isShorter ? 1 : 0;
        }
        return list;
    }
}
