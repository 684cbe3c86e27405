// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.HashSet;
import java.util.Set;
import org.ioasis.guestkit.Host;
import org.ioasis.iommu.Status;
import org.ioasis.run.DiskRun;
import org.ioasis.run.Progress;
import org.ioasis.run.RunOptions;
import org.ioasis.run.RunReport;
import org.ioasis.run.RunReportText;
import org.ioasis.virtio.iommu.RequestType;
import org.ioasis.vm.GuestTask;
import org.ioasis.vm.SeededDisk;
import org.junit.jupiter.api.Test;

/**
 * The main job through the code of {@code ioasis vm}: a stock kernel, lazy flushing, one vCPU, 512
 * MiB.
 */
class DiskRunTest {
    @Test
    void linuxDoesVerifiedDiskIoThroughTheIommu() throws Exception {
        RunOptions options = RunOptions.builder(42).limit(Duration.ofMinutes(4)).build();
        DiskRun run =
                new DiskRun(
                        options,
                        GuestTask.Scenario.PLAIN,
                        Host.current(),
                        new Progress(System.out, false));

        RunReport report = run.run();

        assertThat(report.problems()).as(RunReportText.of(report)).isEmpty();
        assertThat(report.kernel()).hasValueSatisfying(k -> assertThat(k).startsWith("6.12."));
        assertThat(report.driver().values()).containsExactly("virtio_iommu");
        assertThat(report.bytesVerified()).isEqualTo(SeededDisk.DEFAULT_BYTES);
        assertThat(report.faults()).isZero();
        assertThat(report.unanswered()).isZero();
        Set<String> groups = new HashSet<>();
        for (RunReport.DeviceReport disk : report.devices()) {
            groups.add(disk.iommuGroup());
            assertThat(disk.domainType()).as(disk.name()).isEqualTo("DMA-FQ");
            assertThat(disk.accesses().translatedBytes())
                    .as(disk.name())
                    .isGreaterThanOrEqualTo(SeededDisk.DEFAULT_BYTES);
            // Firmware reads the disks before there is a driver of the IOMMU; nobody does after it.
            assertThat(disk.accesses().bypassedAfterAttach()).as(disk.name()).isZero();
        }
        assertThat(groups).as("each disk has an IOMMU group of its own").hasSize(3);
        assertThat(report.requests().keySet())
                .contains(
                        RequestType.PROBE, RequestType.ATTACH, RequestType.MAP, RequestType.UNMAP);
        report.requests()
                .forEach((type, answers) ->
                        assertThat(answers.keySet()).as(type.name()).containsExactly(Status.OK));
    }
}
