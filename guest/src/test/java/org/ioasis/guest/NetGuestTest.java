// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.KernelChoice;
import org.ioasis.iommu.Status;
import org.ioasis.run.NetRun;
import org.ioasis.run.RunOptions;
import org.ioasis.run.RunOptions.Translation;
import org.ioasis.run.RunReport;
import org.ioasis.run.RunReportText;
import org.ioasis.virtio.iommu.RequestType;
import org.junit.jupiter.api.Test;

/** {@code ioasis vm --net} with fewer bytes: a stock guest and its host exchange hashed data. */
class NetGuestTest {
    private static RunReport run(RunOptions options) throws Exception {
        RunReport report = new NetRun(options, Host.current(), Cells.progress()).run();

        assertThat(report.problems()).as(RunReportText.of(report)).isEmpty();
        assertThat(report.driver().values()).containsOnly("virtio_iommu");
        assertThat(report.bytesVerified()).isEqualTo(2 * Cells.BYTES);
        assertThat(report.network())
                .hasValueSatisfying(network -> {
                    assertThat(network.downBytes()).isEqualTo(Cells.BYTES);
                    assertThat(network.upBytes()).isEqualTo(Cells.BYTES);
                    assertThat(network.frames().receivedBytes()).isGreaterThan(Cells.BYTES);
                    assertThat(network.frames().sentBytes()).isGreaterThan(Cells.BYTES);
                    assertThat(network.frames().overrun() + network.frames().lost()).isZero();
                });
        assertThat(report.devices()).extracting(RunReport.DeviceReport::name).contains("net");
        assertThat(report.faults()).isZero();
        assertThat(report.accesses().bypassedAfterAttach()).isZero();
        assertThat(report.requests()).containsKey(RequestType.ATTACH);
        report.requests()
                .forEach((type, answers) ->
                        assertThat(answers.keySet()).as(type.name()).containsExactly(Status.OK));
        return report;
    }

    @Test
    void guestAndHostExchangeDataThatIsWholeBothWaysAndTranslated() throws Exception {
        RunReport report =
                run(Cells.options(50).memoryMiB(512).translation(Translation.LAZY).build());

        RunReport.DeviceReport net = report.devices().getLast();
        assertThat(net.pci()).isEqualTo("0000:00:03.0");
        assertThat(net.domainType()).isEqualTo("DMA-FQ");
        assertThat(net.accesses().translatedBytes()).isGreaterThanOrEqualTo(2 * Cells.BYTES);
    }

    @Test
    void newerKernelDoesSoStrictlyBehindAnIommuOfItsOwnWithoutBootBypass() throws Exception {
        RunReport report =
                run(
                        Cells.options(51)
                                .memoryMiB(512)
                                .kernel(KernelChoice.Debian.BACKPORTS)
                                .translation(Translation.STRICT)
                                .iommus(2)
                                .bypassing(false)
                                .build());

        assertThat(report.driver()).hasSize(2);
        assertThat(report.accesses().bypassed()).isZero();
        assertThat(report.devices().getLast().domainType()).isEqualTo("DMA");
    }
}
