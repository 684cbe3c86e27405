// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.util.HexFormat;
import org.ioasis.vm.SeededDisk;
import org.junit.jupiter.api.Test;

/** TFTP as a guest's client sees it, and as one that errs or means harm. */
class TftpServiceTest {
    private static final int BLOCK = 1024;
    private static final int CLIENT = 40_000;
    private static final int READ = 1;
    private static final int WRITE = 2;
    private static final SeededDisk CONTENT = new SeededDisk(7, 5 * 512);
    private static final String OPTIONS = "\0\6blksize\0" + BLOCK + "\0";

    private long now;
    private final TftpService service = new TftpService(CONTENT, BLOCK, () -> now);
    private final ByteBuffer out = ByteBuffer.allocate(TftpService.HEADER + BLOCK);
    private int from;

    /** What is answered, or an empty text. */
    private byte[] send(int client, int port, byte[] datagram) {
        out.clear();
        from = service.answer(client, port, ByteBuffer.wrap(datagram), out);
        out.flip();
        assertThat(out.hasRemaining()).isEqualTo(from >= 0);
        byte[] answer = new byte[out.remaining()];
        out.get(answer);
        return answer;
    }

    private static byte[] request(int operation, int block) {
        return ("\0" + (char) operation + "name\0octet\0blksize\0" + block + "\0")
                .getBytes(US_ASCII);
    }

    private static byte[] packet(int operation, int number, byte[] data) {
        return ByteBuffer.allocate(TftpService.HEADER + data.length)
                .putShort((short) operation)
                .putShort((short) number)
                .put(data)
                .array();
    }

    private byte[] acknowledge(int number) {
        return send(CLIENT, TftpService.FIRST_PORT, packet(4, number, new byte[0]));
    }

    private byte[] data(int number, byte[] data) {
        return send(CLIENT, TftpService.FIRST_PORT, packet(3, number, data));
    }

    private int begin(int client, int operation) {
        byte[] answer = send(client, TftpService.REQUEST_PORT, request(operation, BLOCK));
        assertThat(new String(answer, US_ASCII)).isEqualTo(OPTIONS);
        return from;
    }

    private static byte[] content(int block, int length) {
        ByteBuffer part = ByteBuffer.allocate(length);
        CONTENT.read((long) block * BLOCK, part);
        return part.array();
    }

    private static String sha256(byte[] bytes) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    }

    @Test
    void readerGetsEachBlockForTheOneBeforeAndTheLastIsShort() {
        assertThat(begin(CLIENT, READ)).isEqualTo(TftpService.FIRST_PORT);

        assertThat(acknowledge(0)).isEqualTo(packet(3, 1, content(0, BLOCK)));
        assertThat(acknowledge(1)).isEqualTo(packet(3, 2, content(1, BLOCK)));
        assertThat(acknowledge(2)).isEqualTo(packet(3, 3, content(2, 512)));
        assertThat(service.readBytes()).isEqualTo(2 * BLOCK);
        assertThat(acknowledge(3)).isEmpty();

        assertThat(service.readBytes()).isEqualTo(CONTENT.bytes());
        assertThat(service.ignored()).isZero();
        now = TftpService.AGAIN_NANOS;
        assertThat(acknowledge(3)).isEmpty();
        assertThat(service.readBytes()).isEqualTo(CONTENT.bytes());
    }

    @Test
    void contentThatEndsWithABlockHasAnEmptyOneBehindIt() {
        TftpService even = new TftpService(new SeededDisk(7, BLOCK), BLOCK, () -> now);
        int port = even.answer(CLIENT, 69, ByteBuffer.wrap(request(READ, BLOCK)), out.clear());
        int[] lengths = new int[2];
        for (int i = 0; i < 2; i++) {
            int _ =
                    even.answer(
                            CLIENT, port, ByteBuffer.wrap(packet(4, i, new byte[0])), out.clear());
            lengths[i] = out.position() - TftpService.HEADER;
        }
        assertThat(lengths).containsExactly(BLOCK, 0);
        assertThat(
                        even.answer(
                                CLIENT,
                                port,
                                ByteBuffer.wrap(packet(4, 2, new byte[0])),
                                out.clear()))
                .isEqualTo(-1);
        assertThat(even.readBytes()).isEqualTo(BLOCK);
    }

    /** RFC 1123, 4.2.3.1. */
    @Test
    void blockGoesAgainOnlyWhenItWasWaitedFor() {
        int _ = begin(CLIENT, READ);
        byte[] first = acknowledge(0);
        now = TftpService.AGAIN_NANOS - 1;
        assertThat(acknowledge(0)).isEmpty();
        now = TftpService.AGAIN_NANOS;
        assertThat(acknowledge(0)).isEqualTo(first);
        assertThat(acknowledge(0)).isEmpty();
        assertThat(acknowledge(1)).isEqualTo(packet(3, 2, content(1, BLOCK)));
        assertThat(service.readBytes()).isEqualTo(BLOCK);
    }

    @Test
    void blockThatIsWrittenTwiceCountsOnceAndIsAcknowledgedTwice() throws Exception {
        int _ = begin(CLIENT, WRITE);
        byte[] whole = content(0, BLOCK);
        byte[] rest = {1, 2, 3};
        assertThat(data(1, whole)).isEqualTo(packet(4, 1, new byte[0]));
        assertThat(data(1, whole)).isEqualTo(packet(4, 1, new byte[0]));
        assertThat(data(3, whole)).isEmpty();
        assertThat(service.isWrittenWhole()).isFalse();
        assertThat(data(2, rest)).isEqualTo(packet(4, 2, new byte[0]));
        assertThat(data(2, rest)).isEqualTo(packet(4, 2, new byte[0]));
        assertThat(data(3, rest)).isEmpty();

        assertThat(service.isWrittenWhole()).isTrue();
        assertThat(service.writtenBytes()).isEqualTo(BLOCK + 3);
        byte[] all = ByteBuffer.allocate(BLOCK + 3).put(whole).put(rest).array();
        assertThat(service.writtenHash()).isEqualTo(sha256(all));
    }

    @Test
    void blockNumbersBeginAgainAfterTheLast() {
        int _ = begin(CLIENT, WRITE);
        int blocks = (1 << 16) + 2;
        for (int i = 1; i <= blocks; i++) {
            assertThat(data(i & 0xffff, new byte[BLOCK])).hasSize(TftpService.HEADER);
        }
        assertThat(service.writtenBytes()).isEqualTo((long) blocks * BLOCK);
        assertThat(service.ignored()).isZero();
    }

    @Test
    void blockThatIsLongerThanAgreedIsIgnored() {
        int _ = begin(CLIENT, WRITE);
        assertThat(data(1, new byte[BLOCK + 1])).isEmpty();
        assertThat(service.writtenBytes()).isZero();
        assertThat(service.ignored()).isEqualTo(1);
    }

    @Test
    void asManyTransfersAsTheLimitBeginAndNotOneMore() {
        for (int i = 0; i < TftpService.TRANSFER_LIMIT; i++) {
            assertThat(begin(CLIENT + i, READ)).isEqualTo(TftpService.FIRST_PORT + i);
        }
        byte[] refused =
                send(
                        CLIENT + TftpService.TRANSFER_LIMIT,
                        TftpService.REQUEST_PORT,
                        request(READ, BLOCK));

        assertThat(refused).startsWith(0, 5);
        assertThat(new String(refused, US_ASCII)).contains("no more than 2 transfers");
        assertThat(service.ignored()).isEqualTo(1);
        // One that asked before may ask again.
        assertThat(begin(CLIENT, READ)).isEqualTo(TftpService.FIRST_PORT);
    }

    @Test
    void requestWithoutTheSizeOfBlocksIsRefusedInWords() {
        byte[] refused = send(CLIENT, 69, request(READ, 512));
        assertThat(refused).startsWith(0, 5);
        assertThat(new String(refused, US_ASCII)).contains("blksize");
        assertThat(send(CLIENT, 69, "\0\1name\0octet\0".getBytes(US_ASCII))).startsWith(0, 5);
        assertThat(send(CLIENT, 69, packet(READ, 0, new byte[600]))).startsWith(0, 5);
    }

    @Test
    void clientThatGivesUpIsToldOfAndGetsNothingMore() {
        int _ = begin(CLIENT, READ);
        byte[] _ = acknowledge(0);
        assertThat(send(CLIENT, from, packet(5, 3, "disk\nfull\0".getBytes(US_ASCII)))).isEmpty();
        assertThat(service.clientError()).isEqualTo("code 3, diskfull");
        assertThat(acknowledge(1)).isEmpty();
    }

    @Test
    void whatNoClientWouldSendIsIgnoredAndCounted() {
        int port = begin(CLIENT, READ);
        byte[][] nothing = {
            {},
            {0, 4, 0},
            packet(3, 1, new byte[4]),
            packet(4, 5, new byte[0]),
            packet(9, 0, new byte[0])
        };
        for (byte[] datagram : nothing) {
            assertThat(send(CLIENT, port, datagram)).isEmpty();
        }
        assertThat(send(CLIENT + 1, port, packet(4, 0, new byte[0]))).isEmpty();
        assertThat(send(CLIENT, port + 1, packet(4, 0, new byte[0]))).isEmpty();
        assertThat(send(CLIENT, 69, packet(3, 1, new byte[0]))).isEmpty();
        assertThat(send(CLIENT, 69, request(WRITE, BLOCK))).isEmpty();
        assertThat(service.ignored()).isEqualTo(nothing.length + 4);
    }
}
