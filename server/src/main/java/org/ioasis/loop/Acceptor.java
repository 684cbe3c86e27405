// SPDX-License-Identifier: Apache-2.0
package org.ioasis.loop;

import java.nio.file.Path;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.UnixListener;
import org.ioasis.sys.UnixSocket;
import org.jspecify.annotations.Nullable;

/**
 * A listening socket on a loop: says when a client waits, and takes it. When there is no descriptor
 * for a client it stays in the queue, and so would its event; the socket is then left alone for a
 * while, so that the loop does not spin.
 *
 * <p>Loop thread, or the thread that builds what the loop serves before it starts.
 */
public final class Acceptor implements AutoCloseable {
    /** Whom the clients are for. */
    public interface Clients {
        /**
         * A client waits, or has waited: {@link Acceptor#next} takes it. Comes again each turn
         * until that is done or {@link Acceptor#pause} is.
         */
        void arrived();

        /** No client comes any more: an invariant of ours is broken. The socket is closed. */
        void failed(Throwable cause);
    }

    /** Takes a client that waits; null if none does. */
    @FunctionalInterface
    interface Source {
        @Nullable UnixSocket take() throws ErrnoException;
    }

    static final long RETRY_NANOS = 100_000_000L;

    private final EventLoop loop;
    private final UnixListener listener;
    private final Source source;
    private final Clients clients;
    private EventLoop.@Nullable Registration registration;
    private boolean isPaused;
    private boolean isRetrying;
    private volatile String lastError = "";

    /**
     * Listens from {@link #listen} on.
     *
     * @param listener closed with this one
     */
    public Acceptor(EventLoop loop, UnixListener listener, Clients clients) {
        this(loop, listener, listener::accept, clients);
    }

    /** With another way to take what the listener says has come. */
    Acceptor(EventLoop loop, UnixListener listener, Source source, Clients clients) {
        this.loop = loop;
        this.listener = listener;
        this.source = source;
        this.clients = clients;
    }

    /** Where clients connect. Any thread. */
    public Path path() {
        return listener.path();
    }

    /** Why a client could not be taken, the last time; empty if that never was. Any thread. */
    public String lastError() {
        return lastError;
    }

    /** Waits for clients from now on. */
    public void listen() throws ErrnoException {
        registration =
                loop.register(
                        listener.fd(),
                        Epoll.IN,
                        new EventHandler() {
                            @Override
                            public void ready(int events) {
                                // After the descriptors of this turn: when the next client comes,
                                // we may not have seen yet that the last one is gone.
                                EventLoop.Timer _ =
                                        loop.schedule(loop.nanoTime(), Acceptor.this::arrived);
                            }

                            @Override
                            public void failed(Throwable cause) {
                                close();
                                clients.failed(cause);
                            }
                        });
    }

    private void arrived() {
        if (registration != null && !isPaused) {
            clients.arrived();
        }
    }

    /** The client that waits; null if there is none, or nothing to serve it with. */
    public @Nullable UnixSocket next() {
        try {
            return source.take();
        } catch (ErrnoException e) {
            lastError = "cannot accept: " + e.getMessage();
            isRetrying = true;
            followInterest();
            EventLoop.Timer _ = loop.schedule(loop.nanoTime() + RETRY_NANOS, this::retry);
            return null;
        }
    }

    private void retry() {
        isRetrying = false;
        followInterest();
    }

    /** Clients wait in the queue from now on. */
    public void pause() {
        isPaused = true;
        followInterest();
    }

    /** They are told of again. Twice is fine. */
    public void resume() {
        isPaused = false;
        followInterest();
    }

    private void followInterest() {
        EventLoop.Registration active = registration;
        if (active != null) {
            active.events(isPaused || isRetrying ? 0 : Epoll.IN);
        }
    }

    /** Ends the listening and removes the socket. Twice is fine. */
    @Override
    public void close() {
        EventLoop.Registration active = registration;
        registration = null;
        if (active != null) {
            active.cancel();
        }
        listener.close();
    }
}
