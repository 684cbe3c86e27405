// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.StringJoiner;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Some steps of one setup, named by their place, as {@code 1:0,5-9}: so that what is left of a run
 * can be repeated. Immutable.
 *
 * @param setup the first is 0
 * @param runs of steps, ascending
 */
public record Selection(int setup, List<Run> runs) {
    private static final String RUN = "\\d{1,9}(?:-\\d{1,9})?";
    private static final Pattern FORM = Pattern.compile("(\\d):(" + RUN + "(?:," + RUN + ")*)?");

    /** Steps {@code first..last}. */
    public record Run(int first, int last) {
        @Override
        public String toString() {
            return first == last ? Integer.toString(first) : first + "-" + last;
        }
    }

    /** The inverse of {@link #toString}; nothing if it is not of that form or not ascending. */
    public static Optional<Selection> parse(String text) {
        Matcher matcher = FORM.matcher(text);
        if (!matcher.matches()) {
            return Optional.empty();
        }
        int setup = Integer.parseInt(matcher.group(1));
        List<Run> runs = new ArrayList<>();
        int after = 0;
        String list = matcher.group(2);
        for (String word : list == null ? new String[0] : list.split(",", -1)) {
            String[] ends = word.split("-", 2);
            int first = Integer.parseInt(ends[0]);
            int last = Integer.parseInt(ends[ends.length - 1]);
            if (first < after || last < first) {
                return Optional.empty();
            }
            runs.add(new Run(first, last));
            after = last + 1;
        }
        return setup < Setup.ALL.size()
                ? Optional.of(new Selection(setup, List.copyOf(runs)))
                : Optional.empty();
    }

    /** These steps of a setup, in their order. */
    static Selection of(int setup, List<Script.Numbered> steps) {
        List<Run> runs = new ArrayList<>();
        for (Script.Numbered step : steps) {
            int index = step.index();
            boolean goesOn = !runs.isEmpty() && runs.getLast().last + 1 == index;
            runs.add(new Run(goesOn ? runs.removeLast().first : index, index));
        }
        return new Selection(setup, List.copyOf(runs));
    }

    private boolean has(int index) {
        return runs.stream().anyMatch(run -> run.first <= index && index <= run.last);
    }

    /** The steps that a seed gives at these places. */
    List<Script.Numbered> steps(long seed) {
        List<Script.Numbered> steps = new ArrayList<>();
        Script script = new Script(seed, setup, Setup.ALL.size());
        int end = runs.isEmpty() ? 0 : runs.getLast().last + 1;
        for (int made = 0; made < end; ) {
            List<Script.Numbered> next = script.next(Script.BLOCK);
            next.stream().filter(step -> has(step.index())).forEach(steps::add);
            made += next.size();
        }
        return steps;
    }

    @Override
    public String toString() {
        StringJoiner text = new StringJoiner(",", setup + ":", "");
        runs.forEach(run -> text.add(run.toString()));
        return text.toString();
    }
}
