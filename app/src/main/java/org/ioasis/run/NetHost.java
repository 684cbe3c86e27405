// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.net.Inet4Address;
import java.nio.ByteBuffer;
import java.util.HexFormat;
import org.ioasis.vm.GuestTask;

/**
 * The only other host in a guest's network, as far as the guest needs one: it answers ARP (RFC 826)
 * for its address, and hands datagrams of UDP (RFC 768) over IPv4 (RFC 791) to {@link TftpService}.
 * The guest is not trusted: a frame is read within its own bounds, and one that is for nobody here
 * is ignored and counted. One thread.
 */
final class NetHost {
    private static final byte[] MAC = HexFormat.of().parseHex("525400000701");
    private static final int ADDRESS = address(GuestTask.NET_PEER);

    // IEEE 802.3: two addresses of 6 bytes and a type.
    private static final int ETHERNET = 14;
    private static final int SOURCE = 6;
    private static final int TYPE = 12;
    private static final int MAC_BYTES = 6;
    private static final int TYPE_ARP = 0x0806;
    private static final int TYPE_IPV4 = 0x0800;

    /** An Ethernet frame has no less, without its checksum. */
    private static final int FRAME_MIN = 60;

    // RFC 826, for Ethernet and IPv4: hardware 0, protocol 2, sizes 4, operation 6, sender 8, its
    // address 14, target 18, its address 24.
    private static final int ARP_BYTES = 28;
    private static final long ARP_REQUEST = 0x0001_0800_0604_0001L;
    private static final long ARP_REPLY = 0x0001_0800_0604_0002L;
    private static final int ARP_SENDER = 8;
    private static final int ARP_SENDER_BYTES = 10;
    private static final int ARP_TARGET_ADDRESS = 24;

    // RFC 791: version and words of the header 0, length 2, flags and fragment 6, protocol 9,
    // checksum 10, source 12, destination 16.
    private static final int IP_HEADER = 20;
    private static final int IP_LENGTH = 2;
    private static final int IP_FRAGMENT = 6;
    private static final int IP_MORE_OR_OFFSET = 0x3fff;
    private static final int IP_PROTOCOL = 9;
    private static final int IP_CHECKSUM = 10;
    private static final int IP_SOURCE = 12;
    private static final int IP_DESTINATION = 16;
    private static final short IP_VERSION_AND_WORDS = 0x4500;
    private static final byte IP_TIME_TO_LIVE = 64;
    private static final int UDP = 17;

    // RFC 768: source 0, destination 2, length 4, checksum 6.
    private static final int UDP_HEADER = 8;
    private static final int UDP_DESTINATION = 2;
    private static final int UDP_LENGTH = 4;

    private final TftpService service;
    private long ignored;

    NetHost(TftpService service) {
        this.service = service;
    }

    private static int address(String literal) {
        return ByteBuffer.wrap(Inet4Address.ofLiteral(literal).getAddress()).getInt();
    }

    /**
     * A frame has come.
     *
     * @param in the frame, from position 0 to its limit
     * @param out is cleared and gets the answer, ready to be read; empty if there is none
     */
    void answer(ByteBuffer in, ByteBuffer out) {
        out.clear();
        boolean isUnderstood =
                in.limit() >= ETHERNET
                        && switch (in.getShort(TYPE) & 0xffff) {
                            case TYPE_ARP -> arp(in, out);
                            case TYPE_IPV4 -> ipv4(in, out);
                            default -> false;
                        };
        if (!isUnderstood) {
            ignored++;
        }
        out.flip();
    }

    private static boolean arp(ByteBuffer in, ByteBuffer out) {
        if (in.limit() < ETHERNET + ARP_BYTES
                || in.getLong(ETHERNET) != ARP_REQUEST
                || in.getInt(ETHERNET + ARP_TARGET_ADDRESS) != ADDRESS) {
            return false;
        }
        header(in, out, TYPE_ARP);
        out.putLong(ARP_REPLY).put(MAC).putInt(ADDRESS);
        out.put(in.slice(ETHERNET + ARP_SENDER, ARP_SENDER_BYTES));
        while (out.position() < FRAME_MIN) {
            out.put((byte) 0);
        }
        return true;
    }

    private static void header(ByteBuffer in, ByteBuffer out, int type) {
        out.put(in.slice(SOURCE, MAC_BYTES)).put(MAC).putShort((short) type);
    }

    private boolean ipv4(ByteBuffer in, ByteBuffer out) {
        if (in.limit() < ETHERNET + IP_HEADER) {
            return false;
        }
        int headerBytes = (in.get(ETHERNET) & 0xf) * Integer.BYTES;
        int length = in.getShort(ETHERNET + IP_LENGTH) & 0xffff;
        if ((in.get(ETHERNET) & 0xf0) != 0x40
                || headerBytes < IP_HEADER
                || length < headerBytes + UDP_HEADER
                || length > in.limit() - ETHERNET
                || (in.getShort(ETHERNET + IP_FRAGMENT) & IP_MORE_OR_OFFSET) != 0
                || in.get(ETHERNET + IP_PROTOCOL) != UDP
                || in.getInt(ETHERNET + IP_DESTINATION) != ADDRESS) {
            return false;
        }
        int udp = ETHERNET + headerBytes;
        int udpLength = in.getShort(udp + UDP_LENGTH) & 0xffff;
        if (udpLength < UDP_HEADER || udpLength > length - headerBytes) {
            return false;
        }
        // The checksum is not looked at: what was sent is hashed, by both sides.
        int clientPort = in.getShort(udp) & 0xffff;
        int payload = ETHERNET + IP_HEADER + UDP_HEADER;
        out.position(payload);
        int port =
                service.answer(
                        clientPort,
                        in.getShort(udp + UDP_DESTINATION) & 0xffff,
                        in.slice(udp + UDP_HEADER, udpLength - UDP_HEADER),
                        out);
        int end = out.position();
        out.position(0);
        if (port >= 0) {
            datagram(in, out, port, clientPort, end - payload);
            out.position(end);
        }
        return true;
    }

    /** The headers of an answer whose payload is there already. */
    private static void datagram(
            ByteBuffer in, ByteBuffer out, int port, int clientPort, int payloadBytes) {
        header(in, out, TYPE_IPV4);
        out.putShort(IP_VERSION_AND_WORDS);
        out.putShort((short) (IP_HEADER + UDP_HEADER + payloadBytes)).putInt(0);
        out.put(IP_TIME_TO_LIVE).put((byte) UDP).putShort((short) 0);
        out.putInt(ADDRESS).putInt(in.getInt(ETHERNET + IP_SOURCE));
        int sum = 0;
        for (int i = 0; i < IP_HEADER; i += Short.BYTES) {
            sum += out.getShort(ETHERNET + i) & 0xffff;
        }
        // Twice: the first carry may bring another one (RFC 1071).
        sum = (sum & 0xffff) + (sum >>> 16);
        sum = (sum & 0xffff) + (sum >>> 16);
        out.putShort(ETHERNET + IP_CHECKSUM, (short) ~sum);
        // Without a checksum of its own (RFC 768).
        out.putShort((short) port).putShort((short) clientPort);
        out.putShort((short) (UDP_HEADER + payloadBytes)).putShort((short) 0);
    }

    /** Frames that were for nobody here. */
    long ignored() {
        return ignored;
    }
}
