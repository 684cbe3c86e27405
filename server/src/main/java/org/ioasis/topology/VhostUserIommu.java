// SPDX-License-Identifier: Apache-2.0
package org.ioasis.topology;

import java.nio.file.Path;
import java.util.List;
import java.util.OptionalLong;

/**
 * A virtio-iommu that QEMU attaches over vhost-user, as its generic device of that protocol. Any
 * thread.
 *
 * @param name of the IOMMU, for the name of the connection
 * @param socket where its server listens
 * @param mmioBase address of its registers on virtio-mmio; empty: it is a PCI function
 * @param bdf which one
 */
public record VhostUserIommu(String name, Path socket, OptionalLong mmioBase, int bdf)
        implements QemuArguments.Attached {
    /** Virtio 1.4, 5.13: its device id, its queues, their largest size and its configuration. */
    private static final String KIND = "virtio-id=23,num_vqs=2,vq_size=256,config_size=40";

    /** Where QEMU's machines have their virtio-mmio transports, 512 bytes each, in a row. */
    private enum Transports {
        MICROVM(0xfeb0_0000L, 24),
        VIRT(0x0a00_0000L, 32);

        private static final int SIZE = 0x200;

        private final long first;
        private final int count;

        Transports(long first, int count) {
            this.first = first;
            this.count = count;
        }

        boolean has(long base) {
            return base >= first && base < first + (long) count * SIZE && base % SIZE == 0;
        }

        String bus(long base) {
            return "virtio-mmio-bus." + (base - first) / SIZE;
        }
    }

    @Override
    public List<String> words() {
        String id = "ioasis-" + name;
        String device =
                mmioBase.isPresent()
                        // Which transport it is, is left to QEMU unless the address says it.
                        ? "vhost-user-test-device,%s,chardev=%s%s"
                                .formatted(KIND, id, bus(mmioBase.getAsLong()))
                        : "vhost-user-test-device-pci,%s,chardev=%s,addr=%x.%x"
                                .formatted(KIND, id, bdf >>> 3 & 0x1f, bdf & 7);
        return List.of(
                "-chardev",
                "socket,id=%s,path=%s".formatted(id, QemuArguments.option(socket)),
                "-device",
                device);
    }

    private static String bus(long base) {
        for (Transports transports : Transports.values()) {
            if (transports.has(base)) {
                return ",bus=" + transports.bus(base);
            }
        }
        return "";
    }
}
