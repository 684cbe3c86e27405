// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import static org.ioasis.spec.VhostUser.*;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.peer.MessageStream;
import org.ioasis.peer.ProtocolException;

/**
 * vhost-user messages as bytes: decodes those of a front end, writes replies. No sockets, no state;
 * any thread. Every field is read once, and the buffer is ours, so nobody changes it in between.
 *
 * <p>A message has exactly the size of what it carries: there is no error that could be answered,
 * so all else ends the session, with a reason.
 */
final class Codec {
    /** Most bytes behind a header, of both ways. */
    static final int PAYLOAD_MAX =
            Math.max(MEMORY_REGIONS + MEMORY_REGIONS_MAX * REGION_SIZE, CONFIG_DATA + CONFIG_MAX);

    static final int MESSAGE_MAX = HEADER_SIZE + PAYLOAD_MAX;

    /** Replies that a front end may leave unread: one waits for each before it goes on. */
    static final int OUTPUT_BYTES = 16 * MESSAGE_MAX;

    /** Most descriptors with one message. */
    static final int FDS_MAX = MEMORY_REGIONS_MAX;

    private static final ValueLayout.OfShort U16 =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt U32 =
            ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong U64 =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** What the stream of a session has to know. */
    static final MessageStream.Framing<Header> FRAMING =
            new MessageStream.Framing<>() {
                @Override
                public String peer() {
                    return "front end";
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
                    return HEADER_SIZE + (int) header.size();
                }

                @Override
                public int fdsMax() {
                    return FDS_MAX;
                }
            };

    private Codec() {}

    static Header header(MemorySegment in) {
        return new Header(
                Integer.toUnsignedLong(in.get(U32, HEADER_REQUEST)),
                in.get(U32, HEADER_FLAGS),
                Integer.toUnsignedLong(in.get(U32, HEADER_PAYLOAD_SIZE)));
    }

    /** Refuses a header after which the next message could not be found, or that is no request. */
    static void check(Header header) throws ProtocolException {
        if (header.size() > PAYLOAD_MAX) {
            throw new ProtocolException(
                    "message with %d bytes, %d at most".formatted(header.size(), PAYLOAD_MAX));
        }
        if ((header.flags() & FLAGS_VERSION_MASK) != FLAGS_VERSION) {
            throw new ProtocolException("message of another version of the protocol");
        }
        if ((header.flags() & FLAGS_REPLY) != 0) {
            throw new ProtocolException("reply to a request that was never sent");
        }
        if ((header.flags() & ~(FLAGS_VERSION_MASK | FLAGS_NEED_REPLY)) != 0) {
            throw new ProtocolException("unknown flags 0x%x".formatted(header.flags()));
        }
    }

    /** Decodes the message in {@code in}, whose header has passed {@link #check}. */
    static Request request(Header header, MemorySegment in) throws ProtocolException {
        int size = (int) header.size();
        // No type of ours is negative, so that a large one is none of them either.
        int type = (int) header.request();
        return switch (type) {
            case GET_FEATURES,
                    SET_OWNER,
                    RESET_OWNER,
                    GET_PROTOCOL_FEATURES,
                    GET_QUEUE_NUM,
                    SET_BACKEND_REQ_FD,
                    RESET_DEVICE,
                    GET_MAX_MEM_SLOTS,
                    GET_STATUS -> {
                exactly(0, size, type);
                yield new Request.Plain(type);
            }
            case SET_FEATURES, SET_PROTOCOL_FEATURES, SET_STATUS -> {
                exactly(U64_SIZE, size, type);
                yield new Request.Value(type, in.get(U64, HEADER_SIZE));
            }
            case SET_VRING_NUM, SET_VRING_BASE, GET_VRING_BASE, SET_VRING_ENABLE -> {
                exactly(STATE_SIZE, size, type);
                yield new Request.VringState(
                        type,
                        Integer.toUnsignedLong(in.get(U32, HEADER_SIZE + STATE_INDEX)),
                        in.get(U32, HEADER_SIZE + STATE_NUM));
            }
            case SET_VRING_ADDR -> {
                exactly(ADDR_SIZE, size, type);
                yield new Request.VringAddress(
                        Integer.toUnsignedLong(in.get(U32, HEADER_SIZE + ADDR_INDEX)),
                        in.get(U32, HEADER_SIZE + ADDR_FLAGS),
                        in.get(U64, HEADER_SIZE + ADDR_DESCRIPTOR),
                        in.get(U64, HEADER_SIZE + ADDR_USED),
                        in.get(U64, HEADER_SIZE + ADDR_AVAILABLE));
            }
            case SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR -> {
                exactly(U64_SIZE, size, type);
                long value = in.get(U64, HEADER_SIZE);
                if ((value & ~(VRING_INDEX_MASK | VRING_NOFD)) != 0) {
                    throw new ProtocolException(
                            "unknown bits 0x%x beside a ring's index".formatted(value));
                }
                yield new Request.VringFd(
                        type, value & VRING_INDEX_MASK, (value & VRING_NOFD) == 0);
            }
            case GET_INFLIGHT_FD, SET_INFLIGHT_FD -> {
                if (size != INFLIGHT_PADDED_SIZE) {
                    exactly(INFLIGHT_SIZE, size, type);
                }
                yield new Request.Inflight(
                        type,
                        in.get(U64, HEADER_SIZE + INFLIGHT_MMAP_SIZE),
                        in.get(U64, HEADER_SIZE + INFLIGHT_MMAP_OFFSET),
                        Short.toUnsignedInt(in.get(U16, HEADER_SIZE + INFLIGHT_NUM_QUEUES)),
                        Short.toUnsignedInt(in.get(U16, HEADER_SIZE + INFLIGHT_QUEUE_SIZE)));
            }
            case SET_MEM_TABLE -> table(in, size);
            case ADD_MEM_REG, REM_MEM_REG -> {
                exactly(SINGLE_REGION + REGION_SIZE, size, type);
                yield new Request.OneRegion(type, region(in, HEADER_SIZE + SINGLE_REGION));
            }
            case GET_CONFIG, SET_CONFIG -> config(in, size, type);
            default -> throw new ProtocolException("request %d is not offered".formatted(type));
        };
    }

    private static void exactly(int wanted, int size, int type) throws ProtocolException {
        if (size != wanted) {
            throw new ProtocolException(
                    "request %d with %d bytes, not %d".formatted(type, size, wanted));
        }
    }

    private static Request table(MemorySegment in, int size) throws ProtocolException {
        if (size < MEMORY_REGIONS) {
            throw new ProtocolException("memory table of %d bytes".formatted(size));
        }
        long count = Integer.toUnsignedLong(in.get(U32, HEADER_SIZE + MEMORY_COUNT));
        if (count > MEMORY_REGIONS_MAX) {
            throw new ProtocolException("memory table of %d regions".formatted(count));
        }
        exactly(MEMORY_REGIONS + (int) count * REGION_SIZE, size, SET_MEM_TABLE);
        List<MemoryRegion> regions = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            regions.add(region(in, HEADER_SIZE + MEMORY_REGIONS + (long) i * REGION_SIZE));
        }
        return new Request.Table(regions);
    }

    private static MemoryRegion region(MemorySegment in, long at) throws ProtocolException {
        MemoryRegion region =
                new MemoryRegion(
                        in.get(U64, at + REGION_GUEST_ADDRESS),
                        in.get(U64, at + REGION_BYTES),
                        in.get(U64, at + REGION_USER_ADDRESS),
                        in.get(U64, at + REGION_OFFSET));
        if (!region.isPossible()) {
            throw new ProtocolException("memory region without bytes, or over the end");
        }
        return region;
    }

    private static Request config(MemorySegment in, int size, int type) throws ProtocolException {
        if (size < CONFIG_DATA) {
            throw new ProtocolException("configuration in %d bytes".formatted(size));
        }
        long offset = Integer.toUnsignedLong(in.get(U32, HEADER_SIZE + CONFIG_OFFSET));
        long length = Integer.toUnsignedLong(in.get(U32, HEADER_SIZE + CONFIG_LENGTH));
        int flags = in.get(U32, HEADER_SIZE + CONFIG_FLAGS);
        if (offset + length > CONFIG_MAX) {
            throw new ProtocolException("configuration beyond %d bytes".formatted(CONFIG_MAX));
        }
        exactly(CONFIG_DATA + (int) length, size, type);
        return new Request.Config(type, (int) offset, (int) length, flags);
    }

    // Replies: each returns the size of the whole message.

    static int number(MemorySegment out, Header header, long value) {
        out.set(U64, HEADER_SIZE, value);
        return reply(out, header, U64_SIZE);
    }

    static int vringState(MemorySegment out, Header header, int index, int num) {
        out.set(U32, HEADER_SIZE + STATE_INDEX, index);
        out.set(U32, HEADER_SIZE + STATE_NUM, num);
        return reply(out, header, STATE_SIZE);
    }

    /** As long as the request was. */
    static int inflight(MemorySegment out, Header header, Request.Inflight of, long bytes) {
        int size = (int) header.size();
        out.asSlice(HEADER_SIZE, size).fill((byte) 0);
        out.set(U64, HEADER_SIZE + INFLIGHT_MMAP_SIZE, bytes);
        out.set(U16, HEADER_SIZE + INFLIGHT_NUM_QUEUES, (short) of.queues());
        out.set(U16, HEADER_SIZE + INFLIGHT_QUEUE_SIZE, (short) of.entries());
        return reply(out, header, size);
    }

    /** The data is there already, from {@code HEADER_SIZE + CONFIG_DATA} on. */
    static int config(MemorySegment out, Header header, int offset, int size) {
        out.set(U32, HEADER_SIZE + CONFIG_OFFSET, offset);
        out.set(U32, HEADER_SIZE + CONFIG_LENGTH, size);
        out.set(U32, HEADER_SIZE + CONFIG_FLAGS, 0);
        return reply(out, header, CONFIG_DATA + size);
    }

    private static int reply(MemorySegment out, Header header, int size) {
        return head(out, (int) header.request(), FLAGS_VERSION | FLAGS_REPLY, size);
    }

    /** A request of ours that carries nothing and wants no answer. */
    static int plain(MemorySegment out, int type) {
        return head(out, type, FLAGS_VERSION, 0);
    }

    private static int head(MemorySegment out, int type, int flags, int size) {
        out.set(U32, HEADER_REQUEST, type);
        out.set(U32, HEADER_FLAGS, flags);
        out.set(U32, HEADER_PAYLOAD_SIZE, size);
        return HEADER_SIZE + size;
    }
}
