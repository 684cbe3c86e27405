// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import org.ioasis.guestkit.KernelChoice;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.run.RunOptions.Translation;
import org.ioasis.run.RunReport;
import org.ioasis.virtio.iommu.RequestType;
import org.ioasis.virtqueue.RingFormat;
import org.ioasis.vm.GuestTask;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Two kernels, what each can be told to do with the IOMMU, and both formats of rings; one of the
 * cells is {@link QuickCellTest}.
 */
class KernelMatrixTest {
    @ParameterizedTest
    @CsvSource({
        "STABLE, STRICT, PACKED, 6012, DMA",
        "BACKPORTS, LAZY, SPLIT, 7002, DMA-FQ",
        "BACKPORTS, STRICT, PACKED, 7002, DMA"
    })
    void diskIoIsTranslated(
            KernelChoice.Debian kernel,
            Translation translation,
            RingFormat ring,
            int leastSeries,
            String type)
            throws Exception {
        QuickCellTest.assertTranslates(
                Cells.options(1).kernel(kernel).translation(translation).ring(ring).build(),
                leastSeries,
                type);
    }

    @ParameterizedTest
    @CsvSource({"STABLE, 6012", "BACKPORTS, 7002"})
    void passthroughAttachesBypassDomainsAndMapsNothing(KernelChoice.Debian kernel, int leastSeries)
            throws Exception {
        RunReport report =
                Cells.run(
                        Cells.options(2)
                                .kernel(kernel)
                                .translation(Translation.PASSTHROUGH)
                                .build(),
                        GuestTask.Scenario.PLAIN);

        assertThat(Cells.series(report)).isGreaterThanOrEqualTo(leastSeries);
        assertThat(report.devices())
                .allSatisfy(disk -> {
                    assertThat(disk.domainType()).isEqualTo("identity");
                    EndpointCounts accesses = disk.accesses();
                    assertThat(accesses.translations()).isZero();
                    assertThat(accesses.identityBytes()).isGreaterThanOrEqualTo(Cells.BYTES);
                });
        assertThat(report.requests().keySet())
                .contains(RequestType.ATTACH)
                .doesNotContain(RequestType.MAP, RequestType.UNMAP);
    }
}
