// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

import static org.ioasis.spec.Virtio.*;
import static org.ioasis.spec.VirtioPci.*;

import java.util.HashMap;
import java.util.Map;
import org.ioasis.spec.Pci;
import org.ioasis.virtqueue.DriverQueue;

/**
 * A modern virtio-pci driver as far as registers go: finds the structures by the capabilities and
 * brings the device up, over whatever reaches the registers.
 */
public final class RegisterDriver {
    /** Register access, 1 to 4 bytes. */
    public interface Bus {
        long configRead(int offset, int size);

        void configWrite(int offset, int size, long value);

        long read(int bar, long offset, int size);

        void write(int bar, long offset, int size, long value);
    }

    /** Where a structure lies. */
    public record Structure(int bar, long offset, long length, int capability) {}

    private final Bus bus;
    final Map<Integer, Structure> structures = new HashMap<>();
    int msix;

    public RegisterDriver(Bus bus) {
        this.bus = bus;
        int steps = 0;
        int at = (int) bus.configRead(Pci.CAPABILITY_LIST, 1);
        while (at != 0) {
            if (steps++ > 32) {
                throw new IllegalStateException("capability list does not end");
            }
            int id = (int) bus.configRead(at, 1);
            if (id == Pci.CAP_ID_MSIX) {
                msix = at;
            } else if (id == Pci.CAP_ID_VNDR) {
                structures.put(
                        (int) bus.configRead(at + CAP_CFG_TYPE, 1),
                        new Structure(
                                (int) bus.configRead(at + CAP_BAR, 1),
                                bus.configRead(at + CAP_OFFSET, 4),
                                bus.configRead(at + CAP_LENGTH, 4),
                                at));
            }
            at = (int) bus.configRead(at + 1, 1);
        }
    }

    Structure structure(int type) {
        Structure structure = structures.get(type);
        if (structure == null) {
            throw new IllegalStateException("no structure " + type);
        }
        return structure;
    }

    public long common(int field, int size) {
        Structure common = structure(VIRTIO_PCI_CAP_COMMON_CFG);
        return bus.read(common.bar(), common.offset() + field, size);
    }

    public void common(int field, int size, long value) {
        Structure common = structure(VIRTIO_PCI_CAP_COMMON_CFG);
        bus.write(common.bar(), common.offset() + field, size, value);
    }

    private void common64(int field, long value) {
        common(field, 4, value & 0xffff_ffffL);
        common(field + 4, 4, value >>> 32);
    }

    public long isr() {
        Structure isr = structure(VIRTIO_PCI_CAP_ISR_CFG);
        return bus.read(isr.bar(), isr.offset(), 1);
    }

    public long deviceConfig(int offset, int size) {
        Structure device = structure(VIRTIO_PCI_CAP_DEVICE_CFG);
        return bus.read(device.bar(), device.offset() + offset, size);
    }

    public void deviceConfig(int offset, int size, long value) {
        Structure device = structure(VIRTIO_PCI_CAP_DEVICE_CFG);
        bus.write(device.bar(), device.offset() + offset, size, value);
    }

    /** Lets the function reach memory and send interrupts, or no longer (PCI 3.0, 6.2.2). */
    public void master(boolean isMaster) {
        int command = (int) bus.configRead(Pci.COMMAND, 2) & ~Pci.COMMAND_MASTER;
        bus.configWrite(Pci.COMMAND, 2, command | (isMaster ? Pci.COMMAND_MASTER : 0));
    }

    public void enableMsix() {
        int flags = (int) bus.configRead(msix + Pci.MSIX_FLAGS, 2);
        bus.configWrite(msix + Pci.MSIX_FLAGS, 2, flags | Pci.MSIX_FLAGS_ENABLE);
    }

    public long deviceFeatures() {
        common(COMMON_DEVICE_FEATURE_SELECT, 4, 0);
        long low = common(COMMON_DEVICE_FEATURE, 4);
        common(COMMON_DEVICE_FEATURE_SELECT, 4, 1);
        return low | (common(COMMON_DEVICE_FEATURE, 4) << 32);
    }

    /** Enables the function; reset to FEATURES_OK (virtio 1.4, 3.1.1). */
    public void negotiate(long features) {
        master(true);
        common(COMMON_DEVICE_STATUS, 1, 0);
        common(COMMON_DEVICE_STATUS, 1, STATUS_ACKNOWLEDGE);
        common(COMMON_DEVICE_STATUS, 1, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
        common(COMMON_DRIVER_FEATURE_SELECT, 4, 0);
        common(COMMON_DRIVER_FEATURE, 4, features & 0xffff_ffffL);
        common(COMMON_DRIVER_FEATURE_SELECT, 4, 1);
        common(COMMON_DRIVER_FEATURE, 4, features >>> 32);
        common(COMMON_DEVICE_STATUS, 1, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
    }

    public void enableQueue(int queue, int vector, DriverQueue ring) {
        common(COMMON_QUEUE_SELECT, 2, queue);
        common(COMMON_QUEUE_SIZE, 2, ring.size());
        common(COMMON_QUEUE_MSIX_VECTOR, 2, vector);
        common64(COMMON_QUEUE_DESC, ring.descAddress());
        common64(COMMON_QUEUE_DRIVER, ring.driverAddress());
        common64(COMMON_QUEUE_DEVICE, ring.deviceAddress());
        common(COMMON_QUEUE_ENABLE, 2, 1);
    }

    public void driverOk() {
        long status = common(COMMON_DEVICE_STATUS, 1);
        common(COMMON_DEVICE_STATUS, 1, status | STATUS_DRIVER_OK);
    }

    public void kick(int queue) {
        common(COMMON_QUEUE_SELECT, 2, queue);
        Structure notify = structure(VIRTIO_PCI_CAP_NOTIFY_CFG);
        long multiplier = bus.configRead(notify.capability() + NOTIFY_CAP_MULTIPLIER, 4);
        long offset = notify.offset() + common(COMMON_QUEUE_NOTIFY_OFF, 2) * multiplier;
        bus.write(notify.bar(), offset, 2, queue);
    }
}
