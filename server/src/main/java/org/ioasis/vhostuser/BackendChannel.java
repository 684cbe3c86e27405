// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.ioasis.spec.VhostUser;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.UnixSocket;

/**
 * The socket on which we ask a front end for something: to tell the driver that the configuration
 * has changed. Nothing is read from it, since no answer is wanted. Loop thread only.
 */
final class BackendChannel {
    private final UnixSocket socket;
    private final MemorySegment message = Arena.ofAuto().allocate(VhostUser.HEADER_SIZE, 8);
    private boolean isClosed;

    /**
     * @param fd taken over
     * @throws ErrnoException it is no socket; then still the caller's
     */
    BackendChannel(Fd fd) throws ErrnoException {
        socket = UnixSocket.of(fd);
    }

    /**
     * A front end that leaves so many notifications unread that there is room for no more need not
     * be told again: each of them says the same. One that has gone is noticed elsewhere, and one
     * that has closed nothing but this is told nothing any more.
     */
    void configChanged() {
        if (isClosed) {
            return;
        }
        int size = Codec.plain(message, VhostUser.BACKEND_CONFIG_CHANGE_MSG);
        try {
            int sent = socket.send(message, 0, size, List.of());
            if (sent != size && sent != -Errno.EAGAIN) {
                // A stream of which a part was taken says nothing any more.
                close();
            }
        } catch (ErrnoException e) {
            close();
        }
    }

    /** Twice is fine. */
    void close() {
        isClosed = true;
        socket.close();
    }
}
