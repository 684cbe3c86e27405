// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import java.nio.file.Path;
import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/** A session from its begin to its end, for a flight recording. Loop thread. */
@Name("org.ioasis.Session")
@Label("Session")
@Description("A session with the peer that a device was served to, when it has ended")
@Category("Ioasis")
@StackTrace(false)
final class SessionEvent extends Event {
    @Label("Socket")
    String socket = "";

    @Label("Peer")
    @Description("Its process")
    String peer = "";

    @Label("Messages")
    long messages;

    @Label("Errors")
    @Description("Messages that were answered with an error")
    long errors;

    @Label("Reason")
    @Description("Why it has ended")
    String reason = "";

    /** A session begins, of which an event of its own tells at once. */
    static SessionEvent begun(Path socket, String peer) {
        SessionEvent session = new SessionEvent();
        session.socket = socket.toString();
        session.peer = peer;
        session.begin();
        SessionStartEvent start = new SessionStartEvent();
        start.socket = session.socket;
        start.peer = peer;
        start.commit();
        return session;
    }

    void ended(long count, long errorCount, String why) {
        messages = count;
        errors = errorCount;
        reason = why;
        commit();
    }
}
