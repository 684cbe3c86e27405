// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * The kernel's own tests of iommufd, unmodified: some of both programs. All of them are {@code
 * ./ioasis selftests}. One of these cases asks for huge pages and skips itself where the machine
 * keeps none in reserve; which one is known here, and no other may. A first run downloads their
 * sources.
 */
class SelftestsTest {
    private static final Pattern COUNTS =
            Pattern.compile(
                    "(?m)^(\\w+) +(\\d+) cases: +(\\d+) passed, (\\d+) failed, (\\d+) skipped$");
    private static final Pattern SKIP = Pattern.compile("(?m)^ +skip (.+)$");
    private static final String WITHOUT_HUGE_PAGES =
            "iommufd_ioas.mock_domain.access_domain_destory: the test needs huge pages, and this"
                    + " machine has too few (vm.nr_hugepages)";

    @ParameterizedTest
    @CsvSource({
        "iommufd., iommufd, 11",
        "iommufd_ioas.mock_domain., iommufd_ioas, 26",
        "basic_fail_nth, basic_fail_nth, 8"
    })
    void casesOfTheKernelPass(String cases, String fixture, int atLeast) throws Exception {
        try (Command selftests = new Command(Map.of(), "selftests", "--case", cases)) {
            assertThat(selftests.end()).as(selftests.output()).isZero();

            Matcher counts = COUNTS.matcher(selftests.output());
            assertThat(counts.find()).as(selftests.output()).isTrue();
            assertThat(counts.group(1)).isEqualTo(fixture);
            int passed = Integer.parseInt(counts.group(3));
            int skipped = Integer.parseInt(counts.group(5));
            assertThat(passed).as("passed").isGreaterThanOrEqualTo(atLeast);
            assertThat(counts.group(4)).as("failed").isEqualTo("0");
            assertThat(passed + skipped).isEqualTo(Integer.parseInt(counts.group(2)));
            assertThat(SKIP.matcher(selftests.output()).results().map(skip -> skip.group(1)))
                    .hasSize(skipped)
                    .isSubsetOf(WITHOUT_HUGE_PAGES);
        }
    }
}
