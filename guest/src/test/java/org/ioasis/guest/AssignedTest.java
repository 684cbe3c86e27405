// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.KernelChoice;
import org.ioasis.iommufd.engine.GuestTableCounts;
import org.ioasis.run.AssignedRun;
import org.ioasis.run.AssignedRun.InFront;
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
            RunOptions options, AssignedRun.Interface assignment, InFront inFront)
            throws Exception {
        RunReport report =
                new AssignedRun(options, assignment, inFront, Host.current(), Cells.progress())
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
        RunReport report =
                run(Cells.options(60).build(), AssignedRun.Interface.IOMMUFD, InFront.NOTHING);

        assertThat(report.driver()).isEmpty();
    }

    @Test
    void disksOfGroupsInAContainerOfTypeOneDoVerifiedIo() throws Exception {
        RunReport report =
                run(Cells.options(61).build(), AssignedRun.Interface.TYPE1, InFront.NOTHING);

        assertThat(report.driver()).isEmpty();
    }

    @Test
    void whatTheGuestMapsInQemusVirtioIommuIsMappedForTheDisksByIommufd() throws Exception {
        RunReport report =
                run(
                        Cells.options(62).translation(Translation.STRICT).build(),
                        AssignedRun.Interface.IOMMUFD,
                        InFront.VIRTIO_IOMMU);

        assertThat(report.driver()).containsEntry("0000:00:01.0", "virtio_iommu");
        assertThat(report.devices()).allSatisfy(d -> assertThat(d.domainType()).isEqualTo("DMA"));
    }

    @Test
    void whatTheGuestMapsInQemusVirtioIommuIsMappedForTheDisksInAContainer() throws Exception {
        RunReport report =
                run(
                        Cells.options(63).translation(Translation.LAZY).build(),
                        AssignedRun.Interface.TYPE1,
                        InFront.VIRTIO_IOMMU);

        assertThat(report.driver()).containsEntry("0000:00:01.0", "virtio_iommu");
        assertThat(report.devices())
                .allSatisfy(d -> assertThat(d.domainType()).isEqualTo("DMA-FQ"));
    }

    /** Whatever the disks do goes through page tables that Linux has made, behind QEMU's memory. */
    private static void runNested(RunOptions.Builder options, int series, String type)
            throws Exception {
        RunReport report = run(options.build(), AssignedRun.Interface.IOMMUFD, InFront.VTD);

        assertThat(Cells.series(report)).isGreaterThanOrEqualTo(series);
        assertThat(report.devices())
                .allSatisfy(disk -> {
                    assertThat(disk.domainType()).isEqualTo(type);
                    assertThat(disk.accesses().walked())
                            .isGreaterThan(disk.accesses().translations() / 2);
                });
        GuestTableCounts tables = report.guestTables().orElseThrow();
        assertThat(tables.made()).isGreaterThanOrEqualTo(3);
        assertThat(tables.attachments()).isGreaterThanOrEqualTo(3);
        assertThat(tables.nativeEntries()).isPositive();
        assertThat(report.accesses().walked())
                .as("the IOTLB is used")
                .isGreaterThan(tables.walks());
    }

    @Test
    void tablesOfTheGuestsOwnAreWalkedAndEachInvalidationReachesUs() throws Exception {
        runNested(Cells.options(64).translation(Translation.STRICT), 6012, "DMA");
    }

    @Test
    void tablesOfALaterKernelsAreWalkedAndItsInvalidationsReachUsManyAtOnce() throws Exception {
        runNested(
                Cells.options(65)
                        .kernel(KernelChoice.Debian.BACKPORTS)
                        .translation(Translation.LAZY),
                7002,
                "DMA-FQ");
    }
}
