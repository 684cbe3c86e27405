// SPDX-License-Identifier: Apache-2.0
package org.ioasis.selftests;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.guestkit.KernelTests.Suite;
import org.ioasis.selftests.TestLines.Case;
import org.ioasis.selftests.TestLines.Outcome;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is read from the output of a test program, and the report that is made of it. */
class TestLinesTest {
    private static final String OUTPUT =
            """
            TAP version 13
            1..4
            # Starting 4 tests from 2 test cases.
            #  RUN           area.one.adds ...
            #            OK  area.one.adds
            ok 1 area.one.adds
            #  RUN           area.one.moves ...
            # test.c:12:moves:Expected 0 (0) == r (22)
            # moves: Test terminated by assertion
            #          FAIL  area.one.moves
            not ok 2 area.one.moves
            #  RUN           area.two.grows ...
            #      SKIP      no huge pages
            ok 3 area.two.grows # SKIP no huge pages
            #  RUN           simple ...
            #            OK  simple
            ok 4 simple
            # PASSED: 3 / 4 tests passed.
            # Totals: pass:2 fail:1 xfail:0 xpass:0 skip:1 error:0
            """;

    private static final List<Case> CASES =
            List.of(
                    new Case("area.one.adds", Outcome.PASSED, ""),
                    new Case(
                            "area.one.moves",
                            Outcome.FAILED,
                            "test.c:12:moves:Expected 0 (0) == r (22); moves: Test terminated by assertion"),
                    new Case("area.two.grows", Outcome.SKIPPED, "no huge pages"),
                    new Case("simple", Outcome.PASSED, ""));

    @TempDir Path folder;

    @Test
    void everyCaseHasItsOutcomeAndWhatItSaid() {
        List<Case> told = new ArrayList<>();
        TestLines lines = new TestLines(told::add);
        OUTPUT.lines().forEach(lines::accept);

        assertThat(lines.cases()).isEqualTo(CASES);
        assertThat(told).isEqualTo(CASES);
    }

    @Test
    void caseThatGotNoHugePagesFromTheKernelIsSkippedByThatName() {
        TestLines lines = new TestLines(_ -> {});
        """
        #  RUN           ioas.access ...
        # iommufd.c:1166:access:Expected MAP_FAILED (18446744073709551615) != buf (18446744073709551615)
        # access: Test terminated by assertion
        #          FAIL  ioas.access
        not ok 1 ioas.access
        #  RUN           dirty.huge.set ...
        iommufd: iommufd.c:2163: dirty_setup: Assertion `vrc == self->buffer' failed.
        # set: Test terminated by assertion
        #          FAIL  dirty.huge.set
        not ok 2 dirty.huge.set
        ok 3 map.hugetlb_2mb.unmap # SKIP mmap() failed: Cannot allocate memory (12)
        """
                .lines()
                .forEach(lines::accept);

        assertThat(lines.cases())
                .containsExactly(
                        new Case("ioas.access", Outcome.SKIPPED, TestLines.NEEDS_HUGE_PAGES),
                        new Case("dirty.huge.set", Outcome.SKIPPED, TestLines.NEEDS_HUGE_PAGES),
                        new Case(
                                "map.hugetlb_2mb.unmap",
                                Outcome.SKIPPED,
                                TestLines.NEEDS_HUGE_PAGES));
    }

    @Test
    void lineThatIsNotWrittenToItsEndWaits() throws Exception {
        Path file = Files.createFile(folder.resolve("output"));
        TestLines lines = new TestLines(_ -> {});
        byte[] all = OUTPUT.getBytes(US_ASCII);

        try (RandomAccessFile in = new RandomAccessFile(file.toFile(), "r")) {
            for (byte each : all) {
                Files.write(file, new byte[] {each}, StandardOpenOption.APPEND);
                lines.read(in);
            }
        }

        assertThat(lines.cases()).isEqualTo(CASES);
    }

    @Test
    void eachVariantHasEachTestOfItsFixture() {
        String table =
                """
                Testing parallel initialization of 1 devices:
                    10a5:00:00.0
                # FIXTURE            VARIANT                   TEST
                global                                         \s
                --------------------------------------------------------------------------------
                iommufd                                        simple_close
                                                               cmd_fail
                --------------------------------------------------------------------------------
                a_fixture_with_a_long_name small               enforce
                                     large                     read
                                     huge                      \s
                --------------------------------------------------------------------------------
                dma                  type1_iommu_anonymous_hugetlb_2mb map
                                     iommufd_compat_type1_anonymous_hugetlb_2mb unmap
                                     iommufd_compat_type1v2_anonymous_1 \s
                """;

        assertThat(CaseTable.names(table))
                .containsExactly(
                        "iommufd.simple_close",
                        "iommufd.cmd_fail",
                        "a_fixture_with_a_long_name.small.enforce",
                        "a_fixture_with_a_long_name.small.read",
                        "a_fixture_with_a_long_name.large.enforce",
                        "a_fixture_with_a_long_name.large.read",
                        "a_fixture_with_a_long_name.huge.enforce",
                        "a_fixture_with_a_long_name.huge.read",
                        "dma.type1_iommu_anonymous_hugetlb_2mb.map",
                        "dma.type1_iommu_anonymous_hugetlb_2mb.unmap",
                        "dma.iommufd_compat_type1_anonymous_hugetlb_2mb.map",
                        "dma.iommufd_compat_type1_anonymous_hugetlb_2mb.unmap",
                        "dma.iommufd_compat_type1v2_anonymous_1.map",
                        "dma.iommufd_compat_type1v2_anonymous_1.unmap");
    }

    @Test
    void reportSumsUpAndNamesWhatDidNotPass() {
        SelftestReport report = new SelftestReport(Suite.VFIO, "7.3.4", CASES);

        assertThat(report.isOk()).isFalse();
        assertThat(report.text())
                .contains(
                        "area                               3 cases:   1 passed, 1 failed, 1 skipped")
                .contains("  FAIL area.one.moves: test.c:12:moves:Expected 0 (0) == r (22)")
                .contains("  skip area.two.grows: no huge pages")
                .contains(
                        "linux-source 7.3.4                 4 cases:   2 passed, 1 failed, 1 skipped");
        assertThat(report.json())
                .startsWith(
                        "{\n  \"report\": \"ioasis selftests\",\n  \"suite\": \"vfio\",\n  \"version\": \"7.3.4\"")
                .contains("{\"name\": \"area.two.grows\", \"outcome\": \"skipped\"");
    }

    @Test
    void runWithoutACaseIsNoSuccess() {
        assertThat(new SelftestReport(Suite.VFIO, "7.3.4", List.of()).isOk()).isFalse();
    }
}
