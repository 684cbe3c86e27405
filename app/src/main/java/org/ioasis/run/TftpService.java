// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.function.LongSupplier;
import org.ioasis.memory.Count;
import org.ioasis.vm.SeededDisk;
import org.jspecify.annotations.Nullable;

/**
 * A server of TFTP (RFC 1350) with blocks of a chosen size (RFC 2348): it gives one content to
 * whoever reads, whatever the name, and hashes what is written. Knows datagrams and no network. The
 * client is not trusted: what is not understood is ignored and counted. Its own thread, except
 * {@link #readBytes} and {@link #writtenBytes}, which are for any.
 */
final class TftpService {
    /** RFC 1350: where requests go. */
    static final int REQUEST_PORT = 69;

    /** Reads and writes over its life: a client that wants more is told so. */
    static final int TRANSFER_LIMIT = 2;

    /** Transfer i has the port after this one and i further ones. */
    static final int FIRST_PORT = 20_069;

    /** Operation and block number, or operation and code. */
    static final int HEADER = 4;

    /**
     * A client that asks again for a block that it was sent so lately has not waited for it (RFC
     * 1123, 4.2.3.1: answered, each later block would go twice).
     */
    static final long AGAIN_NANOS = 500_000_000;

    private static final int READ = 1;
    private static final int WRITE = 2;
    private static final int DATA = 3;
    private static final int ACKNOWLEDGE = 4;
    private static final int ERROR = 5;
    private static final int OPTIONS = 6;
    private static final int ERROR_UNDEFINED = 0;
    private static final int BLOCK_NUMBERS = 1 << 16;

    /** What comes behind a request's operation is not longer. */
    private static final int REQUEST_MAX = 512;

    private final SeededDisk content;
    private final int block;
    private final LongSupplier nanoTime;
    private final List<Transfer> transfers = new ArrayList<>();
    private final MessageDigest written = sha256();
    private @Nullable String clientError;
    private long ignored;
    private final Count readBytes = new Count();
    private final Count writtenBytes = new Count();
    private boolean isWrittenWhole;

    /** One client that reads or writes. */
    private static final class Transfer {
        final int clientPort;
        final int port;
        final boolean isWrite;

        /** Blocks that have come, or of which is known that they have. */
        long done;

        /** When block {@code done + 1} was given to the client, if it {@link #isSent}. */
        long sentNanos;

        boolean isSent;
        boolean isOver;

        Transfer(int clientPort, int port, boolean isWrite) {
            this.clientPort = clientPort;
            this.port = port;
            this.isWrite = isWrite;
        }
    }

    /**
     * @param content for who reads
     * @param block the size of blocks that is agreed to, a multiple of 8
     */
    TftpService(SeededDisk content, int block, LongSupplier nanoTime) {
        this.content = content;
        this.block = block;
        this.nanoTime = nanoTime;
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has it", e);
        }
    }

    /**
     * A datagram has come.
     *
     * @param in its payload
     * @param out gets the answer's payload; has room for a header and a block
     * @return the port that the answer comes from; -1 if there is none
     */
    int answer(int clientPort, int port, ByteBuffer in, ByteBuffer out) {
        if (in.remaining() < HEADER) {
            return ignore();
        }
        int operation = in.getShort() & 0xffff;
        if (port == REQUEST_PORT) {
            return operation == READ || operation == WRITE
                    ? begin(clientPort, operation == WRITE, in, out)
                    : ignore();
        }
        for (Transfer transfer : transfers) {
            if (transfer.port == port && transfer.clientPort == clientPort) {
                return goOn(transfer, operation, in, out);
            }
        }
        return ignore();
    }

    private int ignore() {
        ignored++;
        return -1;
    }

    private int begin(int clientPort, boolean isWrite, ByteBuffer in, ByteBuffer out) {
        Transfer known = null;
        for (Transfer transfer : transfers) {
            if (transfer.clientPort == clientPort) {
                known = transfer;
            }
        }
        if (known != null && (known.isWrite != isWrite || known.done > 0)) {
            return ignore();
        }
        if (!asksForBlocks(in)) {
            error(out, "blocks of %d bytes (blksize) are what there is".formatted(block));
            return REQUEST_PORT;
        }
        if (known == null && transfers.size() == TRANSFER_LIMIT) {
            error(out, "no more than %d transfers".formatted(TRANSFER_LIMIT));
            return REQUEST_PORT;
        }
        if (known == null) {
            known = new Transfer(clientPort, FIRST_PORT + transfers.size(), isWrite);
            transfers.add(known);
        }
        out.putShort((short) OPTIONS);
        out.put(("blksize\0" + block + "\0").getBytes(StandardCharsets.US_ASCII));
        return known.port;
    }

    /** Whether a request has the option that this server answers to (RFC 2347, RFC 2348). */
    private boolean asksForBlocks(ByteBuffer in) {
        if (in.remaining() > REQUEST_MAX) {
            return false;
        }
        // Name, mode, and pairs of an option and its value, each with a zero byte behind.
        String[] words = StandardCharsets.US_ASCII.decode(in).toString().split("\0", -1);
        for (int i = 2; i + 1 < words.length; i += 2) {
            if (words[i].equalsIgnoreCase("blksize")) {
                return words[i + 1].equals(Integer.toString(block));
            }
        }
        return false;
    }

    private void error(ByteBuffer out, String text) {
        ignored++;
        out.putShort((short) ERROR).putShort((short) ERROR_UNDEFINED);
        out.put((text + "\0").getBytes(StandardCharsets.US_ASCII));
    }

    private int goOn(Transfer transfer, int operation, ByteBuffer in, ByteBuffer out) {
        int number = in.getShort() & 0xffff;
        if (operation == ERROR) {
            byte[] text = new byte[Math.min(in.remaining(), REQUEST_MAX)];
            in.get(text);
            clientError =
                    "code %d, %s"
                            .formatted(
                                    number,
                                    new String(text, StandardCharsets.US_ASCII)
                                            .replaceAll("[^ -~]", ""));
            transfer.isOver = true;
            return -1;
        }
        if (operation == DATA && transfer.isWrite) {
            return take(transfer, number, in, out);
        }
        return operation == ACKNOWLEDGE && !transfer.isWrite
                ? give(transfer, number, out)
                : ignore();
    }

    /** A block of what is written; the last one is shorter than the others. */
    private int take(Transfer transfer, int number, ByteBuffer in, ByteBuffer out) {
        boolean isNext = number == (transfer.done + 1) % BLOCK_NUMBERS && !transfer.isOver;
        boolean isAgain = number == transfer.done % BLOCK_NUMBERS && transfer.done > 0;
        if (in.remaining() > block || !(isNext || isAgain)) {
            return ignore();
        }
        if (isNext) {
            transfer.done++;
            transfer.isOver = in.remaining() < block;
            isWrittenWhole |= transfer.isOver;
            writtenBytes.add(in.remaining());
            written.update(in);
        }
        out.putShort((short) ACKNOWLEDGE).putShort((short) number);
        return transfer.port;
    }

    /** The block behind the one that has arrived. */
    private int give(Transfer transfer, int number, ByteBuffer out) {
        long now = nanoTime.getAsLong();
        boolean isArrived = transfer.isSent && number == (transfer.done + 1) % BLOCK_NUMBERS;
        boolean isAgain =
                number == transfer.done % BLOCK_NUMBERS
                        && !(transfer.isSent && now - transfer.sentNanos < AGAIN_NANOS);
        if (transfer.isOver || !(isArrived || isAgain)) {
            return ignore();
        }
        long first = transfer.done * block;
        if (isArrived) {
            long arrived = Math.min(block, content.bytes() - first);
            transfer.done++;
            readBytes.add(arrived);
            if (arrived < block) {
                // The last block is shorter than the others, empty if need be.
                transfer.isOver = true;
                return -1;
            }
            first += block;
        }
        transfer.isSent = true;
        transfer.sentNanos = now;
        out.putShort((short) DATA).putShort((short) (transfer.done + 1));
        ByteBuffer part = out.slice(out.position(), block);
        content.read(first, part);
        out.position(out.position() + part.position());
        return transfer.port;
    }

    /** How much of the content has arrived at a client. Any thread. */
    long readBytes() {
        return readBytes.read();
    }

    /** How much has been written. Any thread. */
    long writtenBytes() {
        return writtenBytes.read();
    }

    /** Datagrams that no client of this server would have sent. */
    long ignored() {
        return ignored;
    }

    /** Whether a client has written to the end of what it had. */
    boolean isWrittenWhole() {
        return isWrittenWhole;
    }

    /** What a client gave up with, or null. */
    @Nullable String clientError() {
        return clientError;
    }

    /** SHA-256 of what was written, in hexadecimal; once, at the end. */
    String writtenHash() {
        return HexFormat.of().formatHex(written.digest());
    }
}
