// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

import static org.ioasis.spec.Virtio.STATUS_ACKNOWLEDGE;
import static org.ioasis.spec.Virtio.STATUS_DEVICE_NEEDS_RESET;
import static org.ioasis.spec.Virtio.STATUS_DRIVER;
import static org.ioasis.spec.Virtio.STATUS_DRIVER_OK;
import static org.ioasis.spec.Virtio.STATUS_FAILED;
import static org.ioasis.spec.Virtio.STATUS_FEATURES_OK;

import org.jspecify.annotations.Nullable;

/**
 * The device status field (virtio 1.4, 2.1): which bits a driver adds, and why the device needs a
 * reset. Device's thread.
 */
final class DeviceStatus {
    /** Those that a driver may set. */
    static final int DRIVER_BITS =
            STATUS_ACKNOWLEDGE
                    | STATUS_DRIVER
                    | STATUS_DRIVER_OK
                    | STATUS_FEATURES_OK
                    | STATUS_FAILED;

    private int bits;
    private int beforeReset;
    private @Nullable String brokenReason;

    int bits() {
        return bits;
    }

    /** What it was before the last reset, and not 0: for as long as that is not complete. */
    int beforeReset() {
        return beforeReset;
    }

    boolean has(int bit) {
        return (bits & bit) != 0;
    }

    /** From DRIVER_OK until the device needs a reset, or has had it. */
    boolean isStarted() {
        return (bits & (STATUS_DRIVER_OK | STATUS_DEVICE_NEEDS_RESET)) == STATUS_DRIVER_OK;
    }

    /**
     * The driver writes the field, other than 0: bits are only added (2.1.1). FEATURES_OK only
     * sticks with an acceptable set of features (2.2.2), DRIVER_OK only with FEATURES_OK.
     *
     * @return how many bits of its own are refused
     */
    int add(int value, Features features) {
        int added = value & DRIVER_BITS & ~bits;
        bits |= added & ~(STATUS_FEATURES_OK | STATUS_DRIVER_OK);
        int refused = 0;
        if ((added & STATUS_FEATURES_OK) != 0) {
            if (features.areAcceptable(features.accepted())) {
                bits |= STATUS_FEATURES_OK;
            } else {
                refused++;
            }
        }
        if ((added & STATUS_DRIVER_OK) != 0) {
            if (has(STATUS_FEATURES_OK) && !has(STATUS_DEVICE_NEEDS_RESET)) {
                bits |= STATUS_DRIVER_OK;
            } else {
                refused++;
            }
        }
        return refused;
    }

    void reset() {
        beforeReset = bits | STATUS_ACKNOWLEDGE;
        bits = 0;
        brokenReason = null;
    }

    /** Sets DEVICE_NEEDS_RESET for that reason; false if it is set for another. */
    boolean needsReset(String reason) {
        if (has(STATUS_DEVICE_NEEDS_RESET)) {
            return false;
        }
        bits |= STATUS_DEVICE_NEEDS_RESET;
        brokenReason = reason;
        return true;
    }

    /** Why the device needs a reset; null: it does not. */
    @Nullable String brokenReason() {
        return brokenReason;
    }

    /**
     * Takes a possible field over.
     *
     * @param reason empty: it needs no reset
     */
    void restore(int value, String reason) {
        bits = value;
        brokenReason = reason.isEmpty() ? null : reason;
    }
}
