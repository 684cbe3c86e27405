// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.memory.Count;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.jspecify.annotations.Nullable;

/**
 * The bytes of a session as whole messages, both ways, whatever is spoken. Loop thread only.
 *
 * <p>Never reads past the end of a message: descriptors come with the bytes they were sent with, so
 * those that came with these bytes belong to this message.
 *
 * @param <H> the header of a message
 */
public final class MessageStream<H> {
    /** How a protocol's messages begin, and where they end. No state; any thread. */
    public interface Framing<H> {
        /** What the protocol calls a peer: for the reason of a session's end. */
        String peer();

        /** Bytes that each message begins with. */
        int headerBytes();

        /**
         * The header in the first bytes of {@code in}.
         *
         * @throws ProtocolException one after which the stream makes no sense any more
         */
        H header(MemorySegment in) throws ProtocolException;

        /**
         * Bytes of a message, its header included: at least that, and what buffers hold at most.
         */
        int messageBytes(H header);

        /** Most descriptors with one message. */
        int fdsMax();
    }

    /**
     * Most replies with descriptors that a peer may leave unread. The kernel keeps the descriptors
     * open for it and counts them as ours: with as many as a process may have, nobody of this user
     * could send any more (unix(7), ETOOMANYREFS).
     */
    public static final int UNREAD_WITH_FDS_MAX = 16;

    private final PeerChannel channel;
    private final Framing<H> framing;
    private final StreamBuffers buffers;
    private final int outputBytes;
    private final MemorySegment input;
    private final MemorySegment reply;
    private final MemorySegment output;
    private int inputBytes;
    private int outputFirst;
    private int outputEnd;

    /** What of the large reply the peer has not taken; it goes behind the output. */
    private int largeFirst;

    private int largeEnd;

    /** Descriptors that go with the byte at {@link #fdsAt} of the output; empty if none wait. */
    private final ArrayList<Fd> outputFds = new ArrayList<>();

    private int fdsAt;

    /** Replies with descriptors since the peer was last known to have received everything. */
    private int unreadWithFds;

    /** The descriptors of these. */
    private int unreadFds;

    private final ArrayList<Fd> fds = new ArrayList<>();
    private @Nullable H header;
    private final Count receives = new Count();
    private final Count sends = new Count();

    /**
     * @param buffers this stream's alone until it is closed
     */
    public MessageStream(PeerChannel channel, StreamBuffers buffers, Framing<H> framing) {
        this.channel = channel;
        this.framing = framing;
        this.buffers = buffers;
        buffers.clear();
        input = buffers.input();
        reply = buffers.reply();
        output = buffers.output();
        outputBytes = (int) output.byteSize();
    }

    // Input.

    /** Reads on until a message is complete, and returns its header; null if more must come. */
    @Nullable H receive() throws ProtocolException, ErrnoException {
        while (true) {
            H known = header;
            int wanted = known == null ? framing.headerBytes() : framing.messageBytes(known);
            if (inputBytes == wanted) {
                if (known != null) {
                    inputBytes = 0;
                    header = null;
                    return known;
                }
                header = framing.header(input);
                continue;
            }
            receives.increment();
            int n = channel.receive(input, inputBytes, wanted - inputBytes, fds);
            if (n == -Errno.EAGAIN) {
                return null;
            }
            if (n <= 0) {
                throw new ProtocolException(
                        inputBytes == 0
                                ? closed()
                                : closed() + " after " + inputBytes + " bytes of a message");
            }
            inputBytes += n;
            if (fds.size() > framing.fdsMax()) {
                throw new ProtocolException(fds.size() + " descriptors with one message");
            }
        }
    }

    /** Why a session ends whose peer has just gone, as all do in the end. */
    String closed() {
        return framing.peer() + " closed";
    }

    /** The message that was received last, until the next is. */
    public MemorySegment input() {
        return input;
    }

    /** The descriptors that came with it; closed by {@link #closeFds}. */
    public List<Fd> fds() {
        return fds;
    }

    void closeFds() {
        for (int i = 0; i < fds.size(); i++) {
            fds.get(i).close();
        }
        fds.clear();
    }

    // Output.

    /** Where the next reply is written. */
    public MemorySegment reply() {
        return reply;
    }

    /**
     * As {@link #send(int)}, with at least one descriptor. One reply that has some can wait for
     * room, and {@link #UNREAD_WITH_FDS_MAX} for the peer.
     *
     * @param fds are taken over, also by a failure
     */
    public void send(int size, List<Fd> fds) throws ProtocolException, ErrnoException {
        boolean isTaken = false;
        try {
            if (!outputFds.isEmpty() || leavesTooManyUnread()) {
                throw unread();
            }
            isTaken = true;
        } finally {
            if (!isTaken) {
                fds.forEach(Fd::close);
            }
        }
        unreadWithFds++;
        unreadFds += fds.size();
        outputFds.addAll(fds);
        fdsAt = outputEnd;
        send(size);
    }

    private boolean leavesTooManyUnread() throws ErrnoException {
        if (channel.unread() == 0) {
            unreadWithFds = 0;
            unreadFds = 0;
        }
        return unreadWithFds == UNREAD_WITH_FDS_MAX;
    }

    private ProtocolException unread() {
        return new ProtocolException(framing.peer() + " does not read its replies");
    }

    /** The same for one of {@code size} bytes, which may be a large one. */
    public MemorySegment reply(int size) {
        return isLarge(size) ? buffers.large() : reply;
    }

    private boolean isLarge(int size) {
        return size > reply.byteSize();
    }

    /** True while a large reply waits for the peer: nothing further is to be read. */
    boolean isHeldUp() {
        return largeEnd > largeFirst;
    }

    /**
     * Sends the {@code size} bytes of the reply, or keeps what the peer has no room for. A large
     * one is kept where it is, so that nothing follows it until the peer has taken it.
     */
    public void send(int size) throws ProtocolException, ErrnoException {
        if (isHeldUp()) {
            throw new IllegalStateException("a reply behind one that nothing follows");
        }
        if (isLarge(size)) {
            largeFirst = 0;
            largeEnd = size;
            flush();
            return;
        }
        int kept = outputEnd - outputFirst;
        if (kept + size > outputBytes) {
            throw unread();
        }
        if (outputEnd + size > outputBytes) {
            MemorySegment.copy(output, outputFirst, output, 0, kept);
            fdsAt -= outputFirst;
            outputFirst = 0;
            outputEnd = kept;
        }
        MemorySegment.copy(reply, 0, output, outputEnd, size);
        outputEnd += size;
        flush();
    }

    /** True while the peer has not taken everything. */
    boolean hasOutput() {
        return outputEnd > outputFirst || isHeldUp();
    }

    void flush() throws ErrnoException {
        while (outputFirst < outputEnd) {
            sends.increment();
            // They are the message's that they were sent with: none goes with an earlier byte.
            boolean isBefore = !outputFds.isEmpty() && outputFirst < fdsAt;
            int end = isBefore ? fdsAt : outputEnd;
            List<Fd> with = isBefore ? List.of() : outputFds;
            int n = channel.send(output, outputFirst, end - outputFirst, with);
            if (n == -Errno.EAGAIN) {
                return;
            }
            if (!isBefore) {
                closeOutputFds();
            }
            outputFirst += n;
        }
        outputFirst = 0;
        outputEnd = 0;
        flushLarge();
    }

    private void flushLarge() throws ErrnoException {
        while (isHeldUp()) {
            sends.increment();
            int n = channel.send(buffers.large(), largeFirst, largeEnd - largeFirst, List.of());
            if (n == -Errno.EAGAIN) {
                return;
            }
            largeFirst += n;
        }
    }

    private void closeOutputFds() {
        for (int i = 0; i < outputFds.size(); i++) {
            outputFds.get(i).close();
        }
        outputFds.clear();
    }

    /** Calls of the system that read, those without a result included. Any thread. */
    long receives() {
        return receives.read();
    }

    /** Calls of the system that write. Any thread. */
    long sends() {
        return sends.read();
    }

    void close() {
        closeFds();
        closeOutputFds();
        if (unreadFds == 0) {
            channel.close();
        } else {
            channel.closeUnread(unreadFds);
        }
    }
}
