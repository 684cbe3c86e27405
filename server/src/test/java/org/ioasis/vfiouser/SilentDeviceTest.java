// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.assertj.core.api.Assertions.assertThat;

import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.spec.Pci;
import org.ioasis.spec.VfioUser;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * Device servers that take a region without a descriptor and then ask for nothing there, because
 * they must map memory: SPDK's nvmf target is one. Nothing of the protocol tells of it.
 */
@Timeout(60)
class SilentDeviceTest {
    private static final long IOVA = 0x10_0000;

    private static boolean isSilent(ProxyFixture fixture) {
        boolean[] silent = new boolean[1];
        fixture.onLoop(() -> silent[0] = fixture.function.isSilent());
        return silent[0];
    }

    @Test
    void isKnownFromItsDriversLeaveOnAlsoWhenThatIsTakenBack() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture();
                MockVfioUserClient client = MockVfioUserClient.ready(fixture.server.path())) {
            client.write(VfioUser.VFIO_PCI_CONFIG_REGION_INDEX, Pci.COMMAND, 2, Pci.COMMAND_MEMORY);
            assertThat(isSilent(fixture)).as("without leave").isFalse();

            client.write(
                    VfioUser.VFIO_PCI_CONFIG_REGION_INDEX, Pci.COMMAND, 2, ProxyFixture.COMMAND_ON);
            assertThat(isSilent(fixture)).as("with leave").isTrue();

            // The driver gives up.
            client.write(VfioUser.VFIO_PCI_CONFIG_REGION_INDEX, Pci.COMMAND, 2, Pci.COMMAND_MEMORY);
            assertThat(isSilent(fixture)).as("without leave again").isTrue();
        }
    }

    @Test
    void isNoneThatHasAskedOnceWhateverCameOfIt() throws Exception {
        for (String wanted : new String[] {"theirs", "EFAULT"}) {
            try (ProxyFixture fixture = new ProxyFixture();
                    MockVfioUserClient client = fixture.ready()) {
                client.read(0, 0, 4);
                assertThat(isSilent(fixture)).isTrue();
                if (!wanted.equals("EFAULT")) {
                    fixture.put(0, wanted);
                    fixture.map(IOVA, IOVA + 0xfff, 0, MapFlags.READ);
                }

                assertThat(fixture.device.read(IOVA, wanted.length())).isEqualTo(wanted);

                assertThat(isSilent(fixture)).as(wanted).isFalse();
            }
        }
    }
}
