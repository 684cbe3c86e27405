// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Random;
import org.ioasis.vm.SeededDisk;
import org.junit.jupiter.api.Test;

/** Frames of a guest's, right ones and any others. */
class NetHostTest {
    private static final String GUEST_MAC = "525400000702";
    private static final String HOST_MAC = "525400000701";
    private static final String ARP =
            "ffffffffffff"
                    + GUEST_MAC
                    + "0806"
                    + "0001080006040001"
                    + GUEST_MAC
                    + "0a070002"
                    + "000000000000"
                    + "0a070001";

    private final NetHost host =
            new NetHost(new TftpService(new SeededDisk(1, 4096), 512, () -> 0));
    private final ByteBuffer out = ByteBuffer.allocate(2048);

    private byte[] answer(byte[] frame) {
        host.answer(ByteBuffer.wrap(frame), out);
        byte[] bytes = new byte[out.remaining()];
        out.get(bytes);
        return bytes;
    }

    private static byte[] hex(String text) {
        return HexFormat.of().parseHex(text);
    }

    /** A request to read, in blocks of 512 bytes. */
    private static byte[] request() {
        byte[] payload = "\0\1f\0octet\0blksize\000512\0".getBytes(US_ASCII);
        ByteBuffer frame = ByteBuffer.allocate(14 + 28 + payload.length);
        frame.put(hex(HOST_MAC + GUEST_MAC + "0800"));
        frame.putShort((short) 0x4500).putShort((short) (28 + payload.length));
        frame.put(hex("00014000" + "40110000" + "0a070002" + "0a070001"));
        frame.putShort((short) 40_000).putShort((short) 69);
        frame.putShort((short) (8 + payload.length)).putShort((short) 0);
        return frame.put(payload).array();
    }

    @Test
    void whoAsksForTheHostsAddressGetsItsStation() {
        byte[] answer = answer(hex(ARP));
        assertThat(answer).hasSize(60);
        assertThat(HexFormat.of().formatHex(answer, 0, 42))
                .isEqualTo(
                        GUEST_MAC
                                + HOST_MAC
                                + "0806"
                                + "0001080006040002"
                                + HOST_MAC
                                + "0a070001"
                                + GUEST_MAC
                                + "0a070002");
        byte[] another = hex(ARP);
        another[41] = 9;
        assertThat(answer(another)).isEmpty();
        assertThat(host.ignored()).isEqualTo(1);
    }

    @Test
    void datagramIsAnsweredFromTheTransfersPortWithARightHeader() {
        byte[] answer = answer(request());
        ByteBuffer frame = ByteBuffer.wrap(answer);
        assertThat(HexFormat.of().formatHex(answer, 0, 14))
                .isEqualTo(GUEST_MAC + HOST_MAC + "0800");
        int sum = 0;
        for (int i = 14; i < 34; i += 2) {
            sum += frame.getShort(i) & 0xffff;
        }
        assertThat((sum & 0xffff) + (sum >>> 16)).isEqualTo(0xffff);
        assertThat(frame.getShort(16)).isEqualTo((short) (answer.length - 14));
        assertThat(frame.getInt(26)).isEqualTo(0x0a07_0001);
        assertThat(frame.getInt(30)).isEqualTo(0x0a07_0002);
        assertThat(frame.getShort(34)).isEqualTo((short) TftpService.FIRST_PORT);
        assertThat(frame.getShort(36)).isEqualTo((short) 40_000);
        assertThat(frame.getShort(38)).isEqualTo((short) (answer.length - 34));
        assertThat(new String(answer, 42, answer.length - 42, US_ASCII))
                .isEqualTo("\0\6blksize\000512\0");
    }

    @Test
    void optionsOfIpAreSkipped() {
        byte[] plain = request();
        byte[] longer = new byte[plain.length + 4];
        System.arraycopy(plain, 0, longer, 0, 34);
        System.arraycopy(plain, 34, longer, 38, plain.length - 34);
        longer[14] = 0x46;
        longer[17] = (byte) (longer[17] + 4);
        assertThat(answer(longer)).isNotEmpty();
    }

    @Test
    void frameWhoseLengthsDoNotFitIsIgnoredAndCounted() {
        byte[] good = request();
        int count = 0;
        for (int length = 0; length < 43; length++) {
            assertThat(answer(Arrays.copyOf(good, length))).as("%d bytes", length).isEmpty();
            count++;
        }
        // Version, words of the header, total length, fragment, protocol, address, length of UDP.
        int[][] wrong = {
            {14, 0x65},
            {14, 0x44},
            {14, 0x4f},
            {16, 0x7f},
            {17, 27},
            {20, 0x20},
            {21, 1},
            {23, 6},
            {33, 9},
            {38, 1},
            {39, 7}
        };
        for (int[] change : wrong) {
            byte[] frame = good.clone();
            frame[change[0]] = (byte) change[1];
            assertThat(answer(frame)).as("byte %d is %d", change[0], change[1]).isEmpty();
            count++;
        }
        assertThat(host.ignored()).isEqualTo(count);
        assertThat(answer(good)).isNotEmpty();
    }

    @Test
    void anyBytesAreSurvived() {
        Random random = new Random(3);
        byte[] good = request();
        byte[] arp = hex(ARP);
        int answers = 0;
        for (int i = 0; i < 100_000; i++) {
            byte[] frame = (i % 2 == 0 ? good : arp).clone();
            for (int j = 0; j < 1 + i % 3; j++) {
                frame[12 + random.nextInt(frame.length - 12)] = (byte) random.nextInt();
            }
            answers += answer(Arrays.copyOf(frame, frame.length - i % 5)).length > 0 ? 1 : 0;
        }
        assertThat(answers).isPositive();
        assertThat(host.ignored()).isPositive();
    }
}
