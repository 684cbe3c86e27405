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
        try (Command server = serve(SERVE)) {
            String more = "-qmp unix:qmp.sock,server=on,wait=off -action reboot=reset";
            try (Command qemu = qemu(server, ALL, arguments -> append(arguments, more));
                    Qmp qmp = qmp(qemu)) {
                for (int boot = 0; boot < 2; boot++) {
                    qemu.await("hash=" + sha256(content));
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
                }
                qemu.await("hash=" + sha256(content));
                String dump = run(0, "./ioasis dump");
                assertThat(dump).contains("requests: ATTACH/OK=").doesNotContain("refused access");
            }
            endBy("TERM", server);
        }
    }

    /** The socket is there when the guest says something. */
    private Qmp qmp(Command qemu) throws Exception {
        qemu.await("virtio_iommu virtio0: page mask");
        return Qmp.connect(folder.resolve("qmp.sock"));
    }

    private long accesses() throws Exception {
        Matcher found = ACCESSES.matcher(run(0, "./ioasis check"));
        assertThat(found.find()).isTrue();
        return Long.parseLong(found.group(1));
    }
}
