// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vm;

/**
 * QEMU's generic vhost-user device as a virtio-iommu: values of {@code -device}, for a {@code
 * -chardev} of the same id. Any thread.
 */
public final class VhostUserIommu {
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

    private VhostUserIommu() {}

    /** A PCI function. */
    public static String pci(String chardev, int bdf) {
        return "vhost-user-test-device-pci,%s,chardev=%s,addr=%x.%x"
                .formatted(KIND, chardev, bdf >>> 3 & 0x1f, bdf & 7);
    }

    /** On a virtio-mmio transport; on which one is left to QEMU unless the address is known. */
    public static String mmio(String chardev, long base) {
        String where = "";
        for (Transports transports : Transports.values()) {
            if (transports.has(base)) {
                where = ",bus=" + transports.bus(base);
            }
        }
        return "vhost-user-test-device,%s,chardev=%s%s".formatted(KIND, chardev, where);
    }
}
