// SPDX-License-Identifier: Apache-2.0
package org.ioasis.topology;

import java.nio.file.Path;
import java.util.List;

/**
 * A virtio-iommu that QEMU attaches over vhost-user, as its generic device of that protocol. Any
 * thread.
 *
 * @param name of the IOMMU, for the name of the connection
 * @param socket where its server listens
 * @param bdf its function
 */
public record VhostUserIommu(String name, Path socket, int bdf) implements QemuArguments.Attached {
    /** Virtio 1.4, 5.13: its device id, its queues, their largest size and its configuration. */
    private static final String KIND = "virtio-id=23,num_vqs=2,vq_size=256,config_size=40";

    @Override
    public List<String> words() {
        String id = "ioasis-" + name;
        return List.of(
                "-chardev",
                "socket,id=%s,path=%s".formatted(id, QemuArguments.option(socket)),
                "-device",
                "vhost-user-test-device-pci,%s,chardev=%s,addr=%x.%x"
                        .formatted(KIND, id, bdf >>> 3 & 0x1f, bdf & 7));
    }
}
