// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.ioasis.spec.VfioUser.*;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.pci.RegionAccess;
import org.ioasis.peer.SocketPeer;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.UnixSocket;

/**
 * The VMM's side of vfio-user, over a real socket: speaks it as QEMU does, and as badly as a test
 * wants. One thread.
 */
final class MockVfioUserClient extends SocketPeer {
    /** What QEMU 11.1 proposes, without its migration part. */
    static final String QEMU_CAPABILITIES =
            "{\"capabilities\": {\"pgsizes\": 4096, \"max_msg_fds\": 16, \"max_dma_maps\": 65535,"
                    + " \"max_data_xfer_size\": 1048576, \"migration\": {\"pgsize\": 4096,"
                    + " \"max_bitmap_size\": 268435456}, \"write_multiple\": true}}\0";

    private int nextId = 1;

    /** A message from the server. */
    record Reply(int id, int command, int size, int flags, int error, MemorySegment payload) {
        boolean isError() {
            return (flags & FLAGS_ERROR) != 0;
        }

        byte[] data() {
            return payload.toArray(ValueLayout.JAVA_BYTE);
        }

        ByteBuffer fields() {
            return ByteBuffer.wrap(data()).order(ByteOrder.LITTLE_ENDIAN);
        }
    }

    private MockVfioUserClient(UnixSocket socket) throws ErrnoException {
        super(socket, "server");
    }

    static MockVfioUserClient connect(Path path) throws ErrnoException {
        return new MockVfioUserClient(UnixSocket.connect(path));
    }

    /** Connected and past VERSION. */
    static MockVfioUserClient ready(Path path) throws ErrnoException {
        MockVfioUserClient client = connect(path);
        Reply reply = client.version();
        if (reply.isError()) {
            throw new IllegalStateException("VERSION refused: " + Errno.name(reply.error()));
        }
        return client;
    }

    static Payload payload(int size) {
        return new Payload(size);
    }

    // Raw.

    static byte[] message(int id, int command, int flags, int size, byte[] payload) {
        return payload(HEADER_SIZE + payload.length)
                .u16(id)
                .u16(command)
                .u32(size)
                .u32(flags)
                .u32(0)
                .bytes(payload)
                .array();
    }

    static byte[] message(int id, int command, int flags, byte[] payload) {
        return message(id, command, flags, HEADER_SIZE + payload.length, payload);
    }

    int send(int command, int flags, byte[] payload, Fd... fds) throws ErrnoException {
        int id = nextId++ & 0xffff;
        sendBytes(message(id, command, flags, payload), fds);
        return id;
    }

    /** Waits for one message. */
    Reply receive() throws ErrnoException {
        List<Fd> fds = new ArrayList<>();
        Reply reply = receive(fds);
        if (!fds.isEmpty()) {
            fds.forEach(Fd::close);
            throw new IllegalStateException("descriptors with " + reply);
        }
        return reply;
    }

    private Reply receive(List<Fd> fds) throws ErrnoException {
        ByteBuffer fields = receiveBytes(HEADER_SIZE, fds);
        int id = Short.toUnsignedInt(fields.getShort());
        int command = Short.toUnsignedInt(fields.getShort());
        int size = fields.getInt();
        int flags = fields.getInt();
        int error = fields.getInt();
        MemorySegment payload =
                MemorySegment.ofArray(receiveBytes(size - HEADER_SIZE, fds).array());
        return new Reply(id, command, size, flags, error, payload);
    }

    Reply call(int command, byte[] payload, Fd... fds) throws ErrnoException {
        int id = send(command, 0, payload, fds);
        Reply reply = receive();
        if (reply.id() != id
                || reply.command() != command
                || (reply.flags() & FLAGS_TYPE_MASK) != FLAGS_TYPE_REPLY) {
            throw new IllegalStateException(reply + " is no reply to " + id);
        }
        return reply;
    }

    /** The reply and the descriptors that came with it, the caller's. */
    record WithFds(Reply reply, List<Fd> fds) {}

    WithFds ioFds(int region, int room) throws ErrnoException {
        byte[] asked = new Payload(16).u32(room).u32(0).u32(region).u32(0).array();
        int _ = send(VFIO_USER_DEVICE_GET_REGION_IO_FDS, 0, asked);
        return receiveWithFds();
    }

    WithFds receiveWithFds() throws ErrnoException {
        List<Fd> fds = new ArrayList<>();
        return new WithFds(receive(fds), fds);
    }

    // Commands.

    static byte[] versionPayload(int major, int minor, String data) {
        byte[] text = data.getBytes(StandardCharsets.UTF_8);
        return payload(4 + text.length).u16(major).u16(minor).bytes(text).array();
    }

    Reply version() throws ErrnoException {
        return call(VFIO_USER_VERSION, versionPayload(0, 0, QEMU_CAPABILITIES));
    }

    static byte[] mapPayload(long address, long size, long offset, int flags) {
        return payload(DMA_MAP_SIZE)
                .u32(DMA_MAP_SIZE)
                .u32(flags)
                .u64(offset)
                .u64(address)
                .u64(size)
                .array();
    }

    Reply map(long address, long size, long offset, int flags, Fd... fds) throws ErrnoException {
        return call(VFIO_USER_DMA_MAP, mapPayload(address, size, offset, flags), fds);
    }

    static byte[] unmapPayload(long address, long size, int flags) {
        return payload(DMA_UNMAP_SIZE)
                .u32(DMA_UNMAP_SIZE)
                .u32(flags)
                .u64(address)
                .u64(size)
                .array();
    }

    Reply unmap(long address, long size) throws ErrnoException {
        return call(VFIO_USER_DMA_UNMAP, unmapPayload(address, size, 0));
    }

    static byte[] accessPayload(int region, long offset, int count, byte[] data) {
        return payload(REGION_ACCESS_DATA + data.length)
                .u64(offset)
                .u32(region)
                .u32(count)
                .bytes(data)
                .array();
    }

    Reply readRegion(int region, long offset, int count) throws ErrnoException {
        return call(VFIO_USER_REGION_READ, accessPayload(region, offset, count, new byte[0]));
    }

    long read(int region, long offset, int size) throws ErrnoException {
        Reply reply = readRegion(region, offset, size);
        if (reply.isError()) {
            throw new IllegalStateException("read refused: " + Errno.name(reply.error()));
        }
        return RegionAccess.register(reply.payload(), REGION_ACCESS_DATA, size);
    }

    static byte[] bytes(int size, long value) {
        byte[] bytes = new byte[size];
        RegionAccess.register(MemorySegment.ofArray(bytes), 0, size, value);
        return bytes;
    }

    Reply write(int region, long offset, int size, long value) throws ErrnoException {
        return call(
                VFIO_USER_REGION_WRITE, accessPayload(region, offset, size, bytes(size, value)));
    }

    /** As QEMU writes to BARs: without waiting for a reply. */
    void post(int region, long offset, int size, long value) throws ErrnoException {
        send(
                VFIO_USER_REGION_WRITE,
                FLAGS_NO_REPLY,
                accessPayload(region, offset, size, bytes(size, value)));
    }

    static byte[] irqPayload(int flags, int index, int start, int count, byte... data) {
        return payload(IRQ_SET_DATA + data.length)
                .u32(IRQ_SET_DATA + data.length)
                .u32(flags)
                .u32(index)
                .u32(start)
                .u32(count)
                .bytes(data)
                .array();
    }

    int irqCount(int index) throws ErrnoException {
        byte[] asked = new Payload(16).u32(16).u32(0).u32(index).u32(0).array();
        return call(VFIO_USER_DEVICE_GET_IRQ_INFO, asked).fields().getInt(IRQ_INFO_COUNT);
    }

    Reply setIrqs(int flags, int index, int start, int count, Fd... fds) throws ErrnoException {
        return call(VFIO_USER_DEVICE_SET_IRQS, irqPayload(flags, index, start, count), fds);
    }

    Reply reset() throws ErrnoException {
        return call(VFIO_USER_DEVICE_RESET, new byte[0]);
    }
}
