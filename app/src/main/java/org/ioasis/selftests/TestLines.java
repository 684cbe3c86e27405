// SPDX-License-Identifier: Apache-2.0
package org.ioasis.selftests;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.ioasis.guestkit.BoundedLines;

/**
 * Reads what a test program of the kernel prints (TAP, Documentation/dev-tools/ktap): a line per
 * case, and before it what the case had to say. One thread.
 */
public final class TestLines {
    /** How a case ended. */
    public enum Outcome {
        PASSED,
        FAILED,
        SKIPPED
    }

    /**
     * A case.
     *
     * @param name fixture, variant and test, with dots between
     * @param words why it was skipped, or what it said when it failed; may be empty
     */
    public record Case(String name, Outcome outcome, String words) {
        public String fixture() {
            int dot = name.indexOf('.');
            return dot < 0 ? name : name.substring(0, dot);
        }
    }

    private static final Pattern RESULT =
            Pattern.compile("(not )?ok \\d+ (\\S+)(?: # (?:SKIP ?)?(.*))?");
    private static final Pattern RUN = Pattern.compile("#  RUN           .*");
    private static final Pattern END = Pattern.compile("#\\s+(?:OK|FAIL|SKIP) .*");

    /**
     * What a case says that asked the kernel for huge pages, which there are none of: mmap failed,
     * before it could try anything of ours. (It does not skip itself.)
     */
    private static final Pattern NO_HUGE_PAGES =
            Pattern.compile(
                    ".*:Expected MAP_FAILED \\(\\d+\\) != buf \\(\\d+\\).*"
                            + "|.*_setup: Assertion `vrc == self->buffer' failed\\..*");

    /** The same of a case that then skips itself. */
    private static final Pattern SKIPPED_WITHOUT =
            Pattern.compile("mmap\\(\\) failed: Cannot allocate memory \\(\\d+\\)");

    static final String NEEDS_HUGE_PAGES =
            "the test needs huge pages, and this machine has too few (vm.nr_hugepages)";

    /** What a case says is kept up to here. */
    private static final int WORDS_MAX = 3;

    private final Consumer<Case> ended;
    private final List<Case> cases = new ArrayList<>();
    private final List<String> words = new ArrayList<>();
    private final StringBuilder unfinished = new StringBuilder();

    /**
     * @param ended hears of each case
     */
    TestLines(Consumer<Case> ended) {
        this.ended = ended;
    }

    /** Reads what a file has got since the last time; a line that has no end yet waits. */
    void read(RandomAccessFile file) throws IOException {
        byte[] bytes = new byte[8192];
        for (int n = file.read(bytes); n > 0; n = file.read(bytes)) {
            for (int i = 0; i < n; i++) {
                if (bytes[i] == '\n') {
                    accept(unfinished.toString());
                    unfinished.setLength(0);
                } else if (unfinished.length() < BoundedLines.LIMIT) {
                    unfinished.append(bytes[i] >= ' ' && bytes[i] < 0x7f ? (char) bytes[i] : '?');
                }
            }
        }
    }

    void add(Case one) {
        cases.add(one);
        ended.accept(one);
    }

    List<Case> cases() {
        return List.copyOf(cases);
    }

    private static String why(String skipped) {
        return SKIPPED_WITHOUT.matcher(skipped).matches() ? NEEDS_HUGE_PAGES : skipped;
    }

    /** One line. */
    void accept(String line) {
        Matcher result = RESULT.matcher(line);
        if (result.matches()) {
            String comment = result.group(3);
            boolean isSkipped = comment != null && line.contains("# SKIP");
            boolean isFailed = result.group(1) != null;
            if (isFailed && words.stream().anyMatch(w -> NO_HUGE_PAGES.matcher(w).matches())) {
                add(new Case(result.group(2), Outcome.SKIPPED, NEEDS_HUGE_PAGES));
                words.clear();
                return;
            }
            Outcome outcome =
                    isFailed ? Outcome.FAILED : isSkipped ? Outcome.SKIPPED : Outcome.PASSED;
            add(
                    new Case(
                            result.group(2),
                            outcome,
                            switch (outcome) {
                                case PASSED -> "";
                                case SKIPPED -> why(comment == null ? "" : comment.strip());
                                case FAILED -> String.join("; ", words);
                            }));
            words.clear();
        } else if (RUN.matcher(line).matches()) {
            words.clear();
        } else if (!END.matcher(line).matches() && words.size() < WORDS_MAX) {
            words.add(line.startsWith("# ") ? line.substring(2).strip() : line);
        }
    }
}
