// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Map;
import org.ioasis.guestkit.KernelChoice;
import org.ioasis.iommu.Status;
import org.ioasis.run.RunReport;
import org.ioasis.virtio.iommu.RequestType;
import org.ioasis.vm.GuestTask;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Devices that come and go while the guest runs. Unplugging is not among it: {@code device_del} of
 * a vfio-user-pci with MSI-X aborts QEMU 11.1.3 (memory_region_del_subregion: Assertion
 * subregion->container == mr), after the guest has detached it properly.
 */
class LifeCycleTest {
    private static final int DISKS = 3;

    @Test
    void guestThatRebootsFindsItsDataAndIsTranslatedAgain() throws Exception {
        RunReport report = Cells.run(Cells.options(20).build(), GuestTask.Scenario.REBOOT);

        assertThat(count(report, RequestType.ATTACH)).isEqualTo(2 * DISKS);
        // The firmware read the disks twice: the machine's reset put the boot bypass back.
        assertThat(report.accesses().bypassed()).isPositive();
    }

    @ParameterizedTest
    @EnumSource(
            value = KernelChoice.Debian.class,
            names = {"STABLE", "BACKPORTS"})
    void driversThatUnbindAndBindAgainAreTranslatedAgain(KernelChoice.Debian kernel)
            throws Exception {
        RunReport report =
                Cells.run(Cells.options(21).kernel(kernel).build(), GuestTask.Scenario.REBIND);

        assertThat(count(report, RequestType.ATTACH)).isGreaterThanOrEqualTo(2 * DISKS);
    }

    @Test
    void removedFunctionsThatAreFoundByARescanAreTranslatedAgain() throws Exception {
        RunReport report = Cells.run(Cells.options(22).build(), GuestTask.Scenario.RESCAN);

        assertThat(count(report, RequestType.ATTACH)).isEqualTo(2 * DISKS);
        assertThat(count(report, RequestType.DETACH)).isEqualTo(DISKS);
    }

    @Test
    void diskThatIsPluggedInBehindARootPortIsTranslated() throws Exception {
        RunReport report = Cells.run(Cells.options(23).build(), GuestTask.Scenario.HOTPLUG);

        RunReport.DeviceReport result = report.devices().getLast();
        assertThat(result.name()).isEqualTo("result");
        assertThat(result.pci()).isEqualTo("0000:01:00.0");
        assertThat(result.accesses().translatedBytes()).isGreaterThanOrEqualTo(Cells.BYTES);
        assertThat(result.accesses().bypassed()).isZero();
    }

    private static long count(RunReport report, RequestType type) {
        return report.requests().getOrDefault(type, Map.of()).getOrDefault(Status.OK, 0L);
    }
}
