// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.driver;

import static org.ioasis.spec.Virtio.F_VERSION_1;
import static org.ioasis.spec.Virtio.STATUS_ACKNOWLEDGE;
import static org.ioasis.spec.Virtio.STATUS_DRIVER;
import static org.ioasis.spec.Virtio.STATUS_DRIVER_OK;
import static org.ioasis.spec.Virtio.STATUS_FAILED;
import static org.ioasis.spec.Virtio.STATUS_FEATURES_OK;

/** How a driver starts a device (virtio 1.4, 3.1.1). Driver's thread. */
public final class Negotiation {
    private Negotiation() {}

    /** Resets the device and waits until it says that it is. */
    public static void reset(Transport device, Patience patience) throws BrokenException {
        device.writeStatus(0);
        patience.begin();
        while (device.status() != 0) {
            if (!patience.goOn()) {
                throw new BrokenException("the device does not come out of its reset");
            }
        }
    }

    /**
     * From a reset to FEATURES_OK.
     *
     * @param id which device it must be
     * @param required features without which the driver cannot work; VERSION_1 is one anyway
     * @param wanted features that it can use
     * @return what both have agreed on
     */
    public static long features(
            Transport device, Patience patience, int id, long required, long wanted)
            throws DriverException {
        if (device.deviceId() != id) {
            throw new DriverException("device %d, not %d".formatted(device.deviceId(), id));
        }
        reset(device, patience);
        device.writeStatus(STATUS_ACKNOWLEDGE);
        device.writeStatus(STATUS_ACKNOWLEDGE | STATUS_DRIVER);
        long offered = device.deviceFeatures();
        long missing = (required | F_VERSION_1) & ~offered;
        if (missing != 0) {
            giveUp(device);
            throw new DriverException("the device does not offer features 0x%x".formatted(missing));
        }
        long accepted = offered & (required | wanted | F_VERSION_1);
        device.writeDriverFeatures(accepted);
        device.writeStatus(STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
        if ((device.status() & STATUS_FEATURES_OK) == 0) {
            giveUp(device);
            throw new DriverException("the device refuses features 0x%x".formatted(accepted));
        }
        return accepted;
    }

    /** Enables a queue, and looks whether the device has. */
    public static void enable(
            Transport device, int queue, int size, long desc, long driver, long used)
            throws DriverException {
        device.enableQueue(queue, size, desc, driver, used);
        if (!device.isQueueEnabled(queue)) {
            throw new DriverException("the device refuses queue %d".formatted(queue));
        }
    }

    /** The driver is ready: from now on the device works. */
    public static void ready(Transport device) throws DriverException {
        device.writeStatus(
                STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
        if ((device.status() & STATUS_DRIVER_OK) == 0) {
            throw new DriverException("the device does not start");
        }
    }

    /** Gives the device up, so that it knows (2.1). */
    public static void giveUp(Transport device) {
        device.writeStatus(device.status() | STATUS_FAILED);
    }

    /** The largest power of two that both can, 0 if there is no such queue. */
    public static int queueSize(Transport device, int queue, int most) {
        return Integer.highestOneBit(Math.max(0, Math.min(device.queueSizeMax(queue), most)));
    }
}
