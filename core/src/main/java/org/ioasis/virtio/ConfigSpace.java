// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

/**
 * The device configuration as a driver sees it (virtio 1.4, 2.5): what the type has, and a
 * generation that tells two versions of it apart (4.1.4.3.1). Device's thread.
 */
final class ConfigSpace {
    private final DeviceType type;
    private int generation;
    private boolean hasChanged;

    ConfigSpace(DeviceType type) {
        this.type = type;
    }

    /** Changes before the driver can see two versions; 8 bits. */
    int generation() {
        return generation;
    }

    /** True if it has changed since it was read last. */
    boolean hasChanged() {
        return hasChanged;
    }

    void changed() {
        hasChanged = true;
    }

    /** 0 for what is not there or not of size 1, 2, 4 or 8. */
    long read(int offset, int size) {
        if (!isField(offset, size)) {
            return 0;
        }
        // Counted at the first read after a change and not at the change: 256 changes between
        // two reads must not look like none.
        if (hasChanged) {
            hasChanged = false;
            generation = (generation + 1) & 0xff;
        }
        return type.readConfig(offset, size);
    }

    /** False, and nothing is done, for what is not there or not of size 1, 2, 4 or 8. */
    boolean write(int offset, int size, long value) {
        if (!isField(offset, size)) {
            return false;
        }
        type.writeConfig(offset, size, value);
        return true;
    }

    private boolean isField(int offset, int size) {
        return (size == 1 || size == 2 || size == 4 || size == 8)
                && offset >= 0
                && offset <= type.configSize() - size;
    }

    /** Takes over what was saved. */
    void restore(int savedGeneration, boolean wasChanged) {
        generation = savedGeneration;
        hasChanged = wasChanged;
    }
}
