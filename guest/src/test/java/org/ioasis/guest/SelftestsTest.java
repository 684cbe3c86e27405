// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * The kernel's own tests of iommufd, unmodified: of both programs those cases that need no huge
 * pages and none of which skips itself. All of them are {@code ./ioasis selftests}. A first run
 * downloads their sources.
 */
class SelftestsTest {
    private static final Pattern COUNTS =
            Pattern.compile(
                    "(?m)^(\\w+) +(\\d+) cases: +(\\d+) passed, (\\d+) failed, (\\d+) skipped$");

    @ParameterizedTest
    @CsvSource({
        "iommufd., iommufd, 11",
        "iommufd_ioas.mock_domain., iommufd_ioas, 27",
        "basic_fail_nth, basic_fail_nth, 8"
    })
    void casesOfTheKernelPass(String cases, String fixture, int atLeast) throws Exception {
        try (Command selftests = new Command(Map.of(), "selftests", "--case", cases)) {
            assertThat(selftests.end()).as(selftests.output()).isZero();

            Matcher counts = COUNTS.matcher(selftests.output());
            assertThat(counts.find()).as(selftests.output()).isTrue();
            assertThat(counts.group(1)).isEqualTo(fixture);
            assertThat(Integer.parseInt(counts.group(2))).isGreaterThanOrEqualTo(atLeast);
            assertThat(counts.group(3)).as("passed").isEqualTo(counts.group(2));
            assertThat(counts.group(4)).as("failed").isEqualTo("0");
            assertThat(counts.group(5)).as("skipped").isEqualTo("0");
        }
    }
}
