// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

import static org.ioasis.spec.VirtioPci.*;

import java.io.IOException;
import java.io.UncheckedIOException;
import org.ioasis.spec.Pci;
import org.ioasis.virtio.driver.Transport;

/**
 * A modern virtio-pci device (virtio 1.4, 4.1) as its driver sees it, over whatever reaches its
 * registers. One thread. Where the other end is gone, each call throws an {@link
 * UncheckedIOException}.
 */
public final class VirtioPciTransport implements Transport {
    /** What reaches a PCI function. */
    public interface Bus {
        /** Reads 1, 2 or 4 bytes of configuration space. */
        int config(int offset, int size) throws IOException;

        /** Reads 1, 2, 4 or 8 bytes of a BAR. */
        long read(int bar, long offset, int size) throws IOException;

        /** Writes 1, 2, 4 or 8 bytes of a BAR. */
        void write(int bar, long offset, int size, long value) throws IOException;
    }

    /** A list of capabilities that goes on longer than this is a ring. */
    private static final int CAPABILITIES_MAX = Pci.CONFIG_SPACE_SIZE / 4;

    /** Queues whose doorbells are known: those of the devices that there are drivers for. */
    private static final int QUEUES_MAX = 64;

    /** Where a structure lies. */
    private record Structure(int bar, long offset) {}

    private final Bus bus;
    private int deviceId;
    private Structure common = new Structure(0, 0);
    private Structure config = new Structure(0, 0);
    private Structure notify = new Structure(0, 0);
    private int multiplier;
    private final int[] doorbells = new int[QUEUES_MAX];

    /** {@link #locate} comes first. */
    public VirtioPciTransport(Bus bus) {
        this.bus = bus;
    }

    /**
     * Finds the structures, in a function that is enabled.
     *
     * @throws IOException it has not all of them
     */
    public void locate() throws IOException {
        deviceId = bus.config(Pci.DEVICE_ID, 2) - DEVICE_ID_BASE;
        int found = 0;
        int at = bus.config(Pci.CAPABILITY_LIST, 1) & ~3;
        for (int i = 0; at != 0 && i < CAPABILITIES_MAX; i++) {
            if (bus.config(at, 1) == Pci.CAP_ID_VNDR) {
                found |= structure(at);
            }
            at = bus.config(at + Pci.CAP_LIST_NEXT, 1) & ~3;
        }
        int needed =
                (1 << VIRTIO_PCI_CAP_COMMON_CFG)
                        | (1 << VIRTIO_PCI_CAP_DEVICE_CFG)
                        | (1 << VIRTIO_PCI_CAP_NOTIFY_CFG);
        if ((found & needed) != needed) {
            throw new IOException("no modern virtio device: structures 0x%x".formatted(found));
        }
        int queues = Math.min((int) common(COMMON_NUM_QUEUES, 2), QUEUES_MAX);
        for (int queue = 0; queue < queues; queue++) {
            select(queue);
            doorbells[queue] = (int) common(COMMON_QUEUE_NOTIFY_OFF, 2);
        }
    }

    /** The kind of structure that a capability tells of, as a bit; the first of a kind counts. */
    private int structure(int at) throws IOException {
        Structure structure =
                new Structure(
                        bus.config(at + CAP_BAR, 1) % Pci.BAR_COUNT,
                        Integer.toUnsignedLong(bus.config(at + CAP_OFFSET, 4)));
        int type = bus.config(at + CAP_CFG_TYPE, 1);
        switch (type) {
            case VIRTIO_PCI_CAP_COMMON_CFG -> common = structure;
            case VIRTIO_PCI_CAP_DEVICE_CFG -> config = structure;
            case VIRTIO_PCI_CAP_NOTIFY_CFG -> {
                notify = structure;
                multiplier = bus.config(at + NOTIFY_CAP_MULTIPLIER, 4);
            }
            default -> {
                return 0;
            }
        }
        return 1 << type;
    }

    private long read(Structure structure, long offset, int size) {
        try {
            return bus.read(structure.bar, structure.offset + offset, size);
        } catch (IOException gone) {
            throw new UncheckedIOException(gone);
        }
    }

    private void write(Structure structure, long offset, int size, long value) {
        try {
            bus.write(structure.bar, structure.offset + offset, size, value);
        } catch (IOException gone) {
            throw new UncheckedIOException(gone);
        }
    }

    private long common(int register, int size) {
        return read(common, register, size);
    }

    private void common(int register, int size, long value) {
        write(common, register, size, value);
    }

    private void select(int queue) {
        common(COMMON_QUEUE_SELECT, 2, queue);
    }

    /** In two halves: not every device takes eight bytes at once (4.1.3.1). */
    private void address(int register, long value) {
        common(register, 4, value & 0xffff_ffffL);
        common(register + 4, 4, value >>> 32);
    }

    @Override
    public int deviceId() {
        return deviceId;
    }

    @Override
    public int status() {
        return (int) common(COMMON_DEVICE_STATUS, 1);
    }

    @Override
    public void writeStatus(int value) {
        common(COMMON_DEVICE_STATUS, 1, value);
    }

    @Override
    public long deviceFeatures() {
        long features = 0;
        for (int half = 1; half >= 0; half--) {
            common(COMMON_DEVICE_FEATURE_SELECT, 4, half);
            features = (features << 32) | common(COMMON_DEVICE_FEATURE, 4);
        }
        return features;
    }

    @Override
    public void writeDriverFeatures(long features) {
        for (int half = 0; half < 2; half++) {
            common(COMMON_DRIVER_FEATURE_SELECT, 4, half);
            common(COMMON_DRIVER_FEATURE, 4, (features >>> (32 * half)) & 0xffff_ffffL);
        }
    }

    @Override
    public int queueSizeMax(int queue) {
        select(queue);
        return (int) common(COMMON_QUEUE_SIZE, 2);
    }

    @Override
    public void enableQueue(int queue, int size, long desc, long driver, long device) {
        select(queue);
        common(COMMON_QUEUE_SIZE, 2, size);
        // Who drives it looks at the rings.
        common(COMMON_QUEUE_MSIX_VECTOR, 2, VIRTIO_MSI_NO_VECTOR);
        address(COMMON_QUEUE_DESC, desc);
        address(COMMON_QUEUE_DRIVER, driver);
        address(COMMON_QUEUE_DEVICE, device);
        common(COMMON_QUEUE_ENABLE, 2, 1);
    }

    @Override
    public boolean isQueueEnabled(int queue) {
        select(queue);
        return common(COMMON_QUEUE_ENABLE, 2) == 1;
    }

    @Override
    public void kick(int queue) {
        write(notify, Integer.toUnsignedLong(multiplier) * doorbells[queue], 2, queue);
    }

    @Override
    public int configGeneration() {
        return (int) common(COMMON_CONFIG_GENERATION, 1);
    }

    @Override
    public long readConfig(int offset, int size) {
        if (size == Long.BYTES) {
            // No device need take eight bytes at once; the generation tells of a change between.
            return read(config, offset, 4) | (read(config, offset + 4L, 4) << 32);
        }
        return read(config, offset, size);
    }

    @Override
    public void writeConfig(int offset, int size, long value) {
        write(config, offset, size, value);
    }
}
