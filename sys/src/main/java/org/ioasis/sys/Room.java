// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import java.util.concurrent.atomic.AtomicInteger;

/** So many of something of the process's that peers can make it take, and no more. Any thread. */
abstract class Room {
    private final int limit;
    private final AtomicInteger taken = new AtomicInteger();

    Room(int limit) {
        this.limit = limit;
    }

    /** False: there is no room for one more. */
    public final boolean take() {
        if (taken.incrementAndGet() > limit) {
            giveBack();
            return false;
        }
        return true;
    }

    public final void giveBack() {
        taken.decrementAndGet();
    }
}
