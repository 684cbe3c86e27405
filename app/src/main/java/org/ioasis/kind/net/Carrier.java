// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.net;

import java.io.Closeable;
import java.lang.foreign.MemorySegment;
import org.ioasis.loop.EventHandler;
import org.ioasis.loop.EventLoop;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.ErrnoException;
import org.ioasis.virtio.net.Link;
import org.ioasis.virtio.net.Station;
import org.jspecify.annotations.Nullable;

/**
 * A link over a descriptor that the machine's loop watches: what is the same whoever carries the
 * frames. Their other side is not trusted: it may send anything, or nothing, or take nothing. When
 * it goes the link is down and stays so.
 *
 * <p>Made and closed by the machine's builder, the latter when the loop has ended; else loop
 * thread.
 */
public abstract class Carrier implements Link, EventHandler, Closeable {
    /** The guest's side waits to be told of room. */
    private boolean isAwaited;

    private boolean isDown;
    private @Nullable Station station;
    private EventLoop.@Nullable Registration registration;

    Carrier() {}

    /** The descriptor to watch. */
    abstract int fd();

    /**
     * Takes what has come, as much as suits one turn of the loop.
     *
     * @throws ErrnoException the other side is gone
     */
    abstract void receive() throws ErrnoException;

    /** Something that was taken is not sent yet. */
    abstract boolean isFull();

    /**
     * Sends what is left.
     *
     * @throws ErrnoException the other side is gone
     */
    abstract void flush() throws ErrnoException;

    /**
     * Takes a frame, while not full.
     *
     * @throws ErrnoException the other side is gone
     */
    abstract Sent take(MemorySegment frame, int length) throws ErrnoException;

    /** Drops what is not sent yet. Works twice. */
    @Override
    public abstract void close();

    /** Who carries the frames, for people, as it stands in a configuration. */
    public abstract String description();

    /** Begins when the loop does. Any thread. */
    public final void begin(EventLoop loop, Station guest) {
        loop.execute(() -> {
            station = guest;
            try {
                registration = loop.register(fd(), Epoll.IN, this);
            } catch (ErrnoException e) {
                // No more descriptors can be watched: the guest sees a link without a carrier.
                end();
            }
        });
    }

    /** False when the other side is gone. */
    public final boolean isUp() {
        return !isDown;
    }

    @Override
    public final Sent send(MemorySegment frame, int length) {
        if (isDown) {
            return Sent.LOST;
        }
        if (isFull()) {
            isAwaited = true;
            return Sent.FULL;
        }
        try {
            Sent sent = take(frame, length);
            watch();
            return sent;
        } catch (ErrnoException e) {
            end();
            return Sent.LOST;
        }
    }

    @Override
    public final void ready(int events) {
        try {
            if ((events & Epoll.OUT) != 0) {
                flush();
                watch();
            }
            if ((events & ~Epoll.OUT) != 0) {
                receive();
            }
        } catch (ErrnoException e) {
            end();
        }
        if (isAwaited && (isDown || !isFull())) {
            isAwaited = false;
            guest().writable();
        }
    }

    private void watch() {
        EventLoop.Registration watched = registration;
        if (watched != null) {
            watched.events(isFull() ? Epoll.IN | Epoll.OUT : Epoll.IN);
        }
    }

    final Station guest() {
        Station guest = station;
        if (guest == null) {
            throw new IllegalStateException("not begun");
        }
        return guest;
    }

    /** The link is down from now on. */
    final void end() {
        if (isDown) {
            return;
        }
        isDown = true;
        EventLoop.Registration watched = registration;
        if (watched != null) {
            watched.cancel();
        }
        close();
        guest().link(false);
    }

    @Override
    public final void failed(Throwable cause) {
        end();
    }
}
