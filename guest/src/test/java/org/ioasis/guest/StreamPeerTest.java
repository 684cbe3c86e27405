// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.KernelChoice;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.guestkit.Qemu;
import org.ioasis.kind.net.Backend;
import org.ioasis.kind.net.Carrier;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.loop.Polled;
import org.ioasis.virtio.net.Link.Sent;
import org.ioasis.virtio.net.Station;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Frames through a QEMU without a guest (it runs all the same: a stopped one passes none): two of
 * its {@code -netdev stream} in one hub, and one of our links at each.
 */
class StreamPeerTest {
    private static final int FRAMES = 500;
    private static final int LONGEST = 9014;
    private static final int TRIES = 1000;
    private static final long LIMIT_NANOS = TimeUnit.SECONDS.toNanos(20);

    @TempDir Path folder;

    /** One end. */
    private static final class End implements Station, AutoCloseable {
        final BlockingQueue<byte[]> frames = new LinkedBlockingQueue<>();
        final BlockingQueue<String> told = new LinkedBlockingQueue<>();
        final EventLoop loop =
                new EventLoop("end", Polled.NOTHING, System::nanoTime, IdlePolicy.EVENT_DRIVEN);
        final Carrier link;

        End(Path socket) throws Exception {
            link = open(socket);
            link.begin(loop, this);
            loop.start();
        }

        private static Carrier open(Path socket) throws Exception {
            IOException last = new IOException("not tried");
            for (int i = 0; i < TRIES; i++) {
                try {
                    return new Backend.Stream(socket).open();
                } catch (IOException e) {
                    // QEMU is not that far yet.
                    last = e;
                    Thread.sleep(10);
                }
            }
            throw last;
        }

        /** Sends it when there is room. */
        void send(byte[] frame) throws InterruptedException {
            MemorySegment memory = Arena.ofAuto().allocate(frame.length);
            MemorySegment.copy(frame, 0, memory, JAVA_BYTE, 0, frame.length);
            List<Sent> results = new ArrayList<>();
            Runnable task = () -> results.add(link.send(memory, frame.length));
            assertThat(loop.executeAndWait(task, LIMIT_NANOS)).isTrue();
            if (results.getLast() == Sent.FULL) {
                assertThat(told.poll(LIMIT_NANOS, TimeUnit.NANOSECONDS)).isEqualTo("writable");
                assertThat(loop.executeAndWait(task, LIMIT_NANOS)).isTrue();
            }
            assertThat(results.getLast()).isEqualTo(Sent.TAKEN);
        }

        byte[] next() throws InterruptedException {
            return requireNonNull(frames.poll(LIMIT_NANOS, TimeUnit.NANOSECONDS));
        }

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

        @Override
        public void close() {
            loop.close();
            link.close();
        }
    }

    private static byte[] frame(int seed) {
        byte[] bytes = new byte[60 + seed * (LONGEST - 60) / (FRAMES - 1)];
        new Random(seed).nextBytes(bytes);
        return bytes;
    }

    private Process hub(Cleanup cleanup, Path one, Path other) throws Exception {
        Qemu qemu =
                new Provisioner(Host.current(), cleanup, System.out::println)
                        .provide(KernelChoice.Debian.STABLE)
                        .qemu();
        List<String> words = new ArrayList<>(qemu.command());
        words.addAll(List.of("-no-user-config", "-nodefaults", "-display", "none"));
        words.addAll(List.of("-machine", "none"));
        Path[] sockets = {one, other};
        for (int i = 0; i < sockets.length; i++) {
            words.add("-netdev");
            words.add(
                    "stream,id=s%d,server=on,addr.type=unix,addr.path=%s".formatted(i, sockets[i]));
            words.add("-netdev");
            words.add("hubport,id=h%d,hubid=0,netdev=s%d".formatted(i, i));
        }
        ProcessBuilder builder = new ProcessBuilder(words).redirectErrorStream(true);
        builder.environment().putAll(qemu.environment());
        File output = folder.resolve("qemu").toFile();
        return cleanup.start(builder.redirectOutput(output));
    }

    @Test
    void framesPassAQemuBothWaysWholeAndInOrder() throws Exception {
        Path one = folder.resolve("one.sock");
        Path other = folder.resolve("other.sock");
        try (Cleanup cleanup = Cleanup.atExit()) {
            Process qemu = hub(cleanup, one, other);
            try (End left = new End(one);
                    End right = new End(other)) {
                // Until QEMU has accepted both, what is sent to it has nowhere to go.
                byte[] hello = frame(0);
                byte[] arrived = null;
                for (int i = 0; i < TRIES && arrived == null; i++) {
                    left.send(hello);
                    arrived = right.frames.poll(10, TimeUnit.MILLISECONDS);
                }
                assertThat(arrived).as(Files.readString(folder.resolve("qemu"))).isEqualTo(hello);
                right.send(frame(1));
                assertThat(left.next()).isEqualTo(frame(1));
                while (right.frames.poll(100, TimeUnit.MILLISECONDS) != null) {
                    // What was sent until the first had arrived.
                }
                for (int i = 0; i < FRAMES; i++) {
                    left.send(frame(i));
                    assertThat(right.next()).as("frame %d", i).isEqualTo(frame(i));
                    right.send(frame(FRAMES - 1 - i));
                    assertThat(left.next()).isEqualTo(frame(FRAMES - 1 - i));
                }
                cleanup.kill(qemu);
                assertThat(left.told.poll(20, TimeUnit.SECONDS)).isEqualTo("down");
                assertThat(right.told.poll(20, TimeUnit.SECONDS)).isEqualTo("down");
            }
        }
    }
}
