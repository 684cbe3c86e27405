// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import static org.ioasis.spec.VhostUser.HEADER_SIZE;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.memory.Count;
import org.ioasis.peer.PeerChannel;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.jspecify.annotations.Nullable;

/**
 * The bytes of a session as whole messages, both ways. Loop thread only.
 *
 * <p>Never reads past the end of a message: descriptors come with the bytes they were sent with, so
 * those that came with these bytes belong to this message.
 */
final class MessageStream {
    /** Why a session ends whose front end has just gone, as all do in the end. */
    static final String CLIENT_CLOSED = "front end closed";

    /** Replies that a front end may leave unread: one waits for each before it goes on. */
    static final int OUTPUT_BYTES = 16 * Codec.MESSAGE_MAX;

    private final PeerChannel channel;
    private final MemorySegment input = Arena.ofAuto().allocate(Codec.MESSAGE_MAX, 8);
    private final MemorySegment output = Arena.ofAuto().allocate(OUTPUT_BYTES, 8);
    private int inputBytes;
    private int outputBytes;
    private final ArrayList<Fd> fds = new ArrayList<>();
    private @Nullable Header header;
    private final Count receives = new Count();
    private final Count sends = new Count();

    MessageStream(PeerChannel channel) {
        this.channel = channel;
    }

    /** Reads on until a message is complete, and returns its header; null if more must come. */
    @Nullable Header receive() throws ProtocolException, ErrnoException {
        while (true) {
            Header known = header;
            int wanted = HEADER_SIZE + (known == null ? 0 : (int) known.size());
            if (inputBytes == wanted) {
                if (known != null) {
                    inputBytes = 0;
                    header = null;
                    return known;
                }
                Header read = Codec.header(input);
                Codec.check(read);
                header = read;
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
                                ? CLIENT_CLOSED
                                : CLIENT_CLOSED + " after " + inputBytes + " bytes of a message");
            }
            inputBytes += n;
            if (fds.size() > Codec.FDS_MAX) {
                throw new ProtocolException(fds.size() + " descriptors with one message");
            }
        }
    }

    /** The message that was received last, until the next is. */
    MemorySegment input() {
        return input;
    }

    /** The descriptors that came with it; closed by {@link #closeFds}. */
    List<Fd> fds() {
        return fds;
    }

    void closeFds() {
        fds.forEach(Fd::close);
        fds.clear();
    }

    /** Where the next reply is written: {@link Codec#MESSAGE_MAX} bytes. */
    MemorySegment reply() throws ProtocolException {
        if (OUTPUT_BYTES - outputBytes < Codec.MESSAGE_MAX) {
            throw new ProtocolException("front end does not read its replies");
        }
        return output.asSlice(outputBytes, Codec.MESSAGE_MAX);
    }

    /** Sends the {@code size} bytes of the reply, or keeps what the peer has no room for. */
    void send(int size) throws ErrnoException {
        outputBytes += size;
        flush();
    }

    /** True while the front end has not taken everything. */
    boolean hasOutput() {
        return outputBytes > 0;
    }

    void flush() throws ErrnoException {
        while (outputBytes > 0) {
            sends.increment();
            int n = channel.send(output, 0, outputBytes);
            if (n == -Errno.EAGAIN) {
                return;
            }
            MemorySegment.copy(output, n, output, 0, outputBytes - n);
            outputBytes -= n;
        }
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
        channel.close();
    }
}
