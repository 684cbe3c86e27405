// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import java.util.Arrays;
import java.util.List;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.EventFd;
import org.ioasis.sys.Fd;
import org.jspecify.annotations.Nullable;

/**
 * Interrupt vectors as a peer sets them up: an eventfd each, or none. Whatever the transport; one
 * object for each session. Loop thread only.
 */
public final class EventVectors {
    private final @Nullable EventFd[] eventFds;

    public EventVectors(int count) {
        eventFds = new EventFd[count];
    }

    public int count() {
        return eventFds.length;
    }

    /** Whether a vector is set up. */
    public boolean isSetUp(int vector) {
        return eventFds[vector] != null;
    }

    /** Raises a vector; false if it is not set up, and nothing happens. */
    public boolean trigger(int vector) {
        EventFd eventFd = eventFds[vector];
        if (eventFd == null) {
            return false;
        }
        eventFd.signal();
        return true;
    }

    /**
     * Sets up the vectors from {@code first} on, one for each descriptor, in place of what they
     * were. The descriptors stay the caller's.
     *
     * @return false if one of them is no eventfd: nothing has changed
     */
    public boolean set(int first, List<Fd> fds) {
        EventFd[] taken = new EventFd[fds.size()];
        for (int i = 0; i < taken.length; i++) {
            try {
                taken[i] = EventFd.of(fds.get(i));
            } catch (ErrnoException e) {
                for (int j = 0; j < i; j++) {
                    taken[j].close();
                }
                return false;
            }
        }
        clear(first, first + taken.length);
        System.arraycopy(taken, 0, eventFds, first, taken.length);
        return true;
    }

    /** Takes the vectors {@code first .. end - 1} away. */
    public void clear(int first, int end) {
        for (int vector = first; vector < end; vector++) {
            EventFd eventFd = eventFds[vector];
            if (eventFd != null) {
                eventFd.close();
            }
        }
        Arrays.fill(eventFds, first, end, null);
    }

    /** Takes them all away. Twice is fine. */
    public void clear() {
        clear(0, eventFds.length);
    }
}
