// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import org.ioasis.guestkit.Host;
import org.ioasis.run.AssignedRun;
import org.ioasis.run.RunOptions;
import org.ioasis.run.RunOptions.Translation;
import org.ioasis.run.RunReport;
import org.ioasis.run.RunReportText;
import org.junit.jupiter.api.Test;

/**
 * {@code ioasis vm --assigned} with fewer bytes: a stock QEMU finds its disks under {@code
 * /dev/vfio} of a machine whose kernel has no VFIO, and a stock guest does verified I/O on them.
 */
class AssignedTest {
    private static RunReport run(
            RunOptions options, AssignedRun.Interface assignment, boolean hasViommu)
            throws Exception {
        RunReport report =
                new AssignedRun(options, assignment, hasViommu, Host.current(), Cells.progress())
                        .run();

        assertThat(report.problems()).as(RunReportText.of(report)).isEmpty();
        assertThat(report.bytesVerified()).isEqualTo(Cells.BYTES);
        assertThat(report.faults()).isZero();
        assertThat(report.accesses().bypassed()).isZero();
        assertThat(report.devices())
                .hasSize(3)
                .allSatisfy(disk ->
                        assertThat(disk.accesses().translatedBytes())
                                .isGreaterThanOrEqualTo(Cells.BYTES));
        return report;
    }

    @Test
    void disksThatAreBoundToIommufdDoVerifiedIo() throws Exception {
        RunReport report = run(Cells.options(60).build(), AssignedRun.Interface.IOMMUFD, false);

        assertThat(report.driver()).isEmpty();
    }

    @Test
    void disksOfGroupsInAContainerOfTypeOneDoVerifiedIo() throws Exception {
        RunReport report = run(Cells.options(61).build(), AssignedRun.Interface.TYPE1, false);

        assertThat(report.driver()).isEmpty();
    }

    @Test
    void whatTheGuestMapsInQemusVirtioIommuIsMappedForTheDisksByIommufd() throws Exception {
        RunReport report =
                run(
                        Cells.options(62).translation(Translation.STRICT).build(),
                        AssignedRun.Interface.IOMMUFD,
                        true);

        assertThat(report.driver()).containsEntry("0000:00:01.0", "virtio_iommu");
        assertThat(report.devices()).allSatisfy(d -> assertThat(d.domainType()).isEqualTo("DMA"));
    }

    @Test
    void whatTheGuestMapsInQemusVirtioIommuIsMappedForTheDisksInAContainer() throws Exception {
        RunReport report =
                run(
                        Cells.options(63).translation(Translation.LAZY).build(),
                        AssignedRun.Interface.TYPE1,
                        true);

        assertThat(report.driver()).containsEntry("0000:00:01.0", "virtio_iommu");
        assertThat(report.devices())
                .allSatisfy(d -> assertThat(d.domainType()).isEqualTo("DMA-FQ"));
    }
}
