// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.BufferedReader;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The client beside a peer that answers as it is told. */
@Timeout(60)
class QtestClientTest {
    private static final Duration PATIENCE = Duration.ofSeconds(30);

    @TempDir Path folder;
    private final List<String> asked = Collections.synchronizedList(new ArrayList<>());
    private ServerSocketChannel listener;
    private @Nullable Thread peer;

    @BeforeEach
    void listen() throws IOException {
        listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        listener.bind(UnixDomainSocketAddress.of(folder.resolve("qtest")));
    }

    @AfterEach
    void close() throws Exception {
        listener.close();
        if (peer != null) {
            peer.join();
        }
    }

    /** A peer that answers each command with the next of these, and then ends. */
    private QtestClient client(Duration patience, String... answers) throws IOException {
        peer = Thread.ofPlatform().start(() -> answer(List.of(answers)));
        return QtestClient.accept(listener, patience, () -> true);
    }

    private QtestClient client(String... answers) throws IOException {
        return client(PATIENCE, answers);
    }

    private void answer(List<String> answers) {
        try (SocketChannel channel =
                        SocketChannel.open(UnixDomainSocketAddress.of(folder.resolve("qtest")));
                BufferedReader in =
                        new BufferedReader(
                                Channels.newReader(channel, StandardCharsets.US_ASCII))) {
            for (String text : answers) {
                asked.add(in.readLine());
                ByteBuffer bytes = ByteBuffer.wrap(text.getBytes(StandardCharsets.US_ASCII));
                while (bytes.hasRemaining()) {
                    channel.write(bytes);
                }
                if (text.isEmpty()) {
                    String _ = in.readLine(); // says nothing until the client has gone
                }
            }
        } catch (IOException gone) {
            // The client has closed the connection, as some tests do.
        }
    }

    @Test
    void eachAccessIsACommandOfItsSize() throws IOException {
        try (QtestClient client =
                client("OK\n", "OK\n", "OK\n", "OK\n", "OK\n", "OK\n", "OK 300000000\n")) {
            client.write(0xe0000000L, 1, 0x1ff);
            client.write(0xe0000002L, 2, -1);
            client.write(0xe0000004L, 4, -2);
            client.write(-8L, 8, -3);
            client.out32(0xcf8, 0x80000800);
            client.out8(0xcf9, 6);
            client.clockStep(Duration.ofMillis(100));
        }

        assertThat(asked)
                .containsExactly(
                        "writeb 0xe0000000 0xff",
                        "writew 0xe0000002 0xffff",
                        "writel 0xe0000004 0xfffffffe",
                        "writeq 0xfffffffffffffff8 0xfffffffffffffffd",
                        "outl 0xcf8 0x80000800",
                        "outb 0xcf9 0x6",
                        "clock_step 100000000");
    }

    @Test
    void whatIsReadIsUnsigned() throws IOException {
        try (QtestClient client =
                client("OK 0x00000000000000ff\n", "OK 0xffffffffffffffff\n", "OK 0x81234567\n")) {
            assertThat(client.read(0x10, 1)).isEqualTo(0xff);
            assertThat(client.read(0x18, 8)).isEqualTo(-1);
            assertThat(client.in32(0xcfc)).isEqualTo(0x81234567);
        }

        assertThat(asked).containsExactly("readb 0x10", "readq 0x18", "inl 0xcfc");
    }

    @Test
    void interruptsBetweenCommandAndAnswerAreSkipped() throws IOException {
        try (QtestClient client = client("IRQ raise 5\nIRQ lower 5\nOK 0x7\n", "OK 0x8\n")) {
            assertThat(client.read(0, 4)).isEqualTo(7);
            assertThat(client.read(0, 4)).isEqualTo(8);
        }
    }

    @Test
    void refusedCommandIsNamedWithTheAnswer() throws IOException {
        try (QtestClient client = client("FAIL Unknown command\n")) {
            assertThatThrownBy(() -> client.read(0x20, 2))
                    .isInstanceOf(IOException.class)
                    .hasMessage("qtest: \"readw 0x20\" was answered \"FAIL Unknown command\"");
        }
    }

    @Test
    void answerWithoutItsValueIsRefused() throws IOException {
        try (QtestClient client = client("OK\n", "OK 12\n")) {
            assertThatThrownBy(() -> client.read(0, 4)).hasMessageContaining("readl 0x0");
            assertThatThrownBy(() -> client.read(4, 4)).hasMessageContaining("\"OK 12\"");
        }
    }

    @Test
    void peerThatSaysNothingIsNotWaitedForForever() throws IOException {
        try (QtestClient client = client(Duration.ofMillis(20), "")) {
            assertThatThrownBy(() -> client.read(0x30, 4))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("\"readl 0x30\" was not answered");
        }
    }

    @Test
    void peerThatEndsIsNamed() throws IOException {
        try (QtestClient client = client("OK 0x1")) { // half a line
            assertThatThrownBy(() -> client.read(0x40, 4))
                    .hasMessage("qtest: QEMU has ended before it answered \"readl 0x40\"");
        }
    }

    @Test
    void lineWithoutAnEndIsRefused() throws IOException {
        try (QtestClient client = client("OK " + "0".repeat(5000))) {
            assertThatThrownBy(() -> client.read(0, 4)).hasMessageContaining("more than 4096");
        }
    }

    @Test
    void qemuThatNeverConnectsIsNotWaitedForForever() {
        assertThatThrownBy(() -> QtestClient.accept(listener, Duration.ZERO, () -> true))
                .hasMessageContaining("has not connected");
        assertThatThrownBy(() -> QtestClient.accept(listener, PATIENCE, () -> false))
                .hasMessageContaining("has ended before it connected");
    }

    @Test
    void sizesThatNoAccessHasAreRefused() throws IOException {
        try (QtestClient client = client()) {
            assertThatThrownBy(() -> client.read(0, 3))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }
}
