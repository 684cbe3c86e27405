// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.ioasis.spec.VfioUser.*;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.pci.VirtioPciTransport;
import org.ioasis.spec.Pci;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.Errno;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.ioasis.sys.Memfd;
import org.ioasis.sys.UnixSocket;

/**
 * A PCI function that a vfio-user server shows, for who has a driver and no VMM: memory from
 * address 0 on that both see, and the function's registers. One message is on its way at a time.
 * The server is believed nothing: sizes are checked, and each answer is waited for so long and no
 * longer. One thread.
 */
public final class VfioUserClient implements VirtioPciTransport.Bus, AutoCloseable {
    private static final String CAPABILITY_TEXT =
            "{\"capabilities\":{\"max_msg_fds\":1,\"max_data_xfer_size\":4096,\"pgsizes\":4096}}\0";

    /** Largest answer: a server's version text is the longest. */
    private static final int MESSAGE_MAX = 1 << 16;

    private static final long NANOS_PER_MILLI = 1_000_000;

    private static final ValueLayout.OfShort U16 =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt U32 =
            ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong U64 =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final int waitMillis;
    private final UnixSocket socket;
    private final Epoll epoll;
    private final Fd file;
    private final Mapping memory;
    private final Arena arena = Arena.ofConfined();
    private final MemorySegment message = arena.allocate(MESSAGE_MAX);
    private int id;

    /**
     * Connects, shows the server memory, resets the function and lets it reach memory.
     *
     * @param memoryBytes of memory, whole pages
     * @param waitMillis how long an answer may take
     */
    public VfioUserClient(Path server, long memoryBytes, int waitMillis) throws IOException {
        this.waitMillis = waitMillis;
        socket = UnixSocket.connect(server);
        try {
            epoll = Epoll.create();
            epoll.add(socket.fd(), Epoll.IN, 0);
            file = Memfd.create("ioasis-driver", memoryBytes);
            memory = Mapping.map(file, 0, memoryBytes, true);
        } catch (IOException broken) {
            socket.close();
            throw broken;
        }
        try {
            begin(memoryBytes);
        } catch (IOException refused) {
            close();
            throw refused;
        }
    }

    private void begin(long memoryBytes) throws IOException {
        byte[] text = CAPABILITY_TEXT.getBytes(StandardCharsets.US_ASCII);
        message.set(U16, HEADER_SIZE, (short) VERSION_MAJOR);
        message.set(U16, HEADER_SIZE + 2, (short) VERSION_MINOR);
        MemorySegment.copy(
                text, 0, message, ValueLayout.JAVA_BYTE, HEADER_SIZE + VERSION_DATA, text.length);
        call(VFIO_USER_VERSION, VERSION_DATA + text.length, VERSION_DATA, List.of());
        int major = Short.toUnsignedInt(message.get(U16, HEADER_SIZE));
        if (major != VERSION_MAJOR) {
            throw new IOException("the server speaks version %d".formatted(major));
        }

        message.set(U32, HEADER_SIZE + DMA_MAP_ARGSZ, DMA_MAP_SIZE);
        message.set(
                U32, HEADER_SIZE + DMA_MAP_FLAGS, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
        message.set(U64, HEADER_SIZE + DMA_MAP_OFFSET, 0);
        message.set(U64, HEADER_SIZE + DMA_MAP_ADDRESS, 0);
        message.set(U64, HEADER_SIZE + DMA_MAP_BYTES, memoryBytes);
        call(VFIO_USER_DMA_MAP, DMA_MAP_SIZE, 0, List.of(file));
        call(VFIO_USER_DEVICE_RESET, 0, 0, List.of());
        access(
                VFIO_USER_REGION_WRITE,
                VFIO_PCI_CONFIG_REGION_INDEX,
                Pci.COMMAND,
                2,
                Pci.COMMAND_MEMORY | Pci.COMMAND_MASTER);
    }

    /** Memory from address 0 on, which the function reaches. */
    public MemorySegment memory() {
        return memory.segment();
    }

    @Override
    public int config(int offset, int size) throws IOException {
        return (int) access(VFIO_USER_REGION_READ, VFIO_PCI_CONFIG_REGION_INDEX, offset, size, 0);
    }

    @Override
    public long read(int bar, long offset, int size) throws IOException {
        return access(VFIO_USER_REGION_READ, bar, offset, size, 0);
    }

    @Override
    public void write(int bar, long offset, int size, long value) throws IOException {
        access(VFIO_USER_REGION_WRITE, bar, offset, size, value);
    }

    /** Returns what was read, or 0. */
    private long access(int command, int region, long offset, int size, long value)
            throws IOException {
        boolean isWrite = command == VFIO_USER_REGION_WRITE;
        message.set(U64, HEADER_SIZE + REGION_ACCESS_OFFSET, offset);
        message.set(U32, HEADER_SIZE + REGION_ACCESS_REGION, region);
        message.set(U32, HEADER_SIZE + REGION_ACCESS_COUNT, size);
        // Of which only the first bytes are sent.
        message.set(U64, HEADER_SIZE + REGION_ACCESS_DATA, value);
        call(
                command,
                REGION_ACCESS_DATA + (isWrite ? size : 0),
                REGION_ACCESS_DATA + (isWrite ? 0 : size),
                List.of());
        if (isWrite) {
            return 0;
        }
        long word = 0;
        for (int i = size - 1; i >= 0; i--) {
            long each =
                    message.get(ValueLayout.JAVA_BYTE, HEADER_SIZE + REGION_ACCESS_DATA + (long) i);
            word = (word << 8) | (each & 0xff);
        }
        return word;
    }

    // --- messages

    /**
     * Sends the payload that is in {@link #message}, and waits for the answer, which is there then.
     *
     * @param least bytes that the answer's payload has at least
     */
    private void call(int command, int payload, int least, List<Fd> fds) throws IOException {
        id = (id + 1) & 0xffff;
        message.set(U16, HEADER_ID, (short) id);
        message.set(U16, HEADER_COMMAND, (short) command);
        message.set(U32, HEADER_MESSAGE_SIZE, HEADER_SIZE + payload);
        message.set(U32, HEADER_FLAGS, FLAGS_TYPE_COMMAND);
        message.set(U32, HEADER_ERROR, 0);
        // There is one message at a time, and it is smaller than the socket's buffer.
        int sent = socket.send(message, 0, HEADER_SIZE + payload, fds);
        if (sent != HEADER_SIZE + payload) {
            throw new IOException("the server does not read its socket");
        }
        long deadline = System.nanoTime() + waitMillis * NANOS_PER_MILLI;
        receive(0, HEADER_SIZE, deadline);
        int size = message.get(U32, HEADER_MESSAGE_SIZE);
        int flags = message.get(U32, HEADER_FLAGS);
        boolean isAnswer =
                Short.toUnsignedInt(message.get(U16, HEADER_ID)) == id
                        && message.get(U16, HEADER_COMMAND) == command
                        && (flags & FLAGS_TYPE_MASK) == FLAGS_TYPE_REPLY;
        if (!isAnswer || size < HEADER_SIZE || size > MESSAGE_MAX) {
            throw new IOException(
                    "no answer to command %d: flags 0x%x, %d bytes"
                            .formatted(command, flags, size));
        }
        receive(HEADER_SIZE, size, deadline);
        if ((flags & FLAGS_ERROR) != 0) {
            throw new IOException(
                    "command %d was refused: %s"
                            .formatted(command, Errno.name(message.get(U32, HEADER_ERROR))));
        }
        if (size < HEADER_SIZE + least) {
            throw new IOException("the answer to command %d has %d bytes".formatted(command, size));
        }
    }

    private void receive(int from, int to, long deadline) throws IOException {
        List<Fd> fds = new ArrayList<>();
        for (int have = from; have < to; ) {
            long left = deadline - System.nanoTime();
            if (left <= 0) {
                throw new IOException("no answer within %d ms".formatted(waitMillis));
            }
            if (epoll.await((int) ((left + NANOS_PER_MILLI - 1) / NANOS_PER_MILLI)) == 0) {
                continue;
            }
            int n = socket.receive(message, have, to - have, fds);
            // Whatever it sends them for: nothing was asked that has any.
            fds.forEach(Fd::close);
            if (n == 0) {
                throw new IOException("the server has closed");
            }
            have += Math.max(n, 0);
        }
    }

    @Override
    public void close() {
        epoll.close();
        socket.close();
        memory.close();
        file.close();
        arena.close();
    }
}
