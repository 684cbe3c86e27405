// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import org.ioasis.memory.Count;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Mapping;

/**
 * What one peer and its device have with each other, from its first message to the release of
 * everything it gave us, whatever it speaks. Loop thread, but for the counters.
 *
 * <p>Order: messages are handled one after the other, and answers leave in that order. While what
 * one asks for takes time, nothing further is read, so that what the peer sent after it cannot
 * overtake it. How long that may be is bounded by the guards' and leases' own bounds, and by those
 * of who listens.
 *
 * @param <H> the header of a message
 */
public abstract class PeerSession<H> {
    /** Messages handled before the loop's other descriptors have their turn. */
    public static final int MESSAGES_PER_TURN = 64;

    private enum State {
        READY,
        /** The last message is not done yet. */
        WAITING,
        ENDED
    }

    /** Something of the session's that can end it. */
    protected interface Work {
        void run() throws ProtocolException, ErrnoException;
    }

    private final MessageStream<H> stream;
    private final SharedMemory memory;
    private final SessionHost host;

    /** What runs on after {@link #end}: the waits for memory to become unused. */
    private int releasing;

    private boolean isBusy;

    /** What the last message has asked for is enough for one turn. */
    private boolean isTurnOver;

    private State state = State.READY;
    private String reason = "";
    private final Count messages = new Count();
    private final Count errors = new Count();
    private String lastError = "none";
    private boolean wasRamUnshared;

    /**
     * @param stream this session's alone
     * @param memory this session's alone
     */
    protected PeerSession(MessageStream<H> stream, SharedMemory memory, SessionHost host) {
        this.stream = stream;
        this.memory = memory;
        this.host = host;
    }

    // What a protocol has of its own.

    /** A message has come, with its descriptors; they are closed afterwards. */
    protected abstract void handle(H header) throws ProtocolException, ErrnoException;

    /** The session ends: nothing new of the device's begins. Its memory may be gone. */
    protected abstract void resetDevice();

    /** The session ends: the peer is not notified any more, and what it gave for that is closed. */
    protected abstract void closeNotifiers();

    /** Runs {@code task}, perhaps at once, when nothing goes by what was before the reset. */
    protected abstract void whenSettled(Runnable task);

    // Turns.

    /** Which events of its channel matter now. */
    public final int interest() {
        int output = stream.hasOutput() ? Epoll.OUT : 0;
        return switch (state) {
            case READY -> stream.isHeldUp() ? output : Epoll.IN | output;
            case WAITING -> output;
            case ENDED -> 0;
        };
    }

    /** Its channel is ready for {@code events}. */
    public final void ready(int events) {
        guarded(() -> {
            if ((events & Epoll.OUT) != 0) {
                stream.flush();
            }
            if (state == State.WAITING || stream.isHeldUp()) {
                if ((events & (Epoll.HUP | Epoll.ERR)) != 0) {
                    throw new ProtocolException(stream.closed() + " while its message was waiting");
                }
            } else if ((events & (Epoll.IN | Epoll.HUP | Epoll.ERR)) != 0) {
                receive();
            }
        });
    }

    private void guarded(Work work) {
        try {
            work.run();
            Mapping.raiseLate();
        } catch (ProtocolException | ErrnoException e) {
            end(String.valueOf(e.getMessage()));
        } catch (InternalError e) {
            // A page of a mapping is gone: the peer has truncated its file. It may be raised later
            // than the access, so whatever this turn read is dropped with the session.
            end(SharedMemory.GONE + e.getMessage());
        }
    }

    private void receive() throws ProtocolException, ErrnoException {
        isBusy = true;
        isTurnOver = false;
        for (int i = 0; i < MESSAGES_PER_TURN && !isTurnOver; i++) {
            boolean isReading = state == State.READY && !stream.isHeldUp();
            H header = isReading ? stream.receive() : null;
            if (header == null) {
                isBusy = false;
                return;
            }
            messages.increment();
            try {
                handle(header);
            } finally {
                stream.closeFds();
            }
        }
    }

    /** The message takes so long that no other is handled in this turn of the loop. */
    protected final void endTurn() {
        isTurnOver = true;
    }

    /**
     * True if there may be more to handle than the last turn had time for; that is known in the
     * turn after it, so it is said once.
     */
    final boolean takeBusy() {
        boolean wasBusy = isBusy;
        isBusy = false;
        return wasBusy;
    }

    // Waits.

    /**
     * What follows is perhaps done later, and in any case: until {@link #done} nothing further is
     * read, and the session is not released.
     */
    protected final void begin() {
        pause();
        releasing++;
    }

    /** What was begun is done. Perhaps long after its message, perhaps after the end. */
    protected final void done(Work then) {
        releasing--;
        if (state == State.ENDED) {
            checkReleased();
        } else {
            goOn(then);
        }
    }

    /** What was begun has failed, and will not be done; unless it is done already. */
    protected final void takeBack() {
        if (state == State.WAITING) {
            state = State.READY;
            releasing--;
        }
    }

    /** Nothing further is read until the session {@linkplain #goOn goes on}, or its end. */
    protected final void pause() {
        state = State.WAITING;
    }

    /** Goes on after a {@link #pause}. Before the end. */
    protected final void goOn(Work then) {
        state = State.READY;
        guarded(then);
        host.interestChanged();
    }

    // Refusals.

    /** A message is answered with an error, for that reason. */
    protected final void answeredWithError(String why) {
        errors.increment();
        lastError = why;
    }

    /** Tells the operator if it is a limit that the peer has met. */
    protected final void report(SharedMemory.Refusal refusal) {
        boolean isLimit =
                switch (refusal.errno()) {
                    case Errno.ENOSPC, Errno.ENOMEM, Errno.EMFILE, Errno.ENFILE -> true;
                    default -> false;
                };
        if (isLimit) {
            host.limitReached(refusal.why());
        }
    }

    // The end.

    /**
     * Ends it, whatever its state; twice is fine. The device is reset first, so that nothing new
     * begins; descriptors and the channel are closed; the memory goes when nobody uses it any more.
     */
    public final void end(String why) {
        if (state == State.ENDED) {
            return;
        }
        state = State.ENDED;
        reason = why;
        isBusy = false;
        releasing += 2;
        RuntimeException failure = null;
        try {
            resetDevice();
        } catch (InternalError e) {
            reason = why + "; its memory was gone at the reset";
        } catch (RuntimeException e) {
            failure = e;
        }
        closeNotifiers();
        stream.close();
        wasRamUnshared = memory.view().isRamUnshared();
        whenSettled(this::oneReleased);
        memory.removeAll(this::oneReleased);
        if (failure != null) {
            throw failure;
        }
    }

    private void oneReleased() {
        releasing--;
        checkReleased();
    }

    private void checkReleased() {
        if (releasing == 0) {
            host.released();
        }
    }

    /** True from its end on; its memory may still be in use. */
    public final boolean hasEnded() {
        return state == State.ENDED;
    }

    /** Why it ended; empty while it has not. */
    public final String reason() {
        return reason;
    }

    /** True if its end is nobody's fault: the peer has just gone, as all do in the end. */
    final boolean hasGone() {
        return reason.equals(stream.closed());
    }

    // What is shown.

    /** True if the peer did not share the guest's RAM when it was last there. */
    final boolean isRamUnshared() {
        return state == State.ENDED ? wasRamUnshared : memory.view().isRamUnshared();
    }

    /** Messages handled. Any thread. */
    public final long messageCount() {
        return messages.read();
    }

    /** Calls of the system that have read from the channel. Any thread. */
    final long receiveCount() {
        return stream.receives();
    }

    /** Calls that have written to it. Any thread. */
    final long sendCount() {
        return stream.sends();
    }

    /** Of the messages those that were answered with an error. Any thread. */
    final long errorCount() {
        return errors.read();
    }

    /** Why the last of those was, or {@code none}. */
    final String lastError() {
        return lastError;
    }
}
