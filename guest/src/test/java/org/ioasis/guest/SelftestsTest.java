// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The kernel's own tests of iommufd, unmodified: some of both programs, and all of VFIO that need
 * no driver of their own. All of the former are {@code ./ioasis selftests}. Cases that ask for huge
 * pages skip themselves where the machine keeps none in reserve; which ones is known here, and no
 * others may. A first run downloads their sources.
 */
class SelftestsTest {
    private static final Pattern COUNTS =
            Pattern.compile(
                    "(?m)^(\\w+) +(\\d+) cases: +(\\d+) passed, (\\d+) failed, (\\d+) skipped$");
    private static final Pattern SKIP = Pattern.compile("(?m)^ +skip (.+)$");
    private static final String WITHOUT_HUGE_PAGES =
            "iommufd_ioas.mock_domain.access_domain_destory: the test needs huge pages, and this"
                    + " machine has too few (vm.nr_hugepages)";

    /** Our functions have MSI-X and no MSI. */
    private static final String WITHOUT_MSI =
            "vfio_pci_irq_test.msi.enable_trigger_disable: MSI: not supported";

    private static final Pattern HUGETLB =
            Pattern.compile(
                    "vfio_dma_mapping_test\\.\\w+_hugetlb_\\w+\\.dma_map_unmap: the test needs huge pages,"
                            + " and this machine has too few \\(vm\\.nr_hugepages\\)");

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

    @ParameterizedTest
    @ValueSource(strings = {"", "--list"})
    void aCaseThatIsNotThereIsNamedWithTheUsage(String list) throws Exception {
        List<String> words = new ArrayList<>(List.of("selftests", "--case", "iommufd_iosa."));
        if (!list.isEmpty()) {
            words.add(list);
        }
        try (Command selftests = new Command(Map.of(), words.toArray(String[]::new))) {
            assertThat(selftests.end()).as(selftests.output()).isEqualTo(2);

            assertThat(selftests.output())
                    .contains("Usage: ioasis selftests ")
                    .endsWith(
                            "no case of iommufd has \"iommufd_iosa.\" in its name;"
                                    + " --list alone prints all names")
                    .doesNotContain("0 cases");
        }
    }

    @Test
    void onlyThoseThatAreAskedForAreListed() throws Exception {
        String name = "iommufd_ioas.mock_domain.access_domain_destory";
        try (Command selftests = new Command(Map.of(), "selftests", "--list", "--case", name)) {
            assertThat(selftests.end()).as(selftests.output()).isZero();

            assertThat(selftests.output()).endsWith(name).doesNotContain("simple_close");
        }
    }

    @Test
    void casesOfVfioPassWithDevicesOfOurs() throws Exception {
        try (Command selftests = new Command(Map.of(), "selftests", "vfio")) {
            assertThat(selftests.end()).as(selftests.output()).isZero();

            Map<String, Integer> passed = new TreeMap<>();
            int skipped = 0;
            Matcher counts = COUNTS.matcher(selftests.output());
            while (counts.find()) {
                assertThat(counts.group(4)).as(counts.group()).isEqualTo("0");
                passed.put(counts.group(1), Integer.parseInt(counts.group(3)));
                skipped += Integer.parseInt(counts.group(5));
            }
            assertThat(passed.remove("vfio_dma_mapping_test"))
                    .as("five ways to map, and ten with huge pages")
                    .isBetween(5, 15);
            assertThat(passed)
                    .isEqualTo(
                            Map.of(
                                    "vfio_dma_map_limit_test", 15,
                                    "vfio_dma_mapping_mmio_test", 15,
                                    "vfio_cdev", 6,
                                    "vfio_pci_device_test", 3,
                                    "vfio_pci_irq_test", 1,
                                    "vfio_pci_device_init_perf_test", 5));
            assertThat(SKIP.matcher(selftests.output()).results().map(skip -> skip.group(1)))
                    .hasSize(skipped)
                    .allMatch(skip -> WITHOUT_MSI.equals(skip) || HUGETLB.matcher(skip).matches());
        }
    }
}
