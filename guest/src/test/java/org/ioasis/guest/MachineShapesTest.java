// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Map;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.iommu.Status;
import org.ioasis.run.RunOptions.Translation;
import org.ioasis.run.RunReport;
import org.ioasis.virtio.iommu.RequestType;
import org.ioasis.vm.GuestTask;
import org.junit.jupiter.api.Test;

/** Guests with more processors, more and less memory, more IOMMUs, and no boot bypass. */
class MachineShapesTest {
    /** A PC with this much memory has 2 GiB of it below 4 GiB and the rest above. */
    private static final int LARGE_MIB = 4608;

    /**
     * Linux takes memory from the top first. So that it comes to the lower part, all of the upper
     * one that is left in pieces of 2 MiB is given to a pool of huge pages that nobody uses.
     */
    private static final String POOL = "hugepages=1300";

    @Test
    void twoProcessorsShareTheIommu() throws Exception {
        Cells.run(
                Cells.options(10).processors(2).translation(Translation.STRICT).build(),
                GuestTask.Scenario.PLAIN);
    }

    @Test
    void memoryAbove4GiBIsReachedThroughTranslation() throws Exception {
        RunReport report =
                Cells.run(Cells.options(11).memoryMiB(LARGE_MIB).build(), GuestTask.Scenario.PLAIN);

        assertThat(report.accesses().translationsAbove4GiB()).isPositive();
    }

    @Test
    void memoryBelow4GiBOfALargeGuestIsReachedThroughTranslation() throws Exception {
        RunReport report =
                Cells.run(
                        Cells.options(15).memoryMiB(LARGE_MIB).append(List.of(POOL)).build(),
                        GuestTask.Scenario.PLAIN);

        EndpointCounts sum = report.accesses();
        assertThat(sum.translations() - sum.translationsAbove4GiB()).isPositive();
    }

    @Test
    void guestWith256MiBHasOneRegionAndAllTranslationsLeadThere() throws Exception {
        RunReport report =
                Cells.run(Cells.options(12).memoryMiB(256).build(), GuestTask.Scenario.PLAIN);

        assertThat(report.accesses().translations()).isPositive();
        assertThat(report.accesses().translationsAbove4GiB()).isZero();
    }

    @Test
    void withoutBootBypassNoAccessGoesPastTheIommuAtAll() throws Exception {
        RunReport report =
                Cells.run(Cells.options(13).bypassing(false).build(), GuestTask.Scenario.PLAIN);

        assertThat(report.accesses().bypassed()).isZero();
    }

    @Test
    void twoIommusEachTranslateTheirOwnDisks() throws Exception {
        RunReport report = Cells.run(Cells.options(14).iommus(2).build(), GuestTask.Scenario.PLAIN);

        assertThat(report.driver()).hasSize(2);
        // Of both IOMMUs together.
        assertThat(report.requests().getOrDefault(RequestType.ATTACH, Map.of()))
                .containsExactly(Map.entry(Status.OK, 3L));
        assertThat(report.devices())
                .allSatisfy(disk ->
                        assertThat(disk.accesses().translatedBytes())
                                .as(disk.name())
                                .isGreaterThanOrEqualTo(Cells.BYTES));
    }
}
