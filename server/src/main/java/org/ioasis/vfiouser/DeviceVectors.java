// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import org.ioasis.loop.EventHandler;
import org.ioasis.loop.EventLoop;
import org.ioasis.memory.Count;
import org.ioasis.pci.VectorSink;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.EventFd;
import org.ioasis.sys.Fd;
import org.jspecify.annotations.Nullable;

/**
 * The interrupts of a device server: it signals eventfds of ours, never the VMM's, whose flags it
 * could change; each signal is passed on. Loop thread.
 */
final class DeviceVectors {
    /** Where commands for the server go, and what becomes of it. */
    interface Server {
        void submit(Command command);

        /** False if a command has failed because there is no server. */
        boolean isThere();

        /** It cannot go on. */
        void lost(String why);

        /** The work on a signal threw. */
        void failed(Throwable cause);
    }

    private final EventLoop loop;
    private final int index;
    private final Server server;
    private final Effects effects;
    private final @Nullable Relay[] relays;
    private final Count interrupts = new Count();
    private VectorSink sink = VectorSink.NONE;

    /**
     * @param index of the type of interrupt
     * @param count how many of it there are
     * @param effects of what the server is told, which the VMM waits for
     */
    DeviceVectors(EventLoop loop, int index, int count, Server server, Effects effects) {
        this.effects = effects;
        this.loop = loop;
        this.index = index;
        this.server = server;
        relays = new Relay[count];
    }

    /** Signals go there from now on. */
    void sink(VectorSink to) {
        sink = to;
    }

    /** What the server signals for one vector, passed on to whom the VMM has named. */
    private final class Relay implements EventHandler {
        private final int vector;
        private final EventFd eventFd;
        private final EventLoop.Registration registration;

        Relay(int vector, EventFd eventFd) throws ErrnoException {
            this.vector = vector;
            this.eventFd = eventFd;
            // Each signal is an edge, and the counter is not read: the server has it as well, can
            // make it blocking and read it before us.
            registration = loop.register(eventFd.fd(), Epoll.IN | Epoll.EDGE, this);
        }

        @Override
        public void ready(int events) {
            interrupts.increment();
            boolean _ = sink.trigger(vector);
        }

        @Override
        public void failed(Throwable cause) {
            server.failed(cause);
        }

        void close() {
            registration.cancel();
            eventFd.close();
        }
    }

    /** The server is told of what has changed. */
    void changed() {
        boolean isTaken = false;
        for (int vector = 0; vector < relays.length && server.isThere(); vector++) {
            boolean isWanted = sink.isSetUp(vector);
            if (isWanted && relays[vector] == null) {
                setUp(vector);
            } else if (!isWanted && relays[vector] != null) {
                drop(vector);
                isTaken = true;
                server.submit(
                        Command.vector(index, vector, null, effects.awaited((_, _, _) -> {})));
            }
        }
        if (isTaken && !hasRelays()) {
            server.submit(Command.noVectors(index, effects.awaited((_, _, _) -> {})));
        }
    }

    private boolean hasRelays() {
        for (Relay relay : relays) {
            if (relay != null) {
                return true;
            }
        }
        return false;
    }

    private void setUp(int vector) {
        Fd theirs;
        try {
            EventFd eventFd = EventFd.create();
            boolean isWatched = false;
            try {
                relays[vector] = new Relay(vector, eventFd);
                isWatched = true;
            } finally {
                if (!isWatched) {
                    eventFd.close();
                }
            }
            theirs = eventFd.duplicate();
        } catch (ErrnoException e) {
            server.lost("interrupt %d of type %d: %s".formatted(vector, index, e.getMessage()));
            return;
        }
        server.submit(
                Command.vector(
                        index,
                        vector,
                        theirs,
                        effects.awaited((errno, _, _) -> {
                            if (errno != 0 && server.isThere()) {
                                server.lost(
                                        "it refuses interrupt %d of type %d: %s"
                                                .formatted(vector, index, Errno.name(errno)));
                            }
                        })));
    }

    private void drop(int vector) {
        Relay relay = relays[vector];
        if (relay != null) {
            relay.close();
            relays[vector] = null;
        }
    }

    /** What the server has is nothing any more, and it is not told. */
    void dropAll() {
        for (int vector = 0; vector < relays.length; vector++) {
            drop(vector);
        }
    }

    /** Signals so far. Any thread. */
    long interrupts() {
        return interrupts.read();
    }
}
