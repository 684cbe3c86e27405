// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Locale;
import org.ioasis.guestkit.KernelChoice;
import org.ioasis.run.RunOptions;
import org.ioasis.run.RunOptions.Translation;
import org.ioasis.run.RunReport;
import org.ioasis.vm.GuestTask;
import org.junit.jupiter.api.Test;

/** The one cell of the guest matrix that {@code ./ioasis test --quick} runs. */
class QuickCellTest {
    @Test
    void diskIoOfTheStableKernelIsTranslated() throws Exception {
        assertTranslates(
                Cells.options(1)
                        .kernel(KernelChoice.Debian.STABLE)
                        .translation(Translation.LAZY)
                        .build(),
                6012,
                "DMA-FQ");
    }

    /** Runs a guest whose disks are in domains of {@code type}. */
    static void assertTranslates(RunOptions options, int leastSeries, String type)
            throws Exception {
        RunReport report = Cells.run(options, GuestTask.Scenario.PLAIN);

        assertThat(Cells.series(report)).isGreaterThanOrEqualTo(leastSeries);
        assertThat(report.rings().keySet()).containsExactly("iommu0", "seed", "fs", "result");
        assertThat(report.rings().values())
                .containsOnly(options.ring().name().toLowerCase(Locale.ROOT));
        assertThat(report.devices())
                .isNotEmpty()
                .allSatisfy(disk -> {
                    assertThat(disk.domainType()).isEqualTo(type);
                    assertThat(disk.accesses().translatedBytes())
                            .isGreaterThanOrEqualTo(Cells.BYTES);
                    assertThat(disk.accesses().identity()).isZero();
                });
    }
}
