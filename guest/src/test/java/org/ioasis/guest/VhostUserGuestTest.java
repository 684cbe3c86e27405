// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.ioasis.vm.Qmp;
import org.junit.jupiter.api.Test;

/**
 * The IOMMU over vhost-user, as QEMU's generic device, and the disk behind it over vfio-user, with
 * a Linux guest that reads the disk.
 */
class VhostUserGuestTest extends ServedGuest {
    private static final String SERVE =
            "./ioasis serve --vhost-user --iommu iommu.sock --blk disk.sock,file=disk.img";

    private static final Pattern ACCESSES =
            Pattern.compile("ok machine/disk0: translated: (\\d+) accesses");

    /** QEMU says the same when it pauses a guest and when the guest resets the IOMMU. */
    @Test
    void guestThatIsPausedGoesOnAndAMachineThatIsResetBootsAgain() throws Exception {
        String more = "-qmp unix:qmp.sock,server=on,wait=off -action reboot=reset";
        try (Command server = serve(SERVE)) {
            try (Command qemu = qemu(server, ALL, arguments -> append(arguments, more))) {
                qemu.await("hash=" + sha256(content));
                try (Qmp qmp = Qmp.connect(folder.resolve("qmp.sock"))) {
                    for (int i = 0; i < 10; i++) {
                        qmp.stop();
                        qmp.goOn();
                    }
                    long before = accesses();
                    int looks = 0;
                    while (accesses() == before) {
                        assertThat(looks++).as("the disk is read on").isLessThan(200);
                    }
                    qmp.reset();
                    qemu.await("hash=" + sha256(content));
                }
                assertThat(accesses()).isPositive();
                assertThat(run(0, "./ioasis dump"))
                        .contains("ATTACH/OK=2 ", "faults: 0, 0 dropped", "(0 after attach)");
            }
            endBy("TERM", server);
        }
    }

    private long accesses() throws Exception {
        Matcher found = ACCESSES.matcher(run(0, "./ioasis check"));
        assertThat(found.find()).isTrue();
        return Long.parseLong(found.group(1));
    }
}
