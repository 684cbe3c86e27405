// SPDX-License-Identifier: Apache-2.0
package org.ioasis.selftests;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.ioasis.guestkit.KernelTests.Suite;
import org.ioasis.selftests.TestLines.Case;
import org.ioasis.selftests.TestLines.Outcome;

/**
 * What a run of the kernel's tests has shown. Any thread.
 *
 * @param version of the kernel's source package
 */
public record SelftestReport(Suite suite, String version, List<Case> cases) {
    private static final String IOMMUFD_HEAD =
            """
            # The kernel's selftests of iommufd, unmodified

            Written by `./ioasis selftests --document FILE`: the test programs `iommufd` and `iommufd_fail_nth` from
            Debian's source package of Linux (linux-source %s), built as they are and run under `ioasis host --mock`.
            The tests of VFIO have [a document of their own](selftests-vfio.md).

            %s.

            A case that is skipped skips itself (the variant has no vIOMMU), or asks the kernel for huge pages, which a
            machine has to set aside (`vm.nr_hugepages`, 256 of 2 MiB are enough); it never comes to us then.
            """;

    private static final String VFIO_HEAD =
            """
            # The kernel's selftests of VFIO, unmodified

            Written by `./ioasis selftests vfio --document FILE`: five test programs from Debian's source package of Linux
            (linux-source %s), built as they are and run as `ioasis host --device` runs a program. The devices
            that they find are memory with a doorbell (ivshmem): a BAR that can be mapped, and MSI-X.

            %s.

            A case that is skipped skips itself: the device has no MSI beside its MSI-X, or the machine has not set aside
            the huge pages that the case asks the kernel for (`vm.nr_hugepages`; 1 GiB ones too).

            Two of the kernel's seven programs are not run: `vfio_pci_driver_test` brings drivers of its own for devices of
            Intel and NVIDIA (ioat, dsa, igb, falcon), and `vfio_pci_sriov_uapi_test` makes virtual functions of one that
            has SR-IOV.
            """;

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
                    text.append("%-32s %s%n".formatted(fixture, counts(all)));
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
        text.append("%-32s %s%n".formatted("linux-source " + version, counts(cases)));
        return text.toString();
    }

    /** The whole as JSON. */
    public String json() {
        StringBuilder json = new StringBuilder();
        json.append("{\n  \"report\": \"ioasis selftests\",\n  \"suite\": ")
                .append(quoted(suite.name().toLowerCase(java.util.Locale.ROOT)))
                .append(",\n  \"version\": ")
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

    /** The whole as a document: docs/selftests.md and docs/selftests-vfio.md are such. */
    public String document() {
        StringBuilder text = new StringBuilder();
        text.append(
                (suite == Suite.VFIO ? VFIO_HEAD : IOMMUFD_HEAD)
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
        SelftestReport part = new SelftestReport(Suite.IOMMUFD, "", cases);
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
