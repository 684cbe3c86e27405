// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

/**
 * A virtio device as some transport offers it to a driver, for who shows what it does. Counters are
 * for any thread, the device for its own.
 */
public interface OfferedDevice {
    /** The device behind the transport: for its state, and to find out why it stopped. */
    VirtioDevice device();

    /** Kicks that have come for queues that are there. */
    long kicks();

    /** Interrupts that were raised, with somebody who hears them or without. */
    long interrupts();
}
