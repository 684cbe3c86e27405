// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

import java.util.function.BooleanSupplier;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.Rings;
import org.ioasis.loop.Ticker;
import org.ioasis.peer.SessionBoundary;
import org.ioasis.sys.Mapping;

/**
 * What the loop does for a function by itself, whatever protocol it is served by: looks at its
 * rings while it is busy, and tells it the time. All of that is inside the error boundary of the
 * session. Loop thread.
 */
public final class ServedFunction implements Rings {
    private static final long TICK_NANOS = 500_000_000L;

    private final EventLoop loop;
    private final PciDevice function;
    private final SessionBoundary boundary;
    private final Runnable tick = this::tick;

    /** The function's rings are looked at from now on, when it asks for that. Any thread. */
    public ServedFunction(EventLoop loop, PciDevice function, SessionBoundary boundary) {
        this.loop = loop;
        this.function = function;
        this.boundary = boundary;
        function.watcher(() -> loop.watch(this));
    }

    /** Tells the function the time while that is wanted, until the ticker is cancelled. */
    public Ticker ticker(BooleanSupplier isWanted) {
        return loop.ticker(TICK_NANOS, isWanted, () -> boundary.run(tick));
    }

    private void tick() {
        function.tick(loop.nanoTime());
    }

    @Override
    public boolean look() {
        boolean isNew = function.look();
        Mapping.raiseLate();
        return isNew;
    }

    @Override
    public boolean rest() {
        boolean isNew = function.rest();
        Mapping.raiseLate();
        return isNew;
    }

    @Override
    public void failed(Throwable cause) {
        boundary.failed(cause);
    }
}
