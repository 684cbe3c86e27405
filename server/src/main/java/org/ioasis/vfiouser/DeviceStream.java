// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.memory.Count;
import org.ioasis.peer.ProtocolException;
import org.ioasis.spec.VfioUser;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.UnixSocket;
import org.jspecify.annotations.Nullable;

/**
 * The bytes between us and a device server, both ways, many messages with one call of the system:
 * no descriptors come here, so that it need not be known which message they belong to. Messages are
 * read where they have arrived, and written where they wait to be sent. Loop thread only.
 */
final class DeviceStream {
    /** Most data bytes of one access to memory: what we announce as max_data_xfer_size. */
    static final int DATA_MAX = 64 << 10;

    /** Largest message that we receive or send. */
    static final int MESSAGE_MAX = VfioUser.HEADER_SIZE + VfioUser.DMA_ACCESS_DATA + DATA_MAX;

    private static final int INPUT_BYTES = 2 * MESSAGE_MAX;
    private static final int OUTPUT_BYTES = 4 * MESSAGE_MAX;

    private final UnixSocket socket;
    private final MemorySegment input;
    private final MemorySegment output;
    private int inputFirst;
    private int inputEnd;
    private int outputFirst;
    private int outputEnd;

    /** Goes with the first byte that waits. */
    private List<Fd> with = List.of();

    private final List<Fd> unwanted = new ArrayList<>();
    private final Count receives = new Count();
    private final Count sends = new Count();

    /** Takes the socket over. */
    DeviceStream(UnixSocket socket) {
        this.socket = socket;
        Arena arena = Arena.ofAuto();
        input = arena.allocate(INPUT_BYTES, 8);
        output = arena.allocate(OUTPUT_BYTES, 8);
    }

    int fd() {
        return socket.fd();
    }

    // Input.

    /** Receives once, as much as is there and has room. */
    void fill() throws ProtocolException, ErrnoException {
        // As much room as a message takes that has begun: it is shorter than half of the whole.
        if (inputFirst > INPUT_BYTES - MESSAGE_MAX) {
            int kept = inputEnd - inputFirst;
            MemorySegment.copy(input, inputFirst, input, 0, kept);
            inputEnd = kept;
            inputFirst = 0;
        }
        receives.increment();
        int n = socket.receive(input, inputEnd, INPUT_BYTES - inputEnd, unwanted);
        if (!unwanted.isEmpty()) {
            unwanted.forEach(Fd::close);
            unwanted.clear();
            throw new ProtocolException("it sends descriptors");
        }
        if (n == 0) {
            throw new ProtocolException(
                    inputEnd == inputFirst
                            ? "it has closed"
                            : "it has closed after %d bytes of a message"
                                    .formatted(inputEnd - inputFirst));
        }
        inputEnd += Math.max(n, 0);
    }

    /** The header of the next message, if that has come whole. */
    @Nullable Header next() throws ProtocolException {
        int have = inputEnd - inputFirst;
        if (have < VfioUser.HEADER_SIZE) {
            return null;
        }
        Header header = Codec.header(input, inputFirst);
        if (header.size() < VfioUser.HEADER_SIZE || header.size() > MESSAGE_MAX) {
            throw new ProtocolException("a message of %d bytes".formatted(header.size()));
        }
        return have < header.size() ? null : header;
    }

    MemorySegment input() {
        return input;
    }

    /** Where the next message begins. */
    int at() {
        return inputFirst;
    }

    /** The next message is done with. */
    void take(Header header) {
        inputFirst += (int) header.size();
        if (inputFirst == inputEnd) {
            inputFirst = 0;
            inputEnd = 0;
        }
    }

    // Output.

    /** Whether a message of so many bytes can be put. */
    boolean hasRoom(int size) {
        if (OUTPUT_BYTES - outputEnd >= size) {
            return true;
        }
        int kept = outputEnd - outputFirst;
        MemorySegment.copy(output, outputFirst, output, 0, kept);
        outputEnd = kept;
        outputFirst = 0;
        return OUTPUT_BYTES - outputEnd >= size;
    }

    MemorySegment output() {
        return output;
    }

    /** Where the next message is written, for which there {@linkplain #hasRoom is room}. */
    int end() {
        return outputEnd;
    }

    /** A message has been written there. */
    void put(int size) {
        outputEnd += size;
    }

    /** The same with a descriptor, which is taken over. Only while nothing waits to be sent. */
    void put(int size, Fd fd) {
        if (hasOutput()) {
            throw new IllegalStateException("a descriptor goes with the first byte that waits");
        }
        with = List.of(fd);
        put(size);
    }

    boolean hasOutput() {
        return outputEnd > outputFirst;
    }

    /** Sends what waits, as far as the server takes it. */
    void flush() throws ErrnoException {
        while (outputFirst < outputEnd) {
            sends.increment();
            int n = socket.send(output, outputFirst, outputEnd - outputFirst, with);
            if (n == -Errno.EAGAIN) {
                return;
            }
            closeSent();
            outputFirst += n;
        }
        outputFirst = 0;
        outputEnd = 0;
    }

    private void closeSent() {
        if (!with.isEmpty()) {
            with.forEach(Fd::close);
            with = List.of();
        }
    }

    /** Calls of the system, for reading and for writing. */
    long calls() {
        return receives.read() + sends.read();
    }

    /** What waits to be sent is not: whoever is in the middle of a turn finds nothing. */
    void close() {
        closeSent();
        outputFirst = 0;
        outputEnd = 0;
        socket.close();
    }
}
