// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import org.ioasis.loop.EventLoop;
import org.ioasis.sys.EventFd;
import org.ioasis.virtqueue.ChainLog;
import org.jspecify.annotations.Nullable;

/** A ring as its front end has set it up. Loop thread only. */
final class Vring {
    /** Entries; 0: not said yet. */
    int size;

    /** Where it begins, as the protocol says it. */
    int base;

    // User addresses of its parts.
    boolean hasAddresses;
    long descriptor;
    long used;
    long available;

    boolean isEnabled;

    /** The device has it. */
    boolean isGiven;

    /** Where the chains of it are written down that the device has got; null: nowhere. */
    @Nullable ChainLog log;

    private @Nullable EventFd kick;
    private EventLoop.@Nullable Registration kicked;

    /** True if everything is there that the device needs. */
    boolean isReady() {
        return size > 0 && hasAddresses && kick != null && isEnabled;
    }

    boolean isLogSettled() {
        return log != null && log.isSettled();
    }

    /** Nothing is out, and whoever begins again knows where: what the log says is of no use. */
    void forgetLog() {
        ChainLog kept = log;
        if (kept != null) {
            kept.forget();
            log = null;
        }
    }

    /** Is kicked through this descriptor from now on, in place of what there was. */
    void kick(EventFd eventFd, EventLoop.Registration registration) {
        clearKick();
        kick = eventFd;
        kicked = registration;
    }

    /** Twice is fine. */
    void clearKick() {
        EventLoop.Registration registration = kicked;
        if (registration != null) {
            registration.cancel();
            kicked = null;
        }
        EventFd eventFd = kick;
        if (eventFd != null) {
            eventFd.close();
            kick = null;
        }
    }
}
