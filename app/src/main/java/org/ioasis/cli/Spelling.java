// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.util.Collection;
import java.util.List;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.UnmatchedArgumentException;

/** What somebody meant who mistyped an option or a command. Main thread. */
final class Spelling {
    private Spelling() {}

    /** "; did you mean --iommu?" behind the first word that is not known, or nothing. */
    static String hint(ParameterException wrong) {
        if (!(wrong instanceof UnmatchedArgumentException unmatched)
                || unmatched.getUnmatched().isEmpty()) {
            return "";
        }
        CommandSpec command = wrong.getCommandLine().getCommandSpec();
        String word = unmatched.getUnmatched().getFirst().split("=", 2)[0];
        Collection<String> known =
                word.startsWith("-")
                        ? command.optionsMap().keySet()
                        : command.subcommands().keySet();
        List<String> near = near(word, known);
        return near.isEmpty() ? "" : "; did you mean %s?".formatted(String.join(" or ", near));
    }

    /** Those of the known words that differ from this one least, if that is little. */
    static List<String> near(String word, Collection<String> known) {
        // A third of the letters, so that no short word is near to every other.
        int least = Math.max(1, word.length() / 3);
        for (String other : known) {
            least = Math.min(least, distance(word, other));
        }
        int nearest = least;
        return known.stream()
                .filter(other -> distance(word, other) == nearest)
                .sorted()
                .limit(3)
                .toList();
    }

    /** Letters that are missing, too many, wrong, or in the other order than their neighbour. */
    private static int distance(String one, String other) {
        int[][] steps = new int[one.length() + 1][other.length() + 1];
        for (int i = 0; i <= one.length(); i++) {
            for (int j = 0; j <= other.length(); j++) {
                if (i == 0 || j == 0) {
                    steps[i][j] = i + j;
                    continue;
                }
                int change = one.charAt(i - 1) == other.charAt(j - 1) ? 0 : 1;
                int fewest =
                        Math.min(
                                steps[i - 1][j - 1] + change,
                                1 + Math.min(steps[i - 1][j], steps[i][j - 1]));
                boolean isSwapped =
                        i > 1
                                && j > 1
                                && one.charAt(i - 1) == other.charAt(j - 2)
                                && one.charAt(i - 2) == other.charAt(j - 1);
                steps[i][j] = isSwapped ? Math.min(fewest, steps[i - 2][j - 2] + 1) : fewest;
            }
        }
        return steps[one.length()][other.length()];
    }
}
