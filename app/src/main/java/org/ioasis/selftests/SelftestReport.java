// SPDX-License-Identifier: Apache-2.0
package org.ioasis.selftests;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.ioasis.selftests.TestLines.Case;
import org.ioasis.selftests.TestLines.Outcome;

/**
 * What a run of the kernel's tests has shown. Any thread.
 *
 * @param version of the kernel's source package
 */
public record SelftestReport(String version, List<Case> cases) {
    public SelftestReport {
        cases = List.copyOf(cases);
    }

    public long count(Outcome outcome) {
        return cases.stream().filter(c -> c.outcome() == outcome).count();
    }

    /** Whether there were cases and none failed. */
    public boolean isOk() {
        return !cases.isEmpty() && count(Outcome.FAILED) == 0;
    }

    /** A line for each fixture, one for each case that did not pass, and the sum. */
    public String text() {
        StringBuilder text = new StringBuilder();
        byFixture()
                .forEach((fixture, all) -> {
                    text.append("%-24s %s%n".formatted(fixture, counts(all)));
                    for (Case each : all) {
                        if (each.outcome() != Outcome.PASSED) {
                            text.append("  ")
                                    .append(each.outcome() == Outcome.FAILED ? "FAIL " : "skip ")
                                    .append(each.name())
                                    .append(each.words().isEmpty() ? "" : ": " + each.words())
                                    .append(System.lineSeparator());
                        }
                    }
                });
        text.append("%-24s %s%n".formatted("linux-source " + version, counts(cases)));
        return text.toString();
    }

    /** The whole as JSON. */
    public String json() {
        StringBuilder json = new StringBuilder();
        json.append("{\n  \"report\": \"ioasis selftests\",\n  \"version\": ")
                .append(quoted(version));
        for (Outcome outcome : Outcome.values()) {
            json.append(",\n  \"")
                    .append(outcome.name().toLowerCase(java.util.Locale.ROOT))
                    .append("\": ")
                    .append(count(outcome));
        }
        json.append(",\n  \"cases\": [");
        String gap = "\n";
        for (Case each : cases) {
            json.append(gap)
                    .append("    {\"name\": ")
                    .append(quoted(each.name()))
                    .append(", \"outcome\": ")
                    .append(quoted(each.outcome().name().toLowerCase(java.util.Locale.ROOT)))
                    .append(", \"words\": ")
                    .append(quoted(each.words()))
                    .append('}');
            gap = ",\n";
        }
        return json.append("\n  ]\n}\n").toString();
    }

    /** The whole as a document: docs/selftests.md is one. */
    public String document() {
        StringBuilder text = new StringBuilder();
        text.append(
                """
                # The kernel's selftests of iommufd, unmodified

                Written by `./ioasis selftests --document FILE`: the test programs `iommufd` and `iommufd_fail_nth` from
                Debian's source package of Linux (linux-source %s), built as they are and run under `ioasis host --mock`.

                %s.

                A case that is skipped skips itself (the variant has no vIOMMU), or asks the kernel for huge pages, which a
                machine has to set aside (`vm.nr_hugepages`, 256 of 2 MiB are enough); it never comes to us then.
                """
                        .formatted(version, counts(cases).strip()));
        byFixture()
                .forEach((fixture, all) -> {
                    text.append("\n## %s\n\n%s.\n\n".formatted(fixture, counts(all).strip()));
                    text.append("| case | result | why not |\n|---|---|---|\n");
                    for (Case each : all) {
                        text.append(
                                "| %s | %s | %s |\n"
                                        .formatted(
                                                each.name(),
                                                each.outcome()
                                                        .name()
                                                        .toLowerCase(java.util.Locale.ROOT),
                                                each.words().replace("|", "\\|")));
                    }
                });
        return text.toString();
    }

    private Map<String, List<Case>> byFixture() {
        Map<String, List<Case>> fixtures = new LinkedHashMap<>();
        for (Case each : cases) {
            fixtures.computeIfAbsent(each.fixture(), _ -> new java.util.ArrayList<>()).add(each);
        }
        return fixtures;
    }

    private static String counts(List<Case> cases) {
        SelftestReport part = new SelftestReport("", cases);
        return "%3d cases: %3d passed, %d failed, %d skipped"
                .formatted(
                        cases.size(),
                        part.count(Outcome.PASSED),
                        part.count(Outcome.FAILED),
                        part.count(Outcome.SKIPPED));
    }

    private static String quoted(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '"' || c == '\\') {
                quoted.append('\\').append(c);
            } else if (c < ' ' || c > '~') {
                quoted.append("\\u%04x".formatted((int) c));
            } else {
                quoted.append(c);
            }
        }
        return quoted.append('"').toString();
    }
}
