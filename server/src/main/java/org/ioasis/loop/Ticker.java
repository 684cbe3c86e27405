// SPDX-License-Identifier: Apache-2.0
package org.ioasis.loop;

import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Tells the time, now and then, to something that wants to be told only sometimes: while it does
 * not, a loop that serves nobody else sleeps for as long as it likes. Loop thread.
 */
public final class Ticker {
    private final EventLoop loop;
    private final long nanos;
    private final BooleanSupplier isWanted;
    private final Runnable tick;
    private EventLoop.@Nullable Timer timer;

    Ticker(EventLoop loop, long nanos, BooleanSupplier isWanted, Runnable tick) {
        this.loop = loop;
        this.nanos = nanos;
        this.isWanted = isWanted;
        this.tick = tick;
    }

    /** A turn is over, in which anything may have changed. */
    void check() {
        if (!isWanted.getAsBoolean()) {
            stop();
        } else if (timer == null) {
            timer = loop.schedule(loop.nanoTime() + nanos, this::tick);
        }
    }

    private void tick() {
        timer = null;
        tick.run();
    }

    private void stop() {
        EventLoop.Timer waiting = timer;
        if (waiting != null) {
            waiting.cancel();
            timer = null;
        }
    }

    /** Nobody is told any more. */
    public void cancel() {
        loop.tickers.remove(this);
        stop();
    }
}
