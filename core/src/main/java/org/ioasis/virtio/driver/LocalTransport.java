// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.driver;

import org.ioasis.virtio.VirtioDevice;

/** A device of this process, on the thread of its driver: a kick is carried out when it returns. */
public final class LocalTransport implements Transport {
    private final VirtioDevice device;

    public LocalTransport(VirtioDevice device) {
        this.device = device;
    }

    @Override
    public int deviceId() {
        return device.id();
    }

    @Override
    public int status() {
        return device.status();
    }

    @Override
    public void writeStatus(int value) {
        device.writeStatus(value);
    }

    @Override
    public long deviceFeatures() {
        return device.deviceFeatures();
    }

    @Override
    public void writeDriverFeatures(long features) {
        device.writeDriverFeatures(features);
    }

    @Override
    public int queueSizeMax(int queue) {
        return device.queueSizeMax(queue);
    }

    @Override
    public void enableQueue(int queue, int size, long desc, long driver, long device) {
        this.device.writeQueueSize(queue, size);
        this.device.writeQueueDesc(queue, desc);
        this.device.writeQueueDriver(queue, driver);
        this.device.writeQueueDevice(queue, device);
        this.device.enableQueue(queue);
    }

    @Override
    public boolean isQueueEnabled(int queue) {
        return device.queueEnabled(queue);
    }

    @Override
    public void kick(int queue) {
        device.kick(queue);
    }

    @Override
    public int configGeneration() {
        return device.configGeneration();
    }

    @Override
    public long readConfig(int offset, int size) {
        return device.readConfig(offset, size);
    }

    @Override
    public void writeConfig(int offset, int size, long value) {
        device.writeConfig(offset, size, value);
    }
}
