// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.driver;

import java.util.function.LongSupplier;

/**
 * How long a driver waits for its device, and what it does meanwhile. The caller's: a driver has no
 * clock, and does not know whether the device needs this thread. Driver's thread.
 */
public interface Patience {
    /** A wait begins. */
    void begin();

    /**
     * A look has found nothing: lets the device work, if that needs this thread.
     *
     * @return false when it has been long enough
     */
    boolean goOn();

    /**
     * So many looks, for a device that works when it is called.
     *
     * @param pump lets the device work
     */
    static Patience looks(int most, Runnable pump) {
        return new Patience() {
            private int left;

            @Override
            public void begin() {
                left = most;
            }

            @Override
            public boolean goOn() {
                pump.run();
                return left-- > 0;
            }
        };
    }

    /**
     * So much time, for a device on another thread or in another process.
     *
     * @param clock nanoseconds of a clock that does not go back
     */
    static Patience nanos(LongSupplier clock, long most) {
        return new Patience() {
            private long begun;

            @Override
            public void begin() {
                begun = clock.getAsLong();
            }

            @Override
            public boolean goOn() {
                Thread.onSpinWait();
                return clock.getAsLong() - begun < most;
            }
        };
    }
}
