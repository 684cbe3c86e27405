// SPDX-License-Identifier: Apache-2.0
package org.ioasis.loop;

/** Serves one descriptor. Called on the loop thread. */
public interface EventHandler {
    /** The descriptor is ready; {@code events} are bits of {@link org.ioasis.sys.Epoll}. */
    void ready(int events);

    /**
     * {@link #ready} threw: an invariant of ours is broken. The registration is gone already; what
     * it served must end now. The loop has logged the cause.
     */
    void failed(Throwable cause);
}
