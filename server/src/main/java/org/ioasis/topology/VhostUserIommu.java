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
 * @param device QEMU's, on whatever it is attached to
 * @param place where it is there
 */
public record VhostUserIommu(String name, Path socket, String device, String place)
        implements QemuArguments.Attached {
    /** What a driver finds, which that device does not ask its back end for. */
    private static final String KIND =
            "virtio-id=%d,num_vqs=%d,vq_size=256,config_size=%d"
                    .formatted(
                            VirtioIommu.DEVICE_ID_IOMMU,
                            VirtioIommu.EVENTQ + 1,
                            VirtioIommu.CONFIG_SIZE);

    /**
     * As a PCI function.
     *
     * @param bdf which
     */
    public static VhostUserIommu onPci(String name, Path socket, int bdf) {
        String place = "addr=%x.%x".formatted(bdf >>> 3 & 0x1f, bdf & 7);
        return new VhostUserIommu(name, socket, "vhost-user-test-device-pci", place);
    }

    /**
     * On virtio-mmio, of a board that has that.
     *
     * @param slot which of those of the board
     */
    public static VhostUserIommu onMmio(String name, Path socket, int slot) {
        String place = "bus=virtio-mmio-bus.%d".formatted(slot);
        return new VhostUserIommu(name, socket, "vhost-user-test-device", place);
    }

    @Override
    public List<String> words() {
        String id = "ioasis-" + name;
        return List.of(
                "-chardev",
                "socket,id=%s,path=%s".formatted(id, QemuArguments.option(socket)),
                "-device",
                "%s,%s,chardev=%s,%s".formatted(device, KIND, id, place));
    }
}
