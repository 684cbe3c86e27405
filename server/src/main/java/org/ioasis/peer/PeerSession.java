// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

/**
 * What one peer and its device have with each other, from its first message to the release of
 * everything it gave us, whatever it speaks. Loop thread, but for the counters.
 */
public interface PeerSession {
    /** Which events of its channel matter now. */
    int interest();

    /** Its channel is ready for {@code events}. */
    void ready(int events);

    /** True from its end on; its memory may still be in use. */
    boolean hasEnded();

    /**
     * True if there may be more to handle than the last turn had time for; that is known in the
     * turn after it, so it is said once.
     */
    boolean takeBusy();

    /** Ends it, whatever its state; twice is fine. */
    void end(String why);

    /** Why it ended; empty while it has not. */
    String reason();

    /** True if its end is nobody's fault: the peer has just gone, as all do in the end. */
    boolean hasGone();

    /** True if the peer did not share the guest's RAM when it was last there. */
    boolean isRamUnshared();

    /** Messages handled. Any thread. */
    long messageCount();

    /** Calls of the system that have read from the channel. Any thread. */
    long receiveCount();

    /** Calls that have written to it. Any thread. */
    long sendCount();

    /** Of the messages those that were answered with an error. Any thread. */
    long errorCount();

    /** Why the last of those was, or {@code none}. */
    String lastError();
}
