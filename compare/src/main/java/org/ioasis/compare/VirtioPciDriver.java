// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.ioasis.spec.VirtioPci.*;

import java.io.IOException;
import java.util.List;
import org.ioasis.spec.Pci;
import org.ioasis.spec.Virtio;
import org.ioasis.virtqueue.DriverQueue;

/**
 * The part of a driver that every modern virtio-pci device needs (virtio 1.4, 3.1.1 and 4.1), by
 * qtest. One thread.
 */
final class VirtioPciDriver {
    private static final int READY =
            Virtio.STATUS_ACKNOWLEDGE
                    | Virtio.STATUS_DRIVER
                    | Virtio.STATUS_FEATURES_OK
                    | Virtio.STATUS_DRIVER_OK;

    /** A device is reset when its status reads 0 (2.4.2), which takes no more than this. */
    private static final int RESET_READS = 1000;

    private final QtestClient qtest;
    private final PciDevice function;
    private long common;
    private long config;
    private final long[] doorbells = new long[2];

    VirtioPciDriver(QtestClient qtest, PciDevice function) {
        this.qtest = qtest;
        this.function = function;
    }

    /** Finds the structures in the enabled function. */
    void locate() throws IOException {
        long notify = 0;
        long multiplier = 0;
        for (int at : function.capabilities(Pci.CAP_ID_VNDR)) {
            long address =
                    function.bar((function.config(at + CAP_BAR) & 0xff) % Pci.BAR_COUNT)
                            + function.config(at + CAP_OFFSET);
            switch (function.config(at + CAP_CFG_TYPE) & 0xff) {
                case VIRTIO_PCI_CAP_COMMON_CFG -> common = address;
                case VIRTIO_PCI_CAP_DEVICE_CFG -> config = address;
                case VIRTIO_PCI_CAP_NOTIFY_CFG -> {
                    notify = address;
                    multiplier = function.config(at + NOTIFY_CAP_MULTIPLIER);
                }
                default -> {}
            }
        }
        for (int queue = 0; queue < doorbells.length; queue++) {
            qtest.write(common + COMMON_QUEUE_SELECT, 2, queue);
            doorbells[queue] =
                    notify + multiplier * qtest.read(common + COMMON_QUEUE_NOTIFY_OFF, 2);
        }
    }

    /** The features on offer. */
    long offered() throws IOException {
        long features = 0;
        for (int half = 1; half >= 0; half--) {
            qtest.write(common + COMMON_DEVICE_FEATURE_SELECT, 4, half);
            features = (features << 32) | qtest.read(common + COMMON_DEVICE_FEATURE, 4);
        }
        return features;
    }

    /**
     * Resets the device and brings it up.
     *
     * @param queues empty ones
     * @throws IOException it does not accept the features, or is not running then
     */
    void start(long features, List<DriverQueue> queues) throws IOException {
        reset();
        status(Virtio.STATUS_ACKNOWLEDGE);
        status(Virtio.STATUS_ACKNOWLEDGE | Virtio.STATUS_DRIVER);
        for (int half = 0; half < 2; half++) {
            qtest.write(common + COMMON_DRIVER_FEATURE_SELECT, 4, half);
            qtest.write(common + COMMON_DRIVER_FEATURE, 4, features >>> (32 * half));
        }
        status(READY & ~Virtio.STATUS_DRIVER_OK);
        for (int queue = 0; queue < queues.size(); queue++) {
            DriverQueue ring = queues.get(queue);
            qtest.write(common + COMMON_QUEUE_SELECT, 2, queue);
            qtest.write(common + COMMON_QUEUE_SIZE, 2, ring.size());
            address(COMMON_QUEUE_DESC, ring.descAddress());
            address(COMMON_QUEUE_DRIVER, ring.driverAddress());
            address(COMMON_QUEUE_DEVICE, ring.deviceAddress());
            qtest.write(common + COMMON_QUEUE_ENABLE, 2, 1);
        }
        status(READY);
        if (status() != READY) {
            throw new IOException(
                    "the device is not running with features 0x%x: status 0x%x"
                            .formatted(features, status()));
        }
    }

    private void address(int register, long value) throws IOException {
        qtest.write(common + register, 4, value);
        qtest.write(common + register + 4, 4, value >>> 32);
    }

    private void reset() throws IOException {
        status(0);
        for (int i = 0; status() != 0; i++) {
            if (i == RESET_READS) {
                throw new IOException("the device does not end its reset");
            }
        }
    }

    private void status(int value) throws IOException {
        qtest.write(common + COMMON_DEVICE_STATUS, 1, value);
    }

    private int status() throws IOException {
        return (int) qtest.read(common + COMMON_DEVICE_STATUS, 1);
    }

    /** The device can no longer be used, and says so. */
    boolean needsReset() throws IOException {
        return (status() & Virtio.STATUS_DEVICE_NEEDS_RESET) != 0;
    }

    void kick(int queue) throws IOException {
        qtest.write(doorbells[queue], 2, queue);
    }

    byte[] config(int size) throws IOException {
        byte[] bytes = new byte[size];
        for (int i = 0; i < size; i++) {
            bytes[i] = (byte) qtest.read(config + i, 1);
        }
        return bytes;
    }

    void writeConfig(int offset, int size, long value) throws IOException {
        qtest.write(config + offset, size, value);
    }
}
