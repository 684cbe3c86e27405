// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.net;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.loop.Polled;
import org.ioasis.virtio.net.Link.Sent;
import org.ioasis.virtio.net.Station;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Frames over a stream; the other side is a socket of the JDK's. */
class StreamLinkTest implements Station {
    private static final long ANSWER_NANOS = TimeUnit.SECONDS.toNanos(20);

    @TempDir Path folder;
    private final BlockingQueue<byte[]> frames = new LinkedBlockingQueue<>();
    private final BlockingQueue<String> told = new LinkedBlockingQueue<>();
    private EventLoop loop;
    private StreamLink link;
    private SocketChannel peer;

    @Override
    public boolean receive(MemorySegment from, long offset, int length) {
        return frames.add(from.asSlice(offset, length).toArray(JAVA_BYTE));
    }

    @Override
    public void writable() {
        told.add("writable");
    }

    @Override
    public void link(boolean isUp) {
        told.add(isUp ? "up" : "down");
    }

    @BeforeEach
    void connect() throws IOException {
        Path path = folder.resolve("s.sock");
        try (ServerSocketChannel listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            listener.bind(UnixDomainSocketAddress.of(path));
            link = StreamLink.connect(path);
            peer = listener.accept();
        }
        loop = new EventLoop("l", Polled.NOTHING, System::nanoTime, IdlePolicy.EVENT_DRIVEN);
        link.begin(loop, this);
        loop.start();
    }

    @AfterEach
    void close() throws IOException {
        loop.close();
        link.close();
        peer.close();
    }

    private static byte[] frame(int seed, int length) {
        byte[] bytes = new byte[length];
        new Random(seed).nextBytes(bytes);
        return bytes;
    }

    private static byte[] stream(List<byte[]> frames) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        DataOutputStream data = new DataOutputStream(bytes);
        for (byte[] frame : frames) {
            data.writeInt(frame.length);
            data.write(frame);
        }
        return bytes.toByteArray();
    }

    private void write(byte[] bytes, int pieces) throws IOException {
        for (int at = 0; at < bytes.length; at += pieces) {
            ByteBuffer piece = ByteBuffer.wrap(bytes, at, Math.min(pieces, bytes.length - at));
            while (piece.hasRemaining()) {
                int _ = peer.write(piece);
            }
        }
    }

    private Sent send(byte[] frame) {
        List<Sent> sent = new ArrayList<>();
        MemorySegment memory = Arena.ofAuto().allocate(frame.length);
        memory.copyFrom(MemorySegment.ofArray(frame));
        assertThat(
                        loop.executeAndWait(
                                () -> sent.add(link.send(memory, frame.length)), ANSWER_NANOS))
                .isTrue();
        return sent.getFirst();
    }

    private <T> T next(BlockingQueue<T> queue) throws InterruptedException {
        return requireNonNull(queue.poll(20, TimeUnit.SECONDS));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3, 100, 1 << 20})
    void framesArriveWholeInWhateverPiecesTheyCome(int pieces) throws Exception {
        List<byte[]> sent = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            sent.add(frame(i, 14 + 75 * i));
        }
        write(stream(sent), pieces);
        for (byte[] frame : sent) {
            assertThat(next(frames)).isEqualTo(frame);
        }
    }

    @Test
    void longestFrameArrivesAndOneByteMoreEndsTheLink() throws Exception {
        byte[] longest = frame(1, StreamLink.FRAME_MAX);
        write(stream(List.of(longest)), 1 << 20);
        assertThat(next(frames)).isEqualTo(longest);
        write(new byte[] {0, 1, 0x10, 1}, 4);
        assertThat(next(told)).isEqualTo("down");
        assertThat(send(frame(1, 60))).isEqualTo(Sent.LOST);
    }

    @Test
    void framesAreSentBehindTheirLengthAndWaitWhenNobodyReads() throws Exception {
        int taken = 0;
        while (send(frame(taken, 1514)) == Sent.TAKEN) {
            taken++;
            assertThat(taken).as("a socket has an end").isLessThan(100_000);
        }
        assertThat(taken).isPositive();
        DataInputStream in = new DataInputStream(Channels.newInputStream(peer));
        for (int i = 0; i < taken; i++) {
            assertThat(in.readInt()).isEqualTo(1514);
            assertThat(in.readNBytes(1514)).isEqualTo(frame(i, 1514));
        }
        assertThat(next(told)).isEqualTo("writable");
        assertThat(send(frame(-1, 60))).isEqualTo(Sent.TAKEN);
        assertThat(in.readInt()).isEqualTo(60);
    }

    @Test
    void linkIsDownWhenTheOtherSideGoes() throws Exception {
        peer.close();
        assertThat(next(told)).isEqualTo("down");
        assertThat(send(frame(1, 60))).isEqualTo(Sent.LOST);
        assertThat(told).isEmpty();
    }
}
