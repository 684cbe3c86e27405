// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

/** What a session has of whoever serves it. Loop thread. */
public interface SessionHost {
    /** The peer wanted something beyond a limit. */
    void limitReached(String why);

    /** {@link PeerSession#interest} has changed outside of {@link PeerSession#ready}. */
    void interestChanged();

    /**
     * After the end the peer's memory is no longer in use, and everything it gave us is closed.
     * Once.
     */
    void released();
}
