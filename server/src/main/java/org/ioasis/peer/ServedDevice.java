// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import java.util.function.BooleanSupplier;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.Rings;
import org.ioasis.loop.Ticker;
import org.ioasis.sys.Mapping;

/**
 * What the loop does for a device by itself, whatever protocol it is served by: looks at its rings
 * while it is busy, and tells it the time. All of that is inside the error boundary of the session.
 * Loop thread.
 */
public final class ServedDevice implements Rings {
    /** A device that the loop works for. Loop thread. */
    public interface Turns {
        /**
         * Asked at each kick of the guest's: true if whoever answers looks at the rings from now
         * on, by {@link #look}, until {@link #rest}. A device without rings never asks.
         */
        void watcher(BooleanSupplier watcher);

        /**
         * Looks for work in the rings that are looked at, and does it. True if there was some. Has
         * no other consequence.
         */
        boolean look();

        /**
         * Nobody looks any more: the guest kicks again, and what has come before that is done. True
         * if there was something.
         */
        boolean rest();

        /** Tells the time, a few times a second while that is wanted: bounds waits for memory. */
        void tick(long nowNanos);
    }

    private static final long TICK_NANOS = 500_000_000L;

    private final EventLoop loop;
    private final Turns device;
    private final SessionBoundary boundary;
    private final Runnable tick = this::tick;

    /** The device's rings are looked at from now on, when it asks for that. Any thread. */
    public ServedDevice(EventLoop loop, Turns device, SessionBoundary boundary) {
        this.loop = loop;
        this.device = device;
        this.boundary = boundary;
        device.watcher(() -> loop.watch(this));
    }

    /** Tells the device the time while that is wanted, until the ticker is cancelled. */
    public Ticker ticker(BooleanSupplier isWanted) {
        return loop.ticker(TICK_NANOS, isWanted, () -> boundary.run(tick));
    }

    private void tick() {
        device.tick(loop.nanoTime());
    }

    @Override
    public boolean look() {
        boolean isNew = device.look();
        Mapping.raiseLate();
        return isNew;
    }

    @Override
    public boolean rest() {
        boolean isNew = device.rest();
        Mapping.raiseLate();
        return isNew;
    }

    @Override
    public void failed(Throwable cause) {
        boundary.failed(cause);
    }
}
