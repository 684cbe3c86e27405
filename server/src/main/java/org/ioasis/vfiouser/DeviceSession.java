// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.ioasis.spec.VfioUser.*;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.ioasis.loop.EventHandler;
import org.ioasis.loop.EventLoop;
import org.ioasis.peer.ProtocolException;
import org.ioasis.peer.SessionBoundary;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.jspecify.annotations.Nullable;

/**
 * One session with a device server, as its VMM: commands go there in order and their answers come
 * back, and what the device asks of memory is {@linkplain DmaService done here}. The server is
 * believed nothing: what it answers must have been asked, and be answered in time. Loop thread.
 *
 * <p>Over two sockets commands follow each other without waiting. Over one, where a server that
 * waits for memory would meet a command of ours in the place of its answer, there is one at a time.
 */
final class DeviceSession {
    /** Commands that wait for their answers at a time. */
    static final int IN_FLIGHT_MAX = 64;

    /** How long a message of the device's may wait for memory that the VMM has taken away. */
    static final long ABSENT_NANOS = TimeUnit.SECONDS.toNanos(2);

    /** Hears of the end. */
    @FunctionalInterface
    interface Ended {
        /**
         * @param unanswered what was asked and has no answer, in order: whoever hears this sees to
         *     it that each of them has its end
         */
        void ended(List<Command> unanswered);
    }

    private final EventLoop loop;
    private final SessionBoundary boundary;
    private final DmaService dma;
    private final long answerNanos;
    private final Ended ended;
    private final int inFlightMax;
    private final Lane main;
    private final @Nullable Lane twin;
    private final ArrayDeque<Command> queue = new ArrayDeque<>();
    private final ArrayDeque<Command> inFlight = new ArrayDeque<>();
    private int nextId;
    private String reason = "";

    /**
     * Begins; nothing has been asked yet.
     *
     * @param connection taken over
     * @param boundary of the session with the VMM, whose memory it is
     * @param answerNanos how long an answer may take
     * @param ended runs once, when the session has ended by itself: {@link #reason} says why
     * @throws ErrnoException what it has given us for a socket cannot be waited for; all is closed
     */
    DeviceSession(
            EventLoop loop,
            DeviceConnection connection,
            SessionBoundary boundary,
            DmaService dma,
            long answerNanos,
            Ended ended)
            throws ErrnoException {
        this.loop = loop;
        this.boundary = boundary;
        this.dma = dma;
        this.answerNanos = answerNanos;
        this.ended = ended;
        inFlightMax = connection.twin() == null ? 1 : IN_FLIGHT_MAX;
        main = new Lane(new DeviceStream(connection.commands()));
        twin = connection.twin() == null ? null : new Lane(new DeviceStream(connection.twin()));
        boolean isRegistered = false;
        try {
            main.register();
            if (twin != null) {
                twin.register();
            }
            isRegistered = true;
        } finally {
            if (!isRegistered) {
                closeLanes();
            }
        }
    }

    /** One socket with what waits there. */
    private final class Lane implements EventHandler {
        private final DeviceStream stream;
        private EventLoop.@Nullable Registration registration;

        /** The next message asks for memory that is absent, since then. */
        private boolean isHeld;

        private long heldNanos;

        /** Messages have come that wait: for that, or for room for their answers. */
        private boolean isBehind;

        Lane(DeviceStream stream) {
            this.stream = stream;
        }

        void register() throws ErrnoException {
            registration = loop.register(stream.fd(), Epoll.IN, this);
        }

        @Override
        public void ready(int events) {
            boundary.run(() -> {
                if (isHeld && (events & (Epoll.HUP | Epoll.ERR)) != 0) {
                    // It would be told at each turn until the memory is back.
                    end("it has closed");
                } else {
                    turn((events & (Epoll.IN | Epoll.HUP | Epoll.ERR)) != 0);
                }
            });
        }

        @Override
        public void failed(Throwable cause) {
            boundary.failed(cause);
        }

        /** Takes what has come, as far as there is room for answers. */
        void turn(boolean isReadable) {
            try {
                stream.flush();
                if (isReadable && !isBehind) {
                    stream.fill();
                }
                do {
                    isBehind = isHeld || takeAll();
                    stream.flush();
                    // What waited for room has it now, and nothing will tell: the rest at once.
                } while (isBehind && !isHeld && !stream.hasOutput() && !hasEnded());
                follow();
                Mapping.raiseLate();
            } catch (ProtocolException e) {
                end(String.valueOf(e.getMessage()));
            } catch (ErrnoException e) {
                end(closed(e));
            }
        }

        /** True if a message must wait. */
        private boolean takeAll() throws ProtocolException {
            try {
                while (!hasEnded()) {
                    Header header = stream.next();
                    if (header == null) {
                        return false;
                    }
                    if (header.type() == FLAGS_TYPE_REPLY) {
                        // Whoever hears of it may do anything.
                        dma.leave();
                        answered(header, this);
                    } else if (!serve(header, false)) {
                        return true;
                    } else if (!hasEnded()) {
                        stream.take(header);
                    }
                }
                return false;
            } finally {
                dma.leave();
            }
        }

        /** False if it must wait. */
        private boolean serve(Header header, boolean isLast) throws ProtocolException {
            if (header.type() != FLAGS_TYPE_COMMAND) {
                throw new ProtocolException("a message of unknown type " + header.type());
            }
            if (!stream.hasRoom(DeviceStream.MESSAGE_MAX)) {
                return false;
            }
            if (header.command() != VFIO_USER_DMA_READ && header.command() != VFIO_USER_DMA_WRITE) {
                dma.refuse(header, stream);
                return true;
            }
            isHeld = !dma.serve(header, stream.input(), stream.at(), stream, isLast);
            if (isHeld && heldNanos == 0) {
                heldNanos = Math.max(1, loop.nanoTime());
            } else if (!isHeld) {
                heldNanos = 0;
            }
            return !isHeld;
        }

        /** Waits for what matters now. */
        private void follow() {
            EventLoop.Registration current = registration;
            if (current != null) {
                current.events((isBehind ? 0 : Epoll.IN) | (stream.hasOutput() ? Epoll.OUT : 0));
            }
        }

        /** Memory has come, or will not. */
        void retry(boolean isLast) {
            if (!isHeld) {
                return;
            }
            isHeld = false;
            if (isLast) {
                try {
                    Header header = stream.next();
                    if (header != null && serve(header, true)) {
                        stream.take(header);
                    }
                } catch (ProtocolException e) {
                    end(String.valueOf(e.getMessage()));
                } finally {
                    dma.leave();
                }
            }
            if (!hasEnded()) {
                turn(false);
            }
        }

        void close() {
            if (registration != null) {
                registration.cancel();
                registration = null;
            }
            stream.close();
        }
    }

    boolean hasEnded() {
        return !reason.isEmpty();
    }

    /** Why it has ended; empty while it has not. */
    String reason() {
        return reason;
    }

    // Commands.

    /** Sends a command when those before it are on their way; its reply may come at once. */
    void submit(Command command) {
        if (hasEnded()) {
            command.fail(Errno.EIO);
            return;
        }
        command.waitsSince(loop.nanoTime());
        queue.add(command);
        pump();
    }

    /** Whether a command without an answer can be told from one that has it. */
    boolean takesPosted() {
        return twin != null;
    }

    private void pump() {
        try {
            while (!queue.isEmpty() && inFlight.size() < inFlightMax) {
                Command command = queue.getFirst();
                if (!main.stream.hasRoom(command.size())) {
                    break;
                }
                if (command.hasFd()) {
                    main.stream.flush();
                    if (main.stream.hasOutput()) {
                        break;
                    }
                }
                queue.removeFirst();
                send(command);
            }
            main.stream.flush();
            main.follow();
        } catch (ErrnoException e) {
            end(closed(e));
        }
    }

    private static String closed(ErrnoException e) {
        return e.errno() == Errno.EPIPE || e.errno() == Errno.ECONNRESET
                ? "it has closed"
                : String.valueOf(e.getMessage());
    }

    private void send(Command command) {
        Fd fd;
        try {
            fd = command.takeFd();
        } catch (ErrnoException e) {
            command.fail(e.errno());
            return;
        }
        nextId = (nextId + 1) & 0xffff;
        command.write(main.stream.output(), main.stream.end(), nextId);
        if (fd == null) {
            main.stream.put(command.size());
        } else {
            main.stream.put(command.size(), fd);
        }
        if (command.isPosted()) {
            command.posted();
        } else {
            command.waitsSince(loop.nanoTime());
            inFlight.add(command);
        }
    }

    private void answered(Header header, Lane lane) throws ProtocolException {
        Command found = null;
        // Where the server asks, it answers nothing.
        Iterator<Command> all = lane == main ? inFlight.iterator() : Collections.emptyIterator();
        while (all.hasNext() && found == null) {
            Command one = all.next();
            if (one.id() == header.id()) {
                found = one;
                all.remove();
            }
        }
        if (found == null) {
            throw new ProtocolException(
                    "an answer to nothing that was asked: id %d of command %d"
                            .formatted(header.id(), header.command()));
        }
        try {
            found.answer(header, lane.stream.input(), lane.stream.at());
        } catch (ProtocolException lie) {
            inFlight.addFirst(found); // fails with the others, when the session has its end
            throw lie;
        }
        if (!hasEnded()) {
            lane.stream.take(header);
            pump();
        }
    }

    // Time.

    /** Whether something waits that may not wait for ever. */
    boolean needsTick() {
        return !inFlight.isEmpty()
                || !queue.isEmpty()
                || main.isHeld
                || (twin != null && twin.isHeld);
    }

    void tick(long nowNanos) {
        Command oldest = inFlight.isEmpty() ? queue.peek() : inFlight.getFirst();
        if (oldest != null && nowNanos - oldest.sinceNanos() > answerNanos) {
            end(
                    "no answer to %s within %d ms"
                            .formatted(oldest.name(), TimeUnit.NANOSECONDS.toMillis(answerNanos)));
            return;
        }
        tick(main, nowNanos);
        if (twin != null) {
            tick(twin, nowNanos);
        }
    }

    private static void tick(Lane lane, long nowNanos) {
        if (lane.isHeld && nowNanos - lane.heldNanos > ABSENT_NANOS) {
            lane.retry(true);
        }
    }

    /** What the device asked of memory that was absent is tried again. */
    void memoryChanged() {
        main.retry(false);
        if (twin != null && !hasEnded()) {
            twin.retry(false);
        }
    }

    // The end.

    private void end(String why) {
        if (!hasEnded()) {
            ended.ended(shut(why));
        }
    }

    /** Ends the session from our side. What is on its way fails. Twice is fine. */
    void close(String why) {
        if (!hasEnded()) {
            shut(why).forEach(command -> command.fail(Errno.EIO));
        }
    }

    /** What has no answer yet. */
    private List<Command> shut(String why) {
        reason = why;
        dma.leave();
        closeLanes();
        List<Command> unanswered = new ArrayList<>(inFlight);
        unanswered.addAll(queue);
        inFlight.clear();
        queue.clear();
        return unanswered;
    }

    private void closeLanes() {
        main.close();
        if (twin != null) {
            twin.close();
        }
    }

    /** Calls of the system for all messages so far. */
    long callCount() {
        return main.stream.calls() + (twin == null ? 0 : twin.stream.calls());
    }
}
