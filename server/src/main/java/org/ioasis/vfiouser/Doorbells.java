// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.loop.EventHandler;
import org.ioasis.loop.EventLoop;
import org.ioasis.pci.Doorbell;
import org.ioasis.pci.PciDevice;
import org.ioasis.peer.SessionBoundary;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.EventFd;
import org.ioasis.sys.Fd;
import org.jspecify.annotations.Nullable;

/**
 * The eventfds that one client has asked for in place of messages, one for each doorbell. They are
 * made when they are asked for, and the same ones each time. One object for each session. Loop
 * thread.
 */
final class Doorbells {
    private final EventLoop loop;
    private final SessionBoundary boundary;
    private final PciDevice function;
    private final List<Doorbell> doorbells;
    private final @Nullable Bell[] bells;

    Doorbells(EventLoop loop, SessionBoundary boundary, PciDevice function) {
        this.loop = loop;
        this.boundary = boundary;
        this.function = function;
        doorbells = function.doorbells();
        bells = new Bell[doorbells.size()];
    }

    private final class Bell implements EventHandler {
        private final Runnable ring;
        private final EventFd eventFd;
        private final EventLoop.Registration registration;

        Bell(int number, EventFd eventFd) throws ErrnoException {
            this.eventFd = eventFd;
            ring = () -> function.rung(number);
            // Each signal is an edge. The counter is the client's as well, and is not read.
            registration = loop.register(eventFd.fd(), Epoll.IN | Epoll.EDGE, this);
        }

        @Override
        public void ready(int events) {
            boundary.run(ring);
        }

        @Override
        public void failed(Throwable cause) {
            boundary.failed(cause);
        }

        void close() {
            registration.cancel();
            eventFd.close();
        }
    }

    /** Those of a region, by number, and the first ones if there are more than {@code most}. */
    List<Integer> of(int region, int most) {
        List<Integer> found = new ArrayList<>();
        for (int i = 0; i < doorbells.size() && found.size() < most; i++) {
            if (doorbells.get(i).region() == region) {
                found.add(i);
            }
        }
        return found;
    }

    Doorbell get(int number) {
        return doorbells.get(number);
    }

    /**
     * Descriptors to be given away, the caller's.
     *
     * @throws ErrnoException the process can have no more
     */
    List<Fd> open(List<Integer> numbers) throws ErrnoException {
        List<Fd> fds = new ArrayList<>();
        boolean isDone = false;
        try {
            for (int number : numbers) {
                fds.add(bell(number).eventFd.duplicate());
            }
            isDone = true;
            return fds;
        } finally {
            if (!isDone) {
                fds.forEach(Fd::close);
            }
        }
    }

    private Bell bell(int number) throws ErrnoException {
        Bell made = bells[number];
        if (made != null) {
            return made;
        }
        EventFd eventFd = EventFd.create();
        boolean isWatched = false;
        try {
            made = new Bell(number, eventFd);
            bells[number] = made;
            isWatched = true;
            return made;
        } finally {
            if (!isWatched) {
                eventFd.close();
            }
        }
    }

    /** Nobody is heard any more. Twice is fine. */
    void close() {
        for (int i = 0; i < bells.length; i++) {
            Bell bell = bells[i];
            if (bell != null) {
                bell.close();
                bells[i] = null;
            }
        }
    }
}
