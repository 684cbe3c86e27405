// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.memory.Count;
import org.ioasis.peer.PeerChannel;
import org.ioasis.spec.VfioUser;
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
    /** Why a session ends whose client has just gone, as all do in the end. */
    static final String CLIENT_CLOSED = "client closed";

    private final PeerChannel channel;
    private final int outputBytes;
    private final MemorySegment input;
    private final MemorySegment reply;
    private final MemorySegment output;
    private int inputBytes;
    private int outputFirst;
    private int outputEnd;
    private final ArrayList<Fd> fds = new ArrayList<>();
    private @Nullable Header header;
    private final Count receives = new Count();
    private final Count sends = new Count();

    /**
     * @param buffers this stream's alone until it is closed
     */
    MessageStream(PeerChannel channel, StreamBuffers buffers) {
        this.channel = channel;
        buffers.clear();
        input = buffers.input();
        reply = buffers.reply();
        output = buffers.output();
        outputBytes = (int) output.byteSize();
    }

    // Input.

    /** Reads on until a message is complete, and returns its header; null if more must come. */
    @Nullable Header receive() throws ProtocolException, ErrnoException {
        while (true) {
            Header known = header;
            int wanted = known == null ? VfioUser.HEADER_SIZE : (int) known.size();
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
        for (int i = 0; i < fds.size(); i++) {
            fds.get(i).close();
        }
        fds.clear();
    }

    // Output.

    /** Where the next reply is written. */
    MemorySegment reply() {
        return reply;
    }

    /** Sends the {@code size} bytes of the reply, or keeps what the client has no room for. */
    void send(int size) throws ProtocolException, ErrnoException {
        int kept = outputEnd - outputFirst;
        if (kept + size > outputBytes) {
            throw new ProtocolException("client does not read its replies");
        }
        if (outputEnd + size > outputBytes) {
            MemorySegment.copy(output, outputFirst, output, 0, kept);
            outputFirst = 0;
            outputEnd = kept;
        }
        MemorySegment.copy(reply, 0, output, outputEnd, size);
        outputEnd += size;
        flush();
    }

    /** True while the client has not taken everything. */
    boolean hasOutput() {
        return outputEnd > outputFirst;
    }

    void flush() throws ErrnoException {
        while (outputFirst < outputEnd) {
            sends.increment();
            int n = channel.send(output, outputFirst, outputEnd - outputFirst);
            if (n == -Errno.EAGAIN) {
                return;
            }
            outputFirst += n;
        }
        outputFirst = 0;
        outputEnd = 0;
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
