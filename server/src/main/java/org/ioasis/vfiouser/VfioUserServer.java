// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

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
import org.ioasis.pci.PciDevice;
import org.ioasis.pci.ServedFunction;
import org.ioasis.peer.Journal;
import org.ioasis.peer.MemoryView;
import org.ioasis.peer.Served;
import org.ioasis.peer.ServedInfo;
import org.ioasis.peer.SessionBoundary;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.UnixListener;
import org.ioasis.sys.UnixSocket;
import org.jspecify.annotations.Nullable;

/**
 * Offers one PCI device at a socket. One client at a time: a second one is let in and closed at
 * once, so that it knows. When a client goes, the function is reset, its memory is given back, and
 * the next one is served.
 *
 * <p>Made and closed by any thread; works on the loop's.
 */
public final class VfioUserServer implements Served, Acceptor.Clients {
    private static final System.Logger LOG = System.getLogger("org.ioasis.vfiouser");
    private static final long CLOSE_NANOS = 5_000_000_000L;

    private final EventLoop loop;
    private final PciDevice function;
    private final ServedFunction turns;
    private final GuestMemory memory;
    private final SessionLimits limits;
    private final StreamBuffers buffers;
    private final Journal journal;
    private final Acceptor acceptor;
    private final CountDownLatch closed = new CountDownLatch(1);
    private EventLoop.@Nullable Registration connected;
    private @Nullable Ticker ticker;

    /** The client being served, or whose memory is still in use. */
    private volatile @Nullable Session session;

    /** Whose session it is, or was the last one. */
    private String peer = "";

    private boolean isClosing;
    private final AtomicInteger sessions = new AtomicInteger();
    private final AtomicInteger refused = new AtomicInteger();
    private volatile String lastReason = "";
    private boolean wasRamUnshared;

    /**
     * Makes the socket and serves from now on.
     *
     * @param memory the function's guest memory; belongs to the clients of this server alone
     * @throws ErrnoException EADDRINUSE: somebody listens at {@code socket}; and what else bind(2)
     *     says
     */
    public VfioUserServer(
            EventLoop loop,
            Path socket,
            PciDevice function,
            GuestMemory memory,
            SessionLimits limits)
            throws ErrnoException {
        this(loop, socket, function, memory, limits, LOG);
    }

    VfioUserServer(
            EventLoop loop,
            Path socket,
            PciDevice function,
            GuestMemory memory,
            SessionLimits limits,
            System.Logger log)
            throws ErrnoException {
        this.loop = loop;
        this.function = function;
        this.memory = memory;
        this.limits = limits;
        this.buffers = new StreamBuffers(limits.outputBytes());
        turns = new ServedFunction(loop, function, new SessionBoundary(this));
        this.journal = new Journal(log, loop::nanoTime);
        function.reports(what -> journal.say(Level.WARNING, () -> path() + ": " + what));
        this.acceptor = new Acceptor(loop, UnixListener.bind(socket), this);
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

    @Override
    public Path path() {
        return acceptor.path();
    }

    private void listen() {
        if (isClosing) {
            return;
        }
        try {
            ticker = turns.ticker(this::needsTick);
            acceptor.listen();
        } catch (ErrnoException e) {
            throw new IllegalStateException("cannot wait for clients at " + path(), e);
        }
    }

    @Override
    public void arrived() {
        Session current = session;
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
            journal.say(
                    Level.WARNING,
                    () ->
                            "%s: %s is refused: %s is being served"
                                    .formatted(path(), socket.peer(), peer));
            socket.close();
            return;
        }
        begin(socket);
    }

    @Override
    public void failed(Throwable cause) {
        lastReason = "listener failed: " + cause;
    }

    private void begin(UnixSocket socket) {
        sessions.incrementAndGet();
        peer = socket.peer();
        journal.say(Level.INFO, () -> path() + ": a session begins with " + peer);
        Session begun =
                new Session(
                        new SocketChannel(socket),
                        function,
                        memory,
                        limits,
                        buffers,
                        loop::execute,
                        why -> journal.say(Level.WARNING, () -> path() + ": refused: " + why),
                        this::updateSession,
                        this::released);
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
                                    update(begun);
                                }

                                @Override
                                public void failed(Throwable cause) {
                                    begun.end("internal error: " + cause);
                                }
                            });
        } catch (ErrnoException e) {
            begun.end("cannot wait for the client: " + e.getMessage());
            return;
        }
    }

    /** The socket of a session. Its registration ends before its descriptor does. */
    private final class SocketChannel implements Channel {
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
        public int send(MemorySegment buffer, long offset, int length) throws ErrnoException {
            return socket.send(buffer, offset, length, List.of());
        }

        @Override
        public void close() {
            EventLoop.Registration registration = connected;
            if (registration != null) {
                registration.cancel();
                connected = null;
            }
            socket.close();
        }
    }

    private boolean needsTick() {
        Session current = session;
        return current != null && !current.hasEnded() && function.needsTick();
    }

    private void updateSession() {
        Session current = session;
        if (current != null) {
            update(current);
        }
    }

    private void update(Session current) {
        EventLoop.Registration registration = connected;
        if (registration != null) {
            registration.events(current.interest());
        }
    }

    private void released() {
        Session ended = session;
        if (ended != null) {
            lastReason = ended.reason();
            // What is nobody's fault happens all the time.
            Level level =
                    isClosing || lastReason.equals(MessageStream.CLIENT_CLOSED)
                            ? Level.INFO
                            : Level.WARNING;
            journal.say(
                    level,
                    () ->
                            "%s: the session with %s has ended: %s"
                                    .formatted(path(), peer, lastReason));
            wasRamUnshared = ended.isRamUnshared();
        }
        session = null;
        acceptor.resume();
        if (isClosing) {
            closed.countDown();
        }
    }

    @Override
    public void endSession(String why) {
        Session current = session;
        if (current != null) {
            current.end(why);
        }
    }

    /** Why the last session ended; empty before the first end. Any thread. */
    public String lastReason() {
        return lastReason;
    }

    @Override
    public int sessionCount() {
        return sessions.get();
    }

    /** Clients that were turned away because one was being served. Any thread. */
    public int refusedCount() {
        return refused.get();
    }

    @Override
    public boolean hasSession() {
        return session != null;
    }

    /**
     * Ends the session and the listening, and waits until the client's memory is given back; five
     * seconds at most, and not at all on the loop thread. Before the loop is closed. Twice is fine.
     */
    @Override
    public void close() {
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
        Session current = session;
        if (current == null) {
            closed.countDown();
        } else {
            current.end("server closed");
        }
    }

    @Override
    public ServedInfo info() {
        Session current = session;
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
