// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/** The begin of a session, for a flight recording that may end before it. Loop thread. */
@Name("org.ioasis.SessionStart")
@Label("Session Start")
@Description("A peer has connected to a device")
@Category("Ioasis")
@StackTrace(false)
final class SessionStartEvent extends Event {
    @Label("Socket")
    String socket = "";

    @Label("Peer")
    @Description("Its process")
    String peer = "";
}
