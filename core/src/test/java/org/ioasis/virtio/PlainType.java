// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

/** A type of device that has queues and work, and neither features nor configuration. Immutable. */
record PlainType(DeviceWork<?> work, int queueCount, int queueSizeMax) implements DeviceType {
    @Override
    public int id() {
        return 42;
    }

    @Override
    public long features() {
        return 0;
    }

    @Override
    public int configSize() {
        return 0;
    }

    @Override
    public long readConfig(int offset, int size) {
        return 0;
    }

    @Override
    public void writeConfig(int offset, int size, long value) {}
}
