// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.function.BooleanSupplier;

/**
 * QEMU's qtest protocol: commands in place of a processor, a line each, and a line in answer. QEMU
 * carries a command out before it answers. One thread; each call blocks until the answer is there
 * or the patience is over.
 */
public final class QtestClient implements AutoCloseable {
    /** Longer than any answer to what is asked here. */
    private static final int LINE_LIMIT = 4096;

    /** How often to look whether QEMU still runs while it has not connected. */
    private static final long ACCEPT_MILLIS = 20;

    private final SocketChannel channel;
    private final Selector selector;
    private final Duration patience;
    private final ByteBuffer received = ByteBuffer.allocate(LINE_LIMIT).flip();
    private final StringBuilder line = new StringBuilder();

    private QtestClient(SocketChannel channel, Duration patience) throws IOException {
        this.channel = channel;
        this.patience = patience;
        channel.configureBlocking(false);
        selector = Selector.open();
        channel.register(selector, SelectionKey.OP_READ);
    }

    /**
     * Waits for QEMU to connect.
     *
     * @param isAlive whether it can still come
     * @throws IOException it did not come, or its process has ended
     */
    public static QtestClient accept(
            ServerSocketChannel listener, Duration patience, BooleanSupplier isAlive)
            throws IOException {
        listener.configureBlocking(false);
        long deadline = System.nanoTime() + patience.toNanos();
        try (Selector waiting = Selector.open()) {
            listener.register(waiting, SelectionKey.OP_ACCEPT);
            while (true) {
                SocketChannel channel = listener.accept();
                if (channel != null) {
                    return new QtestClient(channel, patience);
                }
                if (!isAlive.getAsBoolean()) {
                    throw new IOException("QEMU has ended before it connected to its qtest socket");
                }
                if (System.nanoTime() - deadline > 0) {
                    throw new IOException(
                            "QEMU has not connected to its qtest socket within %d s"
                                    .formatted(patience.toSeconds()));
                }
                waiting.select(ACCEPT_MILLIS);
                waiting.selectedKeys().clear();
            }
        }
    }

    /** Reads 1, 2, 4 or 8 bytes of physical memory, zero-extended. */
    public long read(long address, int size) throws IOException {
        return value("read%c 0x%x".formatted(suffix(size), address));
    }

    /** Writes 1, 2, 4 or 8 bytes of physical memory. */
    public void write(long address, int size, long value) throws IOException {
        long low = size == 8 ? value : value & ((1L << (8 * size)) - 1);
        String _ = answer("write%c 0x%x 0x%x".formatted(suffix(size), address, low));
    }

    private static char suffix(int size) {
        return switch (size) {
            case 1 -> 'b';
            case 2 -> 'w';
            case 4 -> 'l';
            case 8 -> 'q';
            default -> throw new IllegalArgumentException("access of " + size + " bytes");
        };
    }

    /** Reads a 32-bit port. */
    public int in32(int port) throws IOException {
        return (int) value("inl 0x%x".formatted(port));
    }

    /** Writes a 32-bit port. */
    public void out32(int port, int value) throws IOException {
        String _ = answer("outl 0x%x 0x%x".formatted(port, value));
    }

    /** Writes an 8-bit port. */
    public void out8(int port, int value) throws IOException {
        String _ = answer("outb 0x%x 0x%x".formatted(port, value));
    }

    /** Lets the machine's clock go on, and what was waiting for it happen. */
    public void clockStep(Duration time) throws IOException {
        String _ = answer("clock_step " + time.toNanos());
    }

    private long value(String command) throws IOException {
        String answer = answer(command);
        if (!answer.matches("0x[0-9a-fA-F]{1,16}")) {
            throw new IOException(
                    "qtest: \"%s\" was answered \"OK %s\"".formatted(command, answer));
        }
        return Long.parseUnsignedLong(answer.substring(2), 16);
    }

    /** What follows OK. */
    private String answer(String command) throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap((command + "\n").getBytes(StandardCharsets.US_ASCII));
        while (bytes.hasRemaining()) {
            // A command is far smaller than the socket's buffer, and there is one at a time.
            if (channel.write(bytes) == 0) {
                throw new IOException("qtest: QEMU does not read its socket");
            }
        }
        String answer = nextLine(command);
        while (answer.startsWith("IRQ ")) {
            answer = nextLine(command);
        }
        if (!answer.equals("OK") && !answer.startsWith("OK ")) {
            throw new IOException("qtest: \"%s\" was answered \"%s\"".formatted(command, answer));
        }
        return answer.substring(Math.min(answer.length(), 3));
    }

    private String nextLine(String command) throws IOException {
        line.setLength(0);
        while (true) {
            while (received.hasRemaining()) {
                char c = (char) (received.get() & 0xff);
                if (c == '\n') {
                    return line.toString();
                }
                if (line.length() == LINE_LIMIT) {
                    throw new IOException("qtest: a line of more than " + LINE_LIMIT + " bytes");
                }
                line.append(c);
            }
            receive(command);
        }
    }

    private void receive(String command) throws IOException {
        received.clear();
        int n = channel.read(received);
        if (n == 0) {
            selector.select(patience.toMillis());
            selector.selectedKeys().clear();
            n = channel.read(received);
        }
        received.flip();
        if (n == 0) {
            throw new IOException(
                    "qtest: \"%s\" was not answered within %d s"
                            .formatted(command, patience.toSeconds()));
        }
        if (n < 0) {
            throw new IOException("qtest: QEMU has ended before it answered \"" + command + "\"");
        }
    }

    @Override
    public void close() throws IOException {
        selector.close();
        channel.close();
    }
}
