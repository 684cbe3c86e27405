// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import java.lang.foreign.MemorySegment;
import java.util.List;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;

/**
 * The byte stream with descriptors that a session speaks over. Results as in {@link
 * org.ioasis.sys.UnixSocket}: bytes moved, 0 at the peer's end (receive), {@code -EAGAIN}. Loop
 * thread.
 */
public interface PeerChannel {
    int receive(MemorySegment buffer, long offset, int length, List<Fd> fds) throws ErrnoException;

    /**
     * @param fds go with the first byte, if any is taken; they stay the caller's
     */
    int send(MemorySegment buffer, long offset, int length, List<Fd> fds) throws ErrnoException;

    /** 0 if the peer has received all that was sent; otherwise more. */
    int unread() throws ErrnoException;

    void close();

    /**
     * Closes it, when the peer has received everything.
     *
     * @param descriptors that it perhaps has not received
     */
    void closeUnread(int descriptors);
}
