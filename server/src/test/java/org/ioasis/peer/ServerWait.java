// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import java.util.function.BooleanSupplier;
import org.ioasis.loop.EventLoop;

/** Waits for what a server does on its loop, no longer than a test may. Any other thread. */
public final class ServerWait {
    private ServerWait() {}

    /** Until {@code condition} holds. */
    public static void until(PeerServer server, EventLoop loop, BooleanSupplier condition) {
        long deadline = System.nanoTime() + SocketPeer.WAIT_MILLIS * 1_000_000L;
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() - deadline > 0) {
                throw new IllegalStateException(
                        "does not happen; last end: " + server.lastReason() + "\n" + loop.dump());
            }
            pause();
        }
    }

    /** A moment. */
    public static void pause() {
        try {
            Thread.sleep(1);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }
}
