// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

/**
 * The transport's way to notify the driver. Called on the device's thread, outside any guarded
 * section (a notification is a system call), and only when the driver wants to be told.
 */
public interface Interrupts {
    /** Used buffer notification for {@code queue} (virtio 1.4, 2.7.7). */
    void queue(int queue);

    /** Device configuration change notification (virtio 1.4, 2.3). */
    void config();
}
