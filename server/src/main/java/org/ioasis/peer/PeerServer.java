// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import java.lang.System.Logger.Level;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.ioasis.loop.Acceptor;
import org.ioasis.loop.EventHandler;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.Ticker;
import org.ioasis.memory.GuestMemory;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.UnixListener;
import org.ioasis.sys.UnixSocket;
import org.jspecify.annotations.Nullable;

/**
 * A device at a socket, whatever is spoken there. One peer at a time: a second one is let in and
 * closed at once, so that it knows. When a peer goes and its memory is given back, the next one is
 * served.
 *
 * <p>Made and closed by any thread; works on the loop's.
 */
public abstract class PeerServer implements Served {
    private static final long CLOSE_NANOS = 5_000_000_000L;

    private final EventLoop loop;
    private final GuestMemory memory;
    private final Journal journal;
    private final Acceptor acceptor;
    private final CountDownLatch closed = new CountDownLatch(1);
    private EventLoop.@Nullable Registration connected;
    private @Nullable Ticker ticker;

    /** The peer being served, or whose memory is still in use. */
    private volatile @Nullable PeerSession<?> session;

    /** Whose session it is, or was the last one. */
    private String peer = "";

    private SessionEvent recorded = new SessionEvent();
    private boolean isClosing;
    private final AtomicInteger sessions = new AtomicInteger();
    private final AtomicInteger refused = new AtomicInteger();
    private volatile String lastReason = "";
    private boolean wasRamUnshared;

    /**
     * Makes the socket; nothing is served before {@link #serve}.
     *
     * @param memory the device's guest memory; belongs to the peers of this server alone
     * @throws ErrnoException EADDRINUSE: somebody listens at {@code socket}; and what else bind(2)
     *     says
     */
    protected PeerServer(EventLoop loop, Path socket, GuestMemory memory, System.Logger log)
            throws ErrnoException {
        this.loop = loop;
        this.memory = memory;
        this.journal = new Journal(log, loop::nanoTime, loop::schedule);
        this.acceptor = new Acceptor(loop, UnixListener.bind(socket), new Clients());
    }

    /** Serves from now on: the last step of a subclass's making. */
    protected final void serve() {
        boolean isServed = false;
        try {
            loop.execute(this::listen);
            isServed = true;
        } finally {
            if (!isServed) {
                acceptor.close();
            }
        }
    }

    /** Begins a session over that channel; loop thread. */
    protected abstract PeerSession<?> begin(PeerChannel channel, SessionHost host);

    /** What tells the device the time while that is wanted; loop thread. */
    protected abstract Ticker ticker();

    /** A line for an operator, with the socket before it. Loop thread. */
    protected final void warn(String what) {
        journal.say(Level.WARNING, () -> path() + ": " + what);
    }

    @Override
    public final Path path() {
        return acceptor.path();
    }

    private void listen() {
        if (isClosing) {
            return;
        }
        try {
            ticker = ticker();
            acceptor.listen();
        } catch (ErrnoException e) {
            throw new IllegalStateException("cannot wait for clients at " + path(), e);
        }
    }

    private final class Clients implements Acceptor.Clients {
        @Override
        public void arrived() {
            PeerSession<?> current = session;
            if (current != null && current.takeBusy()) {
                return; // perhaps it is gone, behind what it sent: decided next turn
            }
            if (current != null && current.hasEnded()) {
                acceptor.pause(); // its memory is in use: the next client waits in the queue
                return;
            }
            UnixSocket socket = acceptor.next();
            if (socket == null) {
                return;
            }
            if (current != null) {
                refused.incrementAndGet();
                String served = peer;
                String other = socket.peer();
                journal.say(
                        Level.WARNING,
                        () ->
                                "%s: %s is refused: %s is being served"
                                        .formatted(path(), other, served));
                socket.close();
                return;
            }
            connect(socket);
        }

        @Override
        public void failed(Throwable cause) {
            lastReason = "listener failed: " + cause;
        }
    }

    private void connect(UnixSocket socket) {
        sessions.incrementAndGet();
        String client = socket.peer();
        peer = client;
        journal.say(Level.INFO, () -> path() + ": a session begins with " + client);
        recorded = SessionEvent.begun(path(), client);
        PeerSession<?> begun = begin(new SocketChannel(socket), new Host());
        session = begun;
        try {
            connected =
                    loop.register(
                            socket.fd(),
                            begun.interest(),
                            new EventHandler() {
                                @Override
                                public void ready(int events) {
                                    begun.ready(events);
                                    update();
                                }

                                @Override
                                public void failed(Throwable cause) {
                                    begun.end("internal error: " + cause);
                                }
                            });
        } catch (ErrnoException e) {
            begun.end("cannot wait for the client: " + e.getMessage());
        }
    }

    /** The socket of a session. Its registration ends before its descriptor does. */
    private final class SocketChannel implements PeerChannel {
        private final UnixSocket socket;

        SocketChannel(UnixSocket socket) {
            this.socket = socket;
        }

        @Override
        public int receive(MemorySegment buffer, long offset, int length, List<Fd> fds)
                throws ErrnoException {
            return socket.receive(buffer, offset, length, fds);
        }

        @Override
        public int send(MemorySegment buffer, long offset, int length, List<Fd> fds)
                throws ErrnoException {
            return socket.send(buffer, offset, length, fds);
        }

        @Override
        public int unread() throws ErrnoException {
            return socket.unread();
        }

        @Override
        public void close() {
            cancel();
            socket.close();
        }

        @Override
        public void closeUnread(int descriptors) {
            cancel();
            UnreadDescriptors.ALL.keep(socket, descriptors);
        }

        private void cancel() {
            EventLoop.Registration registration = connected;
            if (registration != null) {
                registration.cancel();
                connected = null;
            }
        }
    }

    private final class Host implements SessionHost {
        @Override
        public void limitReached(String why) {
            warn("refused: " + why);
        }

        @Override
        public void interestChanged() {
            update();
        }

        @Override
        public void released() {
            forget();
        }
    }

    private void update() {
        EventLoop.Registration registration = connected;
        PeerSession<?> current = session;
        if (registration != null && current != null) {
            registration.events(current.interest());
        }
    }

    private void forget() {
        PeerSession<?> ended = session;
        if (ended != null) {
            String client = peer;
            String reason = ended.reason();
            lastReason = reason;
            recorded.ended(ended.messageCount(), ended.errorCount(), reason);
            // What is nobody's fault happens all the time.
            Level level = isClosing || ended.hasGone() ? Level.INFO : Level.WARNING;
            journal.say(
                    level,
                    () ->
                            "%s: the session with %s has ended: %s"
                                    .formatted(path(), client, reason));
            wasRamUnshared = ended.isRamUnshared();
        }
        session = null;
        acceptor.resume();
        if (isClosing) {
            closed.countDown();
        }
    }

    @Override
    public final void endSession(String why) {
        PeerSession<?> current = session;
        if (current != null) {
            current.end(why);
        }
    }

    /** The session that is there, or whose memory is still in use. Any thread. */
    protected final @Nullable PeerSession<?> session() {
        return session;
    }

    /** Why the last session ended; empty before the first end. Any thread. */
    public final String lastReason() {
        return lastReason;
    }

    @Override
    public final int sessionCount() {
        return sessions.get();
    }

    /** Clients that were turned away because one was being served. Any thread. */
    public final int refusedCount() {
        return refused.get();
    }

    @Override
    public final boolean hasSession() {
        return session != null;
    }

    /**
     * Ends the session and the listening, and waits until the client's memory is given back; five
     * seconds at most, and not at all on the loop thread. Before the loop is closed. Twice is fine.
     */
    @Override
    public final void close() {
        if (loop.executeAndWait(this::closeOnLoop, CLOSE_NANOS) && !loop.isLoopThread()) {
            try {
                boolean _ = closed.await(CLOSE_NANOS, TimeUnit.NANOSECONDS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private void closeOnLoop() {
        if (isClosing) {
            return;
        }
        isClosing = true;
        acceptor.close();
        Ticker last = ticker;
        if (last != null) {
            last.cancel();
        }
        PeerSession<?> current = session;
        if (current == null) {
            closed.countDown();
        } else {
            current.end("server closed");
        }
    }

    @Override
    public final ServedInfo info() {
        PeerSession<?> current = session;
        MemoryView view = MemoryView.of(memory);
        return new ServedInfo(
                path(),
                current != null && !current.hasEnded(),
                sessions.get(),
                refused.get(),
                view.regions(),
                view.regionsWithoutDescriptor(),
                view.sharedBytes(),
                view.unreachableAccesses(),
                current == null ? wasRamUnshared : current.isRamUnshared(),
                current == null ? 0 : current.messageCount(),
                current == null ? 0 : current.receiveCount(),
                current == null ? 0 : current.sendCount(),
                current == null ? 0 : current.errorCount(),
                current == null ? "none" : current.lastError(),
                lastReason);
    }
}
