// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.ioasis.spec.VfioUser.*;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.peer.ProtocolException;
import org.ioasis.peer.SharedRegion;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.jspecify.annotations.Nullable;

/** A command to a device server on its way, and what its answer must look like. Loop thread. */
final class Command {
    /** Hears of the answer, or of the end of the session before it. */
    @FunctionalInterface
    interface Reply {
        /**
         * @param errno 0: it is done
         * @param in holds what has been read at {@code at}, until this returns; null unless
         *     something was to be read and errno is 0
         */
        void done(int errno, @Nullable MemorySegment in, long at);
    }

    /** Of a reply with an error and without its number. */
    private static final int UNKNOWN_ERROR = Errno.EIO;

    /** As errno goes: what is beyond is no number of an error. */
    private static final int ERRNO_MAX = 4095;

    private final int command;
    private final byte[] payload;
    private final Reply reply;
    private final boolean isPosted;
    private final @Nullable Fd fd;
    private final @Nullable SharedRegion memory;

    /** Set when it is sent. */
    private int id;

    private boolean wasAsked;

    private long sinceNanos;

    private Command(int command, byte[] payload, boolean isPosted, @Nullable Fd fd, Reply reply) {
        this(command, payload, isPosted, fd, null, reply);
    }

    private Command(
            int command,
            byte[] payload,
            boolean isPosted,
            @Nullable Fd fd,
            @Nullable SharedRegion memory,
            Reply reply) {
        this.memory = memory;
        this.command = command;
        this.payload = payload;
        this.isPosted = isPosted;
        this.fd = fd;
        this.reply = reply;
    }

    private static ByteBuffer bytes(int size) {
        return ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
    }

    static Command read(int region, long offset, int count, Reply reply) {
        return new Command(
                VFIO_USER_REGION_READ,
                access(region, offset, count, 0).array(),
                false,
                null,
                reply);
    }

    /**
     * @param isPosted it has no answer, and is done when it is sent
     */
    static Command write(
            int region,
            long offset,
            int count,
            MemorySegment data,
            long at,
            boolean isPosted,
            Reply reply) {
        byte[] payload = access(region, offset, count, count).array();
        MemorySegment.copy(data, ValueLayout.JAVA_BYTE, at, payload, REGION_ACCESS_DATA, count);
        return new Command(VFIO_USER_REGION_WRITE, payload, isPosted, null, reply);
    }

    private static ByteBuffer access(int region, long offset, int count, int data) {
        return bytes(REGION_ACCESS_DATA + data).putLong(offset).putInt(region).putInt(count);
    }

    static Command reset(Reply reply) {
        return new Command(VFIO_USER_DEVICE_RESET, new byte[0], false, null, reply);
    }

    /** Tells of memory from 0 on, which is read and written, and reached by messages alone. */
    static Command map(long size, Reply reply) {
        int flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
        return new Command(VFIO_USER_DMA_MAP, map(0, size, 0, flags), false, null, reply);
    }

    /**
     * Gives memory away: what lies at {@code offset} of a file is at {@code address} for the
     * device.
     *
     * @param rights {@link MapFlags}
     * @param memory whose file that is: it is opened when the command is sent, so that it does not
     *     matter how many wait
     */
    static Command map(
            long address, long size, long offset, int rights, SharedRegion memory, Reply reply) {
        int flags =
                ((rights & MapFlags.READ) == 0 ? 0 : VFIO_DMA_MAP_FLAG_READ)
                        | ((rights & MapFlags.WRITE) == 0 ? 0 : VFIO_DMA_MAP_FLAG_WRITE);
        return new Command(
                VFIO_USER_DMA_MAP, map(address, size, offset, flags), false, null, memory, reply);
    }

    private static byte[] map(long address, long size, long offset, int flags) {
        return bytes(DMA_MAP_SIZE)
                .putInt(DMA_MAP_SIZE)
                .putInt(flags)
                .putLong(offset)
                .putLong(address)
                .putLong(size)
                .array();
    }

    /** Takes what was given away by {@link #map} back, all of that. */
    static Command unmap(long address, long size, Reply reply) {
        byte[] payload =
                bytes(DMA_UNMAP_SIZE)
                        .putInt(DMA_UNMAP_SIZE)
                        .putInt(0)
                        .putLong(address)
                        .putLong(size)
                        .array();
        return new Command(VFIO_USER_DMA_UNMAP, payload, false, null, reply);
    }

    /**
     * Sets an interrupt up.
     *
     * @param index of its type
     * @param eventFd what the server signals, or null: takes the interrupt away
     */
    static Command vector(int index, int vector, @Nullable Fd eventFd, Reply reply) {
        int flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
        return irqs(index, flags, vector, 1, eventFd, reply);
    }

    /** Takes all interrupts of a type away. */
    static Command noVectors(int index, Reply reply) {
        int flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
        return irqs(index, flags, 0, 0, null, reply);
    }

    /** What is raised at the pin waits from now on, or does not. */
    static Command pinMasked(boolean isMasked, Reply reply) {
        int action = isMasked ? VFIO_IRQ_SET_ACTION_MASK : VFIO_IRQ_SET_ACTION_UNMASK;
        return irqs(VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_DATA_NONE | action, 0, 1, null, reply);
    }

    private static Command irqs(
            int index, int flags, int start, int count, @Nullable Fd eventFd, Reply reply) {
        byte[] payload =
                bytes(IRQ_SET_DATA)
                        .putInt(IRQ_SET_DATA)
                        .putInt(flags)
                        .putInt(index)
                        .putInt(start)
                        .putInt(count)
                        .array();
        return new Command(VFIO_USER_DEVICE_SET_IRQS, payload, false, eventFd, reply);
    }

    /** Asks for the state of a device that moves. */
    static Command state(Reply reply) {
        byte[] payload =
                bytes(FEATURE_DATA)
                        .putInt(FEATURE_DATA + MIG_STATE_SIZE)
                        .putInt(VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE | VFIO_DEVICE_FEATURE_GET)
                        .array();
        return new Command(VFIO_USER_DEVICE_FEATURE, payload, false, null, reply);
    }

    static Command changeState(int state, Reply reply) {
        byte[] payload =
                bytes(FEATURE_DATA + MIG_STATE_SIZE)
                        .putInt(FEATURE_DATA + MIG_STATE_SIZE)
                        .putInt(VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE | VFIO_DEVICE_FEATURE_SET)
                        .putInt(state)
                        .putInt(-1)
                        .array();
        return new Command(VFIO_USER_DEVICE_FEATURE, payload, false, null, reply);
    }

    /** Reads on in the data of a device that moves. What is read begins with its length, u32. */
    static Command migRead(int size, Reply reply) {
        byte[] payload = bytes(MIG_DATA_DATA).putInt(MIG_DATA_DATA + size).putInt(size).array();
        return new Command(VFIO_USER_MIG_DATA_READ, payload, false, null, reply);
    }

    static Command migWrite(byte[] data, Reply reply) {
        byte[] payload =
                bytes(MIG_DATA_DATA + data.length)
                        .putInt(MIG_DATA_DATA + data.length)
                        .putInt(data.length)
                        .put(data)
                        .array();
        return new Command(VFIO_USER_MIG_DATA_WRITE, payload, false, null, reply);
    }

    int size() {
        return HEADER_SIZE + payload.length;
    }

    int id() {
        return id;
    }

    /** Since when it waits: to be sent, or for its answer. */
    long sinceNanos() {
        return sinceNanos;
    }

    void waitsSince(long nanos) {
        sinceNanos = nanos;
    }

    boolean isPosted() {
        return isPosted;
    }

    /** Whether a descriptor goes with it. */
    boolean hasFd() {
        return fd != null || memory != null;
    }

    /**
     * That descriptor, which is taken over by who sends it; or null.
     *
     * @throws ErrnoException this process can have no more of them
     */
    @Nullable Fd takeFd() throws ErrnoException {
        return memory == null ? fd : memory.duplicate();
    }

    void write(MemorySegment out, long at, int withId) {
        id = withId;
        Codec.command(out, at, withId, command, size(), isPosted ? FLAGS_NO_REPLY : 0);
        MemorySegment.copy(
                payload, 0, out, ValueLayout.JAVA_BYTE, at + HEADER_SIZE, payload.length);
    }

    /**
     * Whether the next session may ask it that comes after one that has ended: an access to a
     * register, once. A server that ends at it ends the next time as well.
     */
    boolean mayBeAskedAgain() {
        boolean isAccess = command == VFIO_USER_REGION_READ || command == VFIO_USER_REGION_WRITE;
        boolean isFirst = !wasAsked;
        wasAsked = true;
        return isAccess && isFirst;
    }

    /** There will be no answer. */
    void fail(int errno) {
        if (fd != null) {
            fd.close();
        }
        reply.done(errno, null, 0);
    }

    /** A posted one has been sent. */
    void posted() {
        reply.done(0, null, 0);
    }

    /**
     * Takes the answer at {@code at}, which has its id.
     *
     * @throws ProtocolException it is no answer to this
     */
    void answer(Header header, MemorySegment in, long at) throws ProtocolException {
        if (header.command() != command) {
            throw new ProtocolException(
                    "an answer to command %d where %s was asked"
                            .formatted(header.command(), name()));
        }
        if ((header.flags() & FLAGS_ERROR) != 0) {
            int error = in.get(Codec.U32, at + HEADER_ERROR);
            reply.done(error < 1 || error > ERRNO_MAX ? UNKNOWN_ERROR : error, null, 0);
            return;
        }
        long length = header.size() - HEADER_SIZE;
        long from = at + HEADER_SIZE;
        ByteBuffer asked = ByteBuffer.wrap(payload).order(ByteOrder.LITTLE_ENDIAN);
        if (command == VFIO_USER_DEVICE_FEATURE) {
            if (length < FEATURE_DATA + MIG_STATE_SIZE
                    || in.get(Codec.U32, from + FEATURE_FLAGS) != asked.getInt(FEATURE_FLAGS)) {
                throw new ProtocolException("an answer to another feature than was asked");
            }
            reply.done(0, in, from + FEATURE_DATA);
            return;
        }
        if (command == VFIO_USER_MIG_DATA_READ) {
            boolean isPossible = length >= MIG_DATA_DATA;
            long size =
                    isPossible
                            ? Integer.toUnsignedLong(in.get(Codec.U32, from + MIG_DATA_BYTES))
                            : 0;
            // Some send as much as was asked for, whatever they have.
            if (!isPossible
                    || size > asked.getInt(MIG_DATA_BYTES)
                    || length < MIG_DATA_DATA + size) {
                throw new ProtocolException(
                        "%d bytes of data of %d that were asked for"
                                .formatted(size, asked.getInt(MIG_DATA_BYTES)));
            }
            reply.done(0, in, from + MIG_DATA_BYTES);
            return;
        }
        boolean isRead = command == VFIO_USER_REGION_READ;
        if (isRead || command == VFIO_USER_REGION_WRITE) {
            int count = asked.getInt(REGION_ACCESS_COUNT);
            boolean isAsked =
                    length == REGION_ACCESS_DATA + (isRead ? count : 0)
                            && in.get(Codec.U64, from + REGION_ACCESS_OFFSET)
                                    == asked.getLong(REGION_ACCESS_OFFSET)
                            && in.get(Codec.U32, from + REGION_ACCESS_REGION)
                                    == asked.getInt(REGION_ACCESS_REGION)
                            && in.get(Codec.U32, from + REGION_ACCESS_COUNT) == count;
            if (!isAsked) {
                throw new ProtocolException("an answer to another access than was asked");
            }
        }
        reply.done(0, isRead ? in : null, from + REGION_ACCESS_DATA);
    }

    /** What it asks, for people. */
    String name() {
        return switch (command) {
            case VFIO_USER_REGION_READ -> "REGION_READ";
            case VFIO_USER_REGION_WRITE -> "REGION_WRITE";
            case VFIO_USER_DEVICE_RESET -> "DEVICE_RESET";
            case VFIO_USER_DMA_MAP -> "DMA_MAP";
            case VFIO_USER_DMA_UNMAP -> "DMA_UNMAP";
            case VFIO_USER_DEVICE_SET_IRQS -> "DEVICE_SET_IRQS";
            case VFIO_USER_DEVICE_FEATURE -> "DEVICE_FEATURE";
            case VFIO_USER_MIG_DATA_READ -> "MIG_DATA_READ";
            case VFIO_USER_MIG_DATA_WRITE -> "MIG_DATA_WRITE";
            default -> throw new IllegalStateException("command " + command);
        };
    }
}
