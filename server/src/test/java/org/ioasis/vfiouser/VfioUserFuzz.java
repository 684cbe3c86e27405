// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.ioasis.spec.VfioUser.*;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.ioasis.peer.ProtocolException;

/**
 * Any bytes as what a peer sends over vfio-user, a client or a device server: what is made of them
 * depends on nothing behind their message, and is within its bounds. Any thread.
 */
public final class VfioUserFuzz {
    private static final int REGION = 3;

    private VfioUserFuzz() {}

    private static void require(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    /** The bytes as the buffer of a message, with {@code rest} in what they do not fill. */
    private static MemorySegment buffer(byte[] bytes, byte rest) {
        byte[] all = new byte[Codec.MESSAGE_MAX];
        Arrays.fill(all, rest);
        System.arraycopy(bytes, 0, all, 0, Math.min(bytes.length, all.length));
        return MemorySegment.ofArray(all);
    }

    /** A client's message. */
    public static void commands(byte[] bytes) {
        Header header = Codec.header(buffer(bytes, (byte) 0));
        try {
            Codec.check(header);
        } catch (ProtocolException e) {
            return;
        }
        byte[] message = Arrays.copyOf(bytes, (int) header.size());
        String made = text(header, Codec.request(header, buffer(message, (byte) 0)));
        String again = text(header, Codec.request(header, buffer(message, (byte) 0xff)));
        require(made.equals(again), "what lies behind a message changes it: " + made);
    }

    private static String text(Header header, Request request) {
        return switch (request) {
            case Request.RegionWrite write -> text(header, write);
            case Request.RegionWriteMulti multi -> {
                require(multi.writes().size() <= Codec.WRITES_MAX, "too many writes");
                StringBuilder all = new StringBuilder();
                multi.writes().forEach(write -> all.append(text(header, write)));
                yield all.toString();
            }
            case Request.SetIrqs irqs -> {
                long count = irqs.kind() == Request.IrqData.BOOL ? irqs.count() : 0;
                yield "%s %s %d %d %d %s"
                        .formatted(
                                irqs.action(),
                                irqs.kind(),
                                irqs.index(),
                                irqs.start(),
                                irqs.count(),
                                data(header, irqs.data(), irqs.dataOffset(), count));
            }
            case Request.RegionRead read -> {
                require(read.count() > 0 && read.count() <= Codec.DATA_MAX, read.toString());
                yield read.toString();
            }
            case Request.MigRead read -> {
                require(read.size() > 0 && read.size() <= Codec.DATA_MAX, read.toString());
                yield read.toString();
            }
            case Request.MigWrite write ->
                    data(header, write.data(), write.dataOffset(), write.size());
            case Request.LoggingStart start -> {
                require(
                        start.dataSize() <= 16 + 16 * FeatureCodec.RANGES_MAX,
                        "%d bytes of ranges".formatted(start.dataSize()));
                yield data(header, start.data(), start.dataOffset(), start.dataSize());
            }
            case Request.LoggingReport report -> {
                require(
                        Long.compareUnsigned(report.first(), report.last()) <= 0
                                && report.words() > 0
                                && report.words() <= FeatureCodec.REPORT_PAGES_MAX / Long.SIZE,
                        report.toString());
                yield report.toString();
            }
            case Request.DmaMap map -> {
                require(isRange(map.address(), map.size(), map.last()), map.toString());
                yield map.toString();
            }
            case Request.DmaUnmap unmap -> {
                require(isRange(unmap.address(), unmap.size(), unmap.last()), unmap.toString());
                yield unmap.toString();
            }
            case Request.Refused refused -> {
                require(refused.errno() > 0 && !refused.why().isEmpty(), refused.toString());
                yield refused.toString();
            }
            default -> request.toString();
        };
    }

    private static boolean isRange(long address, long size, long last) {
        return size != 0
                && (address | size) % Codec.PAGE_SIZE == 0
                && Long.compareUnsigned(address, last) <= 0;
    }

    private static String text(Header header, Request.RegionWrite write) {
        require(write.count() > 0 && write.count() <= Codec.DATA_MAX, "count " + write.count());
        return "%d %d %s;"
                .formatted(
                        write.region(),
                        write.offset(),
                        data(header, write.data(), write.dataOffset(), write.count()));
    }

    private static String data(Header header, MemorySegment data, long at, long count) {
        require(at >= HEADER_SIZE && at + count <= header.size(), "data outside of its message");
        return Arrays.toString(data.asSlice(at, count).toArray(ValueLayout.JAVA_BYTE));
    }

    /** What either side says of itself. */
    public static void versions(byte[] bytes) {
        try {
            VersionData.Proposal said = VersionData.parse(bytes);
            require(said.fdsMax() >= 0 && said.fdsMax() <= Codec.FDS_MAX, said.toString());
            int room = bytes.length + VERSION_DATA;
            byte[] reply = VersionData.reply(said.capabilities(), 1, room);
            require(reply.length <= room, "a reply of %d bytes".formatted(reply.length));
        } catch (IOException e) {
            require(e.getMessage() != null, "no word on what is wrong");
        }
        try {
            ServerLimits limits =
                    VersionData.limits(new String(bytes, StandardCharsets.ISO_8859_1));
            require(
                    limits.dataMax() > 0 && limits.mapsMax() > 0 && limits.twinSocket() >= -1,
                    limits.toString());
        } catch (IOException e) {
            require(e.getMessage() != null, "no word on what is wrong");
        }
    }

    /** A device server's answer, to whatever was asked. The first byte chooses that. */
    public static void answers(byte[] bytes) {
        List<Integer> answers = new ArrayList<>();
        Command.Reply reply =
                (errno, in, at) -> {
                    answers.add(errno);
                    require(errno >= 0 && errno <= 4095, "errno " + errno);
                    if (in != null) {
                        require(errno == 0, "data beside an error");
                        byte[] _ = in.asSlice(at, 4).toArray(ValueLayout.JAVA_BYTE);
                    }
                };
        int chosen = bytes.length == 0 ? 0 : bytes[0] & 15;
        MemorySegment data = MemorySegment.ofArray(new byte[4]);
        Command command =
                switch (chosen) {
                    case 0 -> Command.read(REGION, 0x10, 4, reply);
                    case 1 -> Command.write(REGION, 0x10, 4, data, 0, false, reply);
                    case 2 -> Command.map(-Codec.PAGE_SIZE, reply);
                    case 3 -> Command.unmap(0, Codec.PAGE_SIZE, reply);
                    case 4 -> Command.vector(VFIO_PCI_MSIX_IRQ_INDEX, 1, null, reply);
                    case 5 -> Command.noVectors(VFIO_PCI_INTX_IRQ_INDEX, reply);
                    case 8 -> Command.state(reply);
                    case 9 -> Command.changeState(VFIO_DEVICE_STATE_STOP, reply);
                    case 10 -> Command.migRead(4, reply);
                    case 11 -> Command.migWrite(new byte[4], reply);
                    default -> Command.reset(reply);
                };
        byte[] rest = bytes.length == 0 ? bytes : Arrays.copyOfRange(bytes, 1, bytes.length);
        MemorySegment in = buffer(rest, (byte) 0);
        Header header = Codec.header(in);
        // As the stream lets them through, whole.
        if (header.size() < HEADER_SIZE || header.size() > rest.length) {
            return;
        }
        MemorySegment out = MemorySegment.ofArray(new byte[command.size()]);
        command.write(out, 0, header.id());
        boolean isTaken = false;
        try {
            command.answer(header, in.asSlice(0, header.size()), 0);
            isTaken = true;
        } catch (ProtocolException e) {
            require(e.getMessage() != null, "no word on what is wrong");
        }
        require(answers.size() == (isTaken ? 1 : 0), "%d answers".formatted(answers.size()));
        require(!isTaken || header.command() == Codec.header(out).command(), "another command");
    }
}
