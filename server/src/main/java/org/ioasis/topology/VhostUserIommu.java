// SPDX-License-Identifier: Apache-2.0
package org.ioasis.topology;

import java.nio.file.Path;
import java.util.List;
import org.ioasis.spec.VirtioIommu;

/**
 * A virtio-iommu that QEMU attaches over vhost-user, as its generic device of that protocol. Any
 * thread.
 *
 * @param name of the IOMMU, for the name of the connection
 * @param socket where its server listens
 * @param bdf its function
 */
public record VhostUserIommu(String name, Path socket, int bdf) implements QemuArguments.Attached {
    /** What a driver finds, which that device does not ask its back end for. */
    private static final String KIND =
            "virtio-id=%d,num_vqs=%d,vq_size=256,config_size=%d"
                    .formatted(
                            VirtioIommu.DEVICE_ID_IOMMU,
                            VirtioIommu.EVENTQ + 1,
                            VirtioIommu.CONFIG_SIZE);

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
