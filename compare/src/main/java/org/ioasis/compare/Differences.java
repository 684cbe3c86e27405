// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Counts differences by kind and keeps the first example of each. One thread. */
final class Differences {
    /**
     * Kinds without a reason that are kept apart; a device that is all wrong has no end of them.
     */
    static final int UNEXPLAINED_KINDS = 200;

    private record Key(
            String kind, String ours, String theirs, Optional<Explanation> explanation) {}

    private record Found(String example, long count) {}

    private final Map<Key, Found> found = new LinkedHashMap<>();
    private int unexplainedKinds;

    /** Adds one. */
    void add(
            String kind,
            String ours,
            String theirs,
            Optional<Explanation> explanation,
            String example) {
        Key key = new Key(kind, ours, theirs, explanation);
        if (explanation.isEmpty() && !found.containsKey(key)) {
            if (unexplainedKinds == UNEXPLAINED_KINDS) {
                key = new Key("more kinds", "", "", explanation);
            } else {
                unexplainedKinds++;
            }
        }
        found.merge(key, new Found(example, 1), (old, _) -> new Found(old.example, old.count + 1));
    }

    /** Those without a reason first, then by id, the most frequent first. */
    List<ComparisonReport.Row> rows() {
        List<ComparisonReport.Row> rows = new ArrayList<>();
        found.forEach((key, what) ->
                rows.add(
                        new ComparisonReport.Row(
                                key.kind,
                                key.ours,
                                key.theirs,
                                key.explanation,
                                what.count,
                                what.example)));
        rows.sort(
                Comparator.comparing((ComparisonReport.Row row) ->
                                row.explanation().map(Explanation::id).orElse(""))
                        .thenComparing(ComparisonReport.Row::count, Comparator.reverseOrder()));
        return rows;
    }
}
