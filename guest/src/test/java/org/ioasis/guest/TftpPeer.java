// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import java.io.Closeable;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import org.jspecify.annotations.Nullable;

/**
 * The other end of a guest's network: a host with one address that answers ARP (RFC 826) and serves
 * TFTP (RFC 1350, blocks of RFC 2348) over a stream of frames. It gives one content to whoever
 * reads and hashes what is written to it. A thread of its own; results when it has ended.
 */
final class TftpPeer implements Closeable {
    private static final byte[] MAC = HexFormat.of().parseHex("525400000701");
    private static final byte[] ADDRESS = {10, 7, 0, 1};
    private static final int ETHERNET = 14;
    private static final int ARP = 0x0806;
    private static final int IPV4 = 0x0800;
    private static final int IP_HEADER = 20;
    private static final int UDP_HEADER = 8;
    private static final int UDP = 17;
    private static final int TFTP_PORT = 69;
    private static final int OUR_PORT = 20_069;

    /** What the guest asks for by {@code -b}. */
    private static final int BLOCK = 8192;

    private final ServerSocketChannel listener;
    private final byte[] content;
    private final MessageDigest written = sha256();
    private final Thread thread;
    private volatile @Nullable SocketChannel stream;
    private volatile @Nullable Throwable failure;
    private long writtenBytes;
    private long readBytes;
    private boolean isWriting;

    /** Of the block that is expected next, when the guest writes. */
    private int expected;

    /** Listens; the content is given to whoever reads. */
    TftpPeer(Path socket, byte[] content) throws IOException {
        this.content = content;
        listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        listener.bind(UnixDomainSocketAddress.of(socket));
        thread = Thread.ofPlatform().name("tftp-peer").daemon().start(this::run);
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has it", e);
        }
    }

    private void run() {
        try (SocketChannel accepted = listener.accept()) {
            stream = accepted;
            DataInputStream in = new DataInputStream(Channels.newInputStream(accepted));
            while (true) {
                byte[] frame = new byte[in.readInt()];
                in.readFully(frame);
                ByteBuffer answer = answer(frame);
                while (answer != null && answer.hasRemaining()) {
                    int _ = accepted.write(answer);
                }
            }
        } catch (EOFException | ClosedChannelException e) {
            // The end.
        } catch (IOException | RuntimeException e) {
            failure = e;
        }
    }

    private @Nullable ByteBuffer answer(byte[] frame) {
        ByteBuffer in = ByteBuffer.wrap(frame);
        int type = in.getShort(12) & 0xffff;
        if (type == ARP && Arrays.equals(frame, 38, 42, ADDRESS, 0, 4)) {
            return arp(frame);
        }
        if (type != IPV4 || frame[ETHERNET + 9] != UDP) {
            return null;
        }
        int port = in.getShort(ETHERNET + IP_HEADER + 2) & 0xffff;
        int length = in.getShort(ETHERNET + IP_HEADER + 4) - UDP_HEADER;
        if (port != TFTP_PORT && port != OUR_PORT) {
            return null;
        }
        byte[] reply = tftp(in.slice(ETHERNET + IP_HEADER + UDP_HEADER, length));
        return reply == null ? null : datagram(frame, reply);
    }

    private static ByteBuffer arp(byte[] request) {
        ByteBuffer out = ByteBuffer.allocate(4 + 60).putInt(60);
        out.put(request, 6, 6).put(MAC).putShort((short) ARP);
        out.putShort((short) 1).putShort((short) IPV4).put((byte) 6).put((byte) 4);
        out.putShort((short) 2).put(MAC).put(ADDRESS).put(request, 22, 10);
        return out.rewind();
    }

    private static ByteBuffer datagram(byte[] request, byte[] payload) {
        int total = IP_HEADER + UDP_HEADER + payload.length;
        ByteBuffer out = ByteBuffer.allocate(4 + ETHERNET + total).putInt(ETHERNET + total);
        out.put(request, 6, 6).put(MAC).putShort((short) IPV4);
        int ip = out.position();
        out.putShort((short) 0x4500).putShort((short) total).putInt(0);
        out.put((byte) 64).put((byte) UDP).putShort((short) 0);
        out.put(ADDRESS).put(request, ETHERNET + 12, 4);
        int sum = 0;
        for (int i = 0; i < IP_HEADER; i += 2) {
            sum += out.getShort(ip + i) & 0xffff;
        }
        sum = (sum & 0xffff) + (sum >>> 16);
        out.putShort(ip + 10, (short) ~((sum & 0xffff) + (sum >>> 16)));
        // Without a checksum (RFC 768); what arrives is hashed.
        out.putShort((short) OUR_PORT).put(request, ETHERNET + IP_HEADER, 2);
        out.putShort((short) (UDP_HEADER + payload.length)).putShort((short) 0);
        return out.put(payload).rewind();
    }

    private byte @Nullable [] tftp(ByteBuffer in) {
        int operation = in.getShort();
        return switch (operation) {
            case 1, 2 -> {
                isWriting = operation == 2;
                expected = 1;
                yield ("\0\6blksize\0" + BLOCK + "\0").getBytes(StandardCharsets.US_ASCII);
            }
            case 3 -> {
                int block = in.getShort() & 0xffff;
                if (isWriting && block == (expected & 0xffff)) {
                    writtenBytes += in.remaining();
                    written.update(in);
                    expected++;
                }
                yield ByteBuffer.allocate(4).putShort((short) 4).putShort((short) block).array();
            }
            case 4 -> isWriting ? null : data(in.getShort() & 0xffff);
            default -> throw new IllegalStateException("TFTP operation " + operation);
        };
    }

    /** The block after the acknowledged one; null after the last. */
    private byte @Nullable [] data(int acknowledged) {
        int from = acknowledged * BLOCK;
        if (from > content.length) {
            return null;
        }
        int length = Math.min(BLOCK, content.length - from);
        readBytes = (long) from + length;
        return ByteBuffer.allocate(4 + length)
                .putShort((short) 3)
                .putShort((short) (acknowledged + 1))
                .put(content, from, length)
                .array();
    }

    /** Ends it. */
    @Override
    public void close() throws IOException {
        listener.close();
        SocketChannel open = stream;
        if (open != null) {
            open.close();
        }
        try {
            thread.join(10_000);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        Throwable failed = failure;
        if (failed != null) {
            throw new UncheckedIOException(new IOException("the peer failed", failed));
        }
    }

    /** SHA-256 of what the guest has written, in hexadecimal; after the end, once. */
    String writtenHash() {
        return HexFormat.of().formatHex(written.digest());
    }

    /** After the end. */
    long writtenBytes() {
        return writtenBytes;
    }

    /** After the end. */
    long readBytes() {
        return readBytes;
    }
}
