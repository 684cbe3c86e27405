// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/**
 * The IOMMU over vhost-user, as QEMU's generic device, and the disk behind it over vfio-user, with
 * a Linux guest that reads the disk.
 */
class VhostUserGuestTest extends ServedGuest {
    private static final String SERVE =
            "./ioasis serve --vhost-user --iommu iommu.sock --blk disk.sock,file=disk.img";

    @Test
    void diskIsTranslatedByAnIommuThatIsAVhostUserDeviceOnPciAlsoAfterAReboot() throws Exception {
        try (Command server = serve(SERVE)) {
            for (int boot = 0; boot < 2; boot++) {
                try (Command qemu = qemu(server, ALL, arguments -> arguments)) {
                    qemu.await("hash=" + sha256(content));
                    assertThat(run(0, "./ioasis check")).contains("ok machine/disk0: translated");
                    assertThat(run(0, "./ioasis dump"))
                            .contains("attached to domain", "requests: ATTACH/OK=");
                }
            }
            endBy("TERM", server);
        }
    }
}
