// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

/**
 * How long a device has been waiting for absent memory. The wait counts from the first time that is
 * told in it. Device's thread.
 */
final class MemoryWait {
    private final long limitNanos;
    private boolean isWaiting;
    private boolean hasStart;
    private long startNanos;

    MemoryWait(long limitNanos) {
        this.limitNanos = limitNanos;
    }

    boolean isWaiting() {
        return isWaiting;
    }

    /** True again does not start the wait anew, false in between does. */
    void waits(boolean value) {
        isWaiting = value;
        if (!value) {
            hasStart = false;
        }
    }

    /** True if the wait has lasted to its limit. */
    boolean isOver(long nowNanos) {
        if (!isWaiting) {
            return false;
        }
        if (!hasStart) {
            hasStart = true;
            startNanos = nowNanos;
        }
        return nowNanos - startNanos >= limitNanos;
    }
}
