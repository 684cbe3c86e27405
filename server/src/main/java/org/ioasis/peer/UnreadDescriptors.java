// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import java.util.ArrayDeque;
import java.util.Iterator;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.UnixSocket;

/**
 * Descriptors that sessions have sent, that have ended, and that their peers have not received. The
 * kernel keeps them open for as long as a peer has its end of the socket, and counts them as this
 * user's, whose limit is one for all of its processes (unix(7), ETOOMANYREFS). So there is one of
 * these for the process. Any thread.
 */
public final class UnreadDescriptors {
    /** So many, and no session gives any away: half of what a process may usually have open. */
    public static final int MAX = 512;

    /** Those of this process. */
    public static final UnreadDescriptors ALL = new UnreadDescriptors();

    /** A socket that is shut down, whose descriptor tells when it is read. */
    private record Kept(UnixSocket socket, int descriptors) {}

    private final ArrayDeque<Kept> kept = new ArrayDeque<>();
    private int count;

    private UnreadDescriptors() {}

    /**
     * A session has ended. Its socket is closed, now or when the peer has received everything or
     * has closed its end.
     *
     * @param descriptors that have been sent since the peer was last known to have received all
     */
    synchronized void keep(UnixSocket socket, int descriptors) {
        look();
        boolean isKept = false;
        try {
            if (socket.unread() > 0) {
                socket.shutdown();
                kept.add(new Kept(socket, descriptors));
                count += descriptors;
                isKept = true;
            }
        } catch (ErrnoException e) {
            // What the kernel does not tell cannot be waited for.
        } finally {
            if (!isKept) {
                socket.close();
            }
        }
    }

    /** True if sessions may give descriptors away. */
    public synchronized boolean haveRoom() {
        return count < MAX || count() < MAX;
    }

    /** How many there are. Closes the sockets of those that there are no longer. */
    public synchronized int count() {
        look();
        return count;
    }

    private void look() {
        Iterator<Kept> all = kept.iterator();
        while (all.hasNext()) {
            Kept one = all.next();
            if (isRead(one.socket())) {
                one.socket().close();
                count -= one.descriptors();
                all.remove();
            }
        }
    }

    private static boolean isRead(UnixSocket socket) {
        try {
            return socket.unread() == 0;
        } catch (ErrnoException e) {
            return false;
        }
    }
}
