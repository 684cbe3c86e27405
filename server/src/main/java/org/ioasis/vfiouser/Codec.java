// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.ioasis.spec.VfioUser.*;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.pci.Doorbell;
import org.ioasis.peer.MessageStream;
import org.ioasis.peer.ProtocolException;
import org.ioasis.sys.Errno;
import org.jspecify.annotations.Nullable;

/**
 * vfio-user messages as bytes: decodes commands, writes replies. No sockets, no state; any thread.
 * Every field is read once, and the buffer is ours, so nobody changes it in between.
 *
 * <p>A command may be longer than its structure, and say so: clients leave room for the reply, or
 * know fields that we do not. Only where the length says how much data there is must it be right.
 */
final class Codec {
    /** Most data bytes of one region access: what we announce as max_data_xfer_size. */
    static final int DATA_MAX = 4096;

    /** Most writes of one message: QEMU always sends room for so many. */
    static final int WRITES_MAX = 200;

    private static final int ACCESS_MAX = REGION_ACCESS_DATA + DATA_MAX;
    private static final int WRITES_SIZE_MAX =
            WRITE_MULTI_WRITES + WRITES_MAX * WRITE_MULTI_WRITE_SIZE;

    /** Largest message that we receive, and that we send but for {@link #LARGE_MAX}. */
    static final int MESSAGE_MAX =
            HEADER_SIZE + (ACCESS_MAX > WRITES_SIZE_MAX ? ACCESS_MAX : WRITES_SIZE_MAX);

    /** Largest message that we send. */
    static final int LARGE_MAX = HEADER_SIZE + FeatureCodec.REPORT_MAX;

    /** Most descriptors with one message: what we announce as max_msg_fds. */
    static final int FDS_MAX = 16;

    /** The unit of DMA regions: what we announce as pgsizes. */
    static final int PAGE_SIZE = 4096;

    static final ValueLayout.OfShort U16 =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    static final ValueLayout.OfInt U32 =
            ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    static final ValueLayout.OfLong U64 =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** What the stream of a session has to know. */
    static final MessageStream.Framing<Header> FRAMING =
            new MessageStream.Framing<>() {
                @Override
                public String peer() {
                    return "client";
                }

                @Override
                public int headerBytes() {
                    return HEADER_SIZE;
                }

                @Override
                public Header header(MemorySegment in) throws ProtocolException {
                    Header header = Codec.header(in);
                    check(header);
                    return header;
                }

                @Override
                public int messageBytes(Header header) {
                    return (int) header.size();
                }

                @Override
                public int fdsMax() {
                    return FDS_MAX;
                }
            };

    private Codec() {}

    static Header header(MemorySegment in) {
        return header(in, 0);
    }

    static Header header(MemorySegment in, long at) {
        return new Header(
                Short.toUnsignedInt(in.get(U16, at + HEADER_ID)),
                Short.toUnsignedInt(in.get(U16, at + HEADER_COMMAND)),
                Integer.toUnsignedLong(in.get(U32, at + HEADER_MESSAGE_SIZE)),
                in.get(U32, at + HEADER_FLAGS));
    }

    /**
     * Refuses a header after which the stream makes no sense any more: the next message could not
     * be found, or it is no command.
     */
    static void check(Header header) throws ProtocolException {
        if (header.size() < HEADER_SIZE || header.size() > MESSAGE_MAX) {
            throw new ProtocolException(
                    "message of "
                            + header.size()
                            + " bytes, not "
                            + HEADER_SIZE
                            + ".."
                            + MESSAGE_MAX);
        }
        if (header.type() == FLAGS_TYPE_REPLY) {
            throw new ProtocolException("reply to a command that was never sent");
        }
        if (header.type() != FLAGS_TYPE_COMMAND) {
            throw new ProtocolException("message of unknown type " + header.type());
        }
    }

    /** Decodes the message in {@code in}, whose header has passed {@link #check}. */
    static Request request(Header header, MemorySegment in) {
        if ((header.flags() & ~FLAGS_NO_REPLY) != 0) {
            return invalid("unknown flags in a command");
        }
        int length = (int) header.size() - HEADER_SIZE;
        return switch (header.command()) {
            case VFIO_USER_VERSION -> version(in, length);
            case VFIO_USER_DMA_MAP -> dmaMap(in, length);
            case VFIO_USER_DMA_UNMAP -> dmaUnmap(in, length);
            case VFIO_USER_DEVICE_GET_INFO -> deviceInfo(in, length);
            case VFIO_USER_DEVICE_GET_REGION_INFO -> regionInfo(in, length);
            case VFIO_USER_DEVICE_GET_REGION_IO_FDS -> ioFds(in, length);
            case VFIO_USER_DEVICE_GET_IRQ_INFO -> irqInfo(in, length);
            case VFIO_USER_DEVICE_SET_IRQS -> setIrqs(in, length);
            case VFIO_USER_REGION_READ -> regionRead(in, length);
            case VFIO_USER_REGION_WRITE -> regionWrite(in, length);
            case VFIO_USER_REGION_WRITE_MULTI -> regionWriteMulti(in, length);
            case VFIO_USER_DEVICE_RESET -> new Request.Reset();
            case VFIO_USER_DEVICE_FEATURE -> FeatureCodec.feature(in, length);
            case VFIO_USER_MIG_DATA_READ -> FeatureCodec.migRead(in, length);
            case VFIO_USER_MIG_DATA_WRITE -> FeatureCodec.migWrite(in, length);
            default -> invalid("unknown command");
        };
    }

    private static Request version(MemorySegment in, int length) {
        if (length < VERSION_DATA) {
            return invalid("VERSION is too short");
        }
        int major = Short.toUnsignedInt(in.get(U16, HEADER_SIZE));
        int minor = Short.toUnsignedInt(in.get(U16, HEADER_SIZE + 2));
        int dataLength = length - VERSION_DATA;
        if (dataLength == 0) {
            return new Request.Version(major, minor, VersionData.NOTHING);
        }
        byte[] data =
                in.asSlice(HEADER_SIZE + VERSION_DATA, dataLength).toArray(ValueLayout.JAVA_BYTE);
        if (data[dataLength - 1] != 0) {
            return invalid("version data does not end in NUL");
        }
        byte[] json = new byte[dataLength - 1];
        System.arraycopy(data, 0, json, 0, json.length);
        try {
            return new Request.Version(major, minor, VersionData.parse(json));
        } catch (IOException e) {
            return invalid("version data is not as specified");
        }
    }

    private static Request dmaMap(MemorySegment in, int length) {
        if (length < DMA_MAP_SIZE || argsz(in) < DMA_MAP_SIZE) {
            return invalid("DMA_MAP of a wrong size");
        }
        int flags = in.get(U32, HEADER_SIZE + DMA_MAP_FLAGS);
        long offset = in.get(U64, HEADER_SIZE + DMA_MAP_OFFSET);
        long address = in.get(U64, HEADER_SIZE + DMA_MAP_ADDRESS);
        long size = in.get(U64, HEADER_SIZE + DMA_MAP_BYTES);
        boolean isWritable = (flags & VFIO_DMA_MAP_FLAG_WRITE) != 0;
        if ((flags & ~VFIO_DMA_MAP_FLAG_WRITE) != VFIO_DMA_MAP_FLAG_READ) {
            return invalid("DMA_MAP flags are neither read nor read and write");
        }
        String wrong = wrongRange(address, size);
        if (wrong != null) {
            return invalid(wrong);
        }
        return new Request.DmaMap(address, size, offset, isWritable);
    }

    private static Request dmaUnmap(MemorySegment in, int length) {
        // argsz is the room for the reply; there is nothing in it that the request has not.
        if (length < DMA_UNMAP_SIZE || argsz(in) < DMA_UNMAP_SIZE) {
            return invalid("DMA_UNMAP of a wrong size");
        }
        int flags = in.get(U32, HEADER_SIZE + DMA_UNMAP_FLAGS);
        long address = in.get(U64, HEADER_SIZE + DMA_UNMAP_ADDRESS);
        long size = in.get(U64, HEADER_SIZE + DMA_UNMAP_BYTES);
        if (flags == VFIO_DMA_UNMAP_FLAG_ALL) {
            return address == 0 && size == 0
                    ? new Request.DmaUnmapAll()
                    : invalid("DMA_UNMAP of all with a range");
        }
        if (flags != 0) {
            return invalid("unknown DMA_UNMAP flags");
        }
        String wrong = wrongRange(address, size);
        return wrong == null ? new Request.DmaUnmap(address, size) : invalid(wrong);
    }

    private static @Nullable String wrongRange(long address, long size) {
        if (size == 0) {
            return "DMA region of 0 bytes";
        }
        if (address % PAGE_SIZE != 0 || size % PAGE_SIZE != 0) {
            return "DMA region is not aligned to pages";
        }
        if (Long.compareUnsigned(address + (size - 1), address) < 0) {
            return "DMA region wraps";
        }
        return null;
    }

    private static Request deviceInfo(MemorySegment in, int length) {
        return length >= DEVICE_INFO_SIZE && argsz(in) >= DEVICE_INFO_SIZE
                ? new Request.DeviceInfo()
                : invalid("GET_INFO of a wrong size");
    }

    private static Request regionInfo(MemorySegment in, int length) {
        return length >= REGION_INFO_SIZE && argsz(in) >= REGION_INFO_SIZE
                ? new Request.RegionInfo(in.get(U32, HEADER_SIZE + REGION_INFO_INDEX))
                : invalid("GET_REGION_INFO of a wrong size");
    }

    private static Request ioFds(MemorySegment in, int length) {
        if (length < IO_FDS_SIZE || argsz(in) < IO_FDS_SIZE) {
            return invalid("GET_REGION_IO_FDS of a wrong size");
        }
        if (in.get(U32, HEADER_SIZE + IO_FDS_FLAGS) != 0
                || in.get(U32, HEADER_SIZE + IO_FDS_COUNT) != 0) {
            return invalid("GET_REGION_IO_FDS with more than a region");
        }
        return new Request.IoFds(in.get(U32, HEADER_SIZE + IO_FDS_INDEX), argsz(in));
    }

    private static Request irqInfo(MemorySegment in, int length) {
        return length >= IRQ_INFO_SIZE && argsz(in) >= IRQ_INFO_SIZE
                ? new Request.IrqInfo(in.get(U32, HEADER_SIZE + IRQ_INFO_INDEX))
                : invalid("GET_IRQ_INFO of a wrong size");
    }

    private static Request setIrqs(MemorySegment in, int length) {
        if (length < IRQ_SET_DATA || argsz(in) < IRQ_SET_DATA) {
            return invalid("SET_IRQS of a wrong size");
        }
        int flags = in.get(U32, HEADER_SIZE + IRQ_SET_FLAGS);
        int index = in.get(U32, HEADER_SIZE + IRQ_SET_INDEX);
        long start = Integer.toUnsignedLong(in.get(U32, HEADER_SIZE + IRQ_SET_START));
        long count = Integer.toUnsignedLong(in.get(U32, HEADER_SIZE + IRQ_SET_COUNT));
        Request.IrqAction action;
        switch (flags & ~VFIO_IRQ_SET_DATA_TYPE_MASK) {
            case VFIO_IRQ_SET_ACTION_TRIGGER -> action = Request.IrqAction.TRIGGER;
            case VFIO_IRQ_SET_ACTION_MASK -> action = Request.IrqAction.MASK;
            case VFIO_IRQ_SET_ACTION_UNMASK -> action = Request.IrqAction.UNMASK;
            default -> {
                return invalid("SET_IRQS with not exactly one action");
            }
        }
        if (action != Request.IrqAction.TRIGGER && index != VFIO_PCI_INTX_IRQ_INDEX) {
            return invalid("SET_IRQS masks what is not maskable");
        }
        Request.IrqData kind;
        switch (flags & VFIO_IRQ_SET_DATA_TYPE_MASK) {
            case VFIO_IRQ_SET_DATA_NONE -> kind = Request.IrqData.NONE;
            case VFIO_IRQ_SET_DATA_BOOL -> kind = Request.IrqData.BOOL;
            case VFIO_IRQ_SET_DATA_EVENTFD -> kind = Request.IrqData.EVENTFD;
            default -> {
                return invalid("SET_IRQS with not exactly one kind of data");
            }
        }
        if (action != Request.IrqAction.TRIGGER && kind == Request.IrqData.EVENTFD) {
            return invalid("SET_IRQS with descriptors that mask");
        }
        long data = kind == Request.IrqData.BOOL ? count : 0;
        if (length - IRQ_SET_DATA < data || argsz(in) - IRQ_SET_DATA < data) {
            return invalid("SET_IRQS with data of a wrong size");
        }
        return new Request.SetIrqs(
                action, kind, index, start, count, in, HEADER_SIZE + (long) IRQ_SET_DATA);
    }

    private static Request regionRead(MemorySegment in, int length) {
        if (length < REGION_ACCESS_DATA) {
            return invalid("REGION_READ of a wrong size");
        }
        int count = in.get(U32, HEADER_SIZE + REGION_ACCESS_COUNT);
        if (count < 1 || count > DATA_MAX) {
            return invalid("REGION_READ of an impossible number of bytes");
        }
        return new Request.RegionRead(
                in.get(U32, HEADER_SIZE + REGION_ACCESS_REGION),
                in.get(U64, HEADER_SIZE + REGION_ACCESS_OFFSET),
                count);
    }

    private static Request regionWrite(MemorySegment in, int length) {
        if (length <= REGION_ACCESS_DATA) {
            return invalid("REGION_WRITE without data");
        }
        int count = in.get(U32, HEADER_SIZE + REGION_ACCESS_COUNT);
        if (count != length - REGION_ACCESS_DATA || count > DATA_MAX) {
            return invalid("REGION_WRITE with data of a wrong size");
        }
        return regionWrite(in, HEADER_SIZE, count);
    }

    private static Request.RegionWrite regionWrite(MemorySegment in, long at, int count) {
        return new Request.RegionWrite(
                in.get(U32, at + REGION_ACCESS_REGION),
                in.get(U64, at + REGION_ACCESS_OFFSET),
                count,
                in,
                at + REGION_ACCESS_DATA);
    }

    private static Request regionWriteMulti(MemorySegment in, int length) {
        if (length < WRITE_MULTI_WRITES) {
            return invalid("REGION_WRITE_MULTI of a wrong size");
        }
        long count = in.get(U64, HEADER_SIZE + WRITE_MULTI_COUNT);
        // Unsigned: more than there is room for are as wrong as none.
        int room = (length - WRITE_MULTI_WRITES) / WRITE_MULTI_WRITE_SIZE;
        if (count < 1 || count > Math.min(room, WRITES_MAX)) {
            return invalid("REGION_WRITE_MULTI of an impossible number of writes");
        }
        List<Request.RegionWrite> writes = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            long at = HEADER_SIZE + WRITE_MULTI_WRITES + (long) i * WRITE_MULTI_WRITE_SIZE;
            int bytes = in.get(U32, at + REGION_ACCESS_COUNT);
            if (bytes < 1 || bytes > WRITE_MULTI_DATA_MAX) {
                return invalid("REGION_WRITE_MULTI with data of a wrong size");
            }
            writes.add(regionWrite(in, at, bytes));
        }
        return new Request.RegionWriteMulti(writes);
    }

    static long argsz(MemorySegment in) {
        return Integer.toUnsignedLong(in.get(U32, HEADER_SIZE)); // first field of every structure
    }

    static Request invalid(String why) {
        return new Request.Refused(Errno.EINVAL, why);
    }

    // Headers, at some place of out.

    private static void header(
            MemorySegment out, long at, int id, int command, int size, int flags, int error) {
        out.set(U16, at + HEADER_ID, (short) id);
        out.set(U16, at + HEADER_COMMAND, (short) command);
        out.set(U32, at + HEADER_MESSAGE_SIZE, size);
        out.set(U32, at + HEADER_FLAGS, flags);
        out.set(U32, at + HEADER_ERROR, error);
    }

    /** Writes the header of a command of ours, whose whole message has {@code size} bytes. */
    static void command(MemorySegment out, long at, int id, int command, int size, int flags) {
        header(out, at, id, command, size, FLAGS_TYPE_COMMAND | flags, 0);
    }

    /** Writes that of a reply, and returns {@code size}. */
    static int reply(MemorySegment out, long at, Header command, int size, int error) {
        int flags = FLAGS_TYPE_REPLY | (error == 0 ? 0 : FLAGS_ERROR);
        header(out, at, command.id(), command.command(), size, flags, error);
        return size;
    }

    // Replies: each writes a whole message at the start of out and returns its size.

    static int reply(MemorySegment out, Header command, int size, int error) {
        return reply(out, 0, command, size, error);
    }

    static int empty(MemorySegment out, Header command) {
        return reply(out, command, HEADER_SIZE, 0);
    }

    static int error(MemorySegment out, Header command, int errno) {
        return reply(out, command, HEADER_SIZE, errno);
    }

    static int version(MemorySegment out, Header command, byte[] data) {
        out.set(U16, HEADER_SIZE, (short) VERSION_MAJOR);
        out.set(U16, HEADER_SIZE + 2, (short) VERSION_MINOR);
        MemorySegment.copy(
                data, 0, out, ValueLayout.JAVA_BYTE, HEADER_SIZE + VERSION_DATA, data.length);
        return reply(out, command, HEADER_SIZE + VERSION_DATA + data.length, 0);
    }

    static int dmaUnmap(MemorySegment out, Header command, int flags, long address, long size) {
        out.set(U32, HEADER_SIZE + DMA_UNMAP_ARGSZ, DMA_UNMAP_SIZE);
        out.set(U32, HEADER_SIZE + DMA_UNMAP_FLAGS, flags);
        out.set(U64, HEADER_SIZE + DMA_UNMAP_ADDRESS, address);
        out.set(U64, HEADER_SIZE + DMA_UNMAP_BYTES, size);
        return reply(out, command, HEADER_SIZE + DMA_UNMAP_SIZE, 0);
    }

    static int deviceInfo(MemorySegment out, Header command) {
        out.set(U32, HEADER_SIZE + DEVICE_INFO_ARGSZ, DEVICE_INFO_SIZE);
        out.set(
                U32,
                HEADER_SIZE + DEVICE_INFO_FLAGS,
                VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI);
        out.set(U32, HEADER_SIZE + DEVICE_INFO_NUM_REGIONS, VFIO_PCI_NUM_REGIONS);
        out.set(U32, HEADER_SIZE + DEVICE_INFO_NUM_IRQS, VFIO_PCI_NUM_IRQS);
        return reply(out, command, HEADER_SIZE + DEVICE_INFO_SIZE, 0);
    }

    static int regionInfo(MemorySegment out, Header command, int index, long size) {
        int flags = size == 0 ? 0 : VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
        out.set(U32, HEADER_SIZE + REGION_INFO_ARGSZ, REGION_INFO_SIZE);
        out.set(U32, HEADER_SIZE + REGION_INFO_FLAGS, flags);
        out.set(U32, HEADER_SIZE + REGION_INFO_INDEX, index);
        out.set(U32, HEADER_SIZE + REGION_INFO_CAP_OFFSET, 0);
        out.set(U64, HEADER_SIZE + REGION_INFO_BYTES, size);
        out.set(U64, HEADER_SIZE + REGION_INFO_OFFSET, 0);
        return reply(out, command, HEADER_SIZE + REGION_INFO_SIZE, 0);
    }

    /** Bytes of the answer with so many doorbells. */
    static int ioFdsSize(int doorbells) {
        return IO_FDS_SIZE + doorbells * IO_FD_SIZE;
    }

    /** Only how much room the answer needs. */
    static int ioFds(MemorySegment out, Header command, int region, int count) {
        out.set(U32, HEADER_SIZE + IO_FDS_ARGSZ, ioFdsSize(count));
        out.set(U32, HEADER_SIZE + IO_FDS_FLAGS, 0);
        out.set(U32, HEADER_SIZE + IO_FDS_INDEX, region);
        out.set(U32, HEADER_SIZE + IO_FDS_COUNT, count);
        return reply(out, command, HEADER_SIZE + IO_FDS_SIZE, 0);
    }

    /** All of it; a descriptor goes with each doorbell, in this order. */
    static int ioFds(MemorySegment out, Header command, int region, List<Doorbell> doorbells) {
        int count = doorbells.size();
        int _ = ioFds(out, command, region, count);
        for (int i = 0; i < count; i++) {
            Doorbell doorbell = doorbells.get(i);
            long at = HEADER_SIZE + (long) ioFdsSize(i);
            out.asSlice(at, IO_FD_SIZE).fill((byte) 0);
            out.set(U64, at + IO_FD_OFFSET, doorbell.offset());
            out.set(U64, at + IO_FD_BYTES, doorbell.size());
            out.set(U32, at + IO_FD_FD_INDEX, i);
            out.set(U32, at + IO_FD_TYPE, VFIO_USER_IO_FD_TYPE_IOEVENTFD);
            out.set(U32, at + IO_FD_FLAGS, KVM_IOEVENTFD_FLAG_DATAMATCH);
            out.set(U64, at + IO_FD_DATAMATCH, doorbell.value());
        }
        return reply(out, command, HEADER_SIZE + ioFdsSize(count), 0);
    }

    static int irqInfo(MemorySegment out, Header command, int index, int count) {
        out.set(U32, HEADER_SIZE + IRQ_INFO_ARGSZ, IRQ_INFO_SIZE);
        // Who raises a pin waits until it is told that the interrupt has been seen.
        int pin =
                index == VFIO_PCI_INTX_IRQ_INDEX
                        ? VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED
                        : 0;
        out.set(U32, HEADER_SIZE + IRQ_INFO_FLAGS, count == 0 ? 0 : VFIO_IRQ_INFO_EVENTFD | pin);
        out.set(U32, HEADER_SIZE + IRQ_INFO_INDEX, index);
        out.set(U32, HEADER_SIZE + IRQ_INFO_COUNT, count);
        return reply(out, command, HEADER_SIZE + IRQ_INFO_SIZE, 0);
    }

    /** A read's data lies at {@code HEADER_SIZE + REGION_ACCESS_DATA} of {@code out} already. */
    static int regionRead(MemorySegment out, Header command, int region, long offset, int count) {
        regionAccess(out, region, offset, count);
        return reply(out, command, HEADER_SIZE + REGION_ACCESS_DATA + count, 0);
    }

    static int regionWrite(MemorySegment out, Header command, int region, long offset, int count) {
        regionAccess(out, region, offset, count);
        return reply(out, command, HEADER_SIZE + REGION_ACCESS_DATA, 0);
    }

    static int regionWriteMulti(MemorySegment out, Header command, int done) {
        out.set(U64, HEADER_SIZE + WRITE_MULTI_COUNT, done);
        return reply(out, command, HEADER_SIZE + WRITE_MULTI_WRITES, 0);
    }

    private static void regionAccess(MemorySegment out, int region, long offset, int count) {
        out.set(U64, HEADER_SIZE + REGION_ACCESS_OFFSET, offset);
        out.set(U32, HEADER_SIZE + REGION_ACCESS_REGION, region);
        out.set(U32, HEADER_SIZE + REGION_ACCESS_COUNT, count);
    }
}
