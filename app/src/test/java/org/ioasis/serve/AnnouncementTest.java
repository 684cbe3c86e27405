// SPDX-License-Identifier: Apache-2.0
package org.ioasis.serve;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import org.ioasis.config.FlagConfig;
import org.ioasis.machine.IommuTransport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a server says of the QEMU that it needs. */
class AnnouncementTest {
    @TempDir private Path folder;

    private List<String> announced(IommuTransport transport) throws Exception {
        return Announcement.of(
                FlagConfig.iommu(folder.resolve("iommu.sock")).transport(transport).resolve());
    }

    @Test
    void qemuIsOneThatHasTheDevicesOfItsArguments() throws Exception {
        assertThat(announced(IommuTransport.VFIO_USER))
                .filteredOn(line -> line.startsWith("# QEMU "))
                .singleElement()
                .asString()
                .startsWith("# QEMU 10.1 or newer for machine,");
        List<String> lines = announced(IommuTransport.VHOST_USER);
        assertThat(lines).anyMatch(line -> line.contains("vhost-user-test-device-pci"));
        assertThat(lines)
                .filteredOn(line -> line.startsWith("# QEMU "))
                .singleElement()
                .asString()
                .startsWith("# QEMU 11 or newer for machine,");
    }
}
