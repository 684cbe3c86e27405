// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import org.ioasis.sys.Mapping;

/**
 * The error boundary of a session: memory that its peer has truncated under the work that is done
 * for it ends that session, and leaves the machine's others alone. Loop thread. Allocates nothing
 * while nothing is wrong.
 */
public final class SessionBoundary {
    private final Served served;

    /**
     * @param served whose session it is
     */
    public SessionBoundary(Served served) {
        this.served = served;
    }

    /** Does some work of the session's. What is thrown and is not of its memory goes on. */
    public void run(Runnable work) {
        try {
            work.run();
            Mapping.raiseLate();
        } catch (InternalError e) {
            failed(e);
        }
    }

    /** Work of the session's threw: an InternalError is memory that is gone, all else is ours. */
    public void failed(Throwable cause) {
        served.endSession(
                cause instanceof InternalError
                        ? SharedMemory.GONE + cause.getMessage()
                        : "internal error: " + cause);
    }
}
