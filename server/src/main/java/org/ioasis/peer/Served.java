// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import java.nio.file.Path;

/**
 * A device that is offered to VMMs, over whatever transport, or to programs that open it: one
 * session after the other, each with memory of its own. Any thread unless said otherwise.
 */
public interface Served extends AutoCloseable {
    /** Where VMMs connect, or programs find it. */
    Path path();

    /** True while a VMM is served, or its memory is still in use. */
    boolean hasSession();

    /** VMMs served so far, the present one included. */
    int sessionCount();

    /**
     * Ends the session with the present VMM, if there is one: for who finds out elsewhere that it
     * cannot go on, such as a lease that cannot be taken back. Loop thread.
     */
    void endSession(String why);

    /** What is done now and has been, for who shows it. Loop thread. */
    ServedInfo info();

    /** Ends the session and offers the device no more. Twice is fine. */
    @Override
    void close();
}
