// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;
import static org.ioasis.spec.VfioUser.*;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.peer.PeerChannel;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.EventFd;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Memfd;
import org.junit.jupiter.api.Test;

/**
 * Random bytes, and messages that are nearly right, at the session: nothing escapes, nothing is
 * kept, and the end is always clean. Each run prints its seed; the property {@code ioasis.seed}
 * repeats it.
 */
class SessionFuzzTest {
    private static final int SESSIONS = 3000;

    /** Gives a session the bytes of one script, in pieces of random size, and takes its replies. */
    private static final class ScriptChannel implements PeerChannel {
        private final byte[] script;
        private final Random random;
        private final Fd[] offered;
        private int at;
        private boolean isClosed;
        long received;

        ScriptChannel(byte[] script, Random random, Fd... offered) {
            this.script = script;
            this.random = random;
            this.offered = offered;
        }

        @Override
        public int receive(MemorySegment buffer, long offset, int length, List<Fd> fds)
                throws ErrnoException {
            if (random.nextInt(8) == 0) {
                return -Errno.EAGAIN;
            }
            if (at == script.length) {
                return 0;
            }
            int n = Math.min(1 + random.nextInt(length), script.length - at);
            MemorySegment.copy(script, at, buffer, ValueLayout.JAVA_BYTE, offset, n);
            at += n;
            while (random.nextInt(16) == 0) {
                fds.add(offered[random.nextInt(offered.length)].duplicate());
            }
            return n;
        }

        @Override
        public int send(MemorySegment buffer, long offset, int length) {
            if (random.nextInt(8) == 0) {
                return -Errno.EAGAIN;
            }
            int n = 1 + random.nextInt(length);
            received += n;
            return n;
        }

        @Override
        public void close() {
            isClosed = true;
        }
    }

    private static byte[] script(Random random) {
        byte[] all = new byte[0];
        if (random.nextInt(10) != 0) {
            byte[] version =
                    MockVfioUserClient.versionPayload(0, 0, MockVfioUserClient.QEMU_CAPABILITIES);
            all = append(all, mutate(random, 40, message(random, VFIO_USER_VERSION, version)));
        }
        int messages = random.nextInt(20);
        for (int i = 0; i < messages; i++) {
            all = append(all, mutate(random, 6, anyMessage(random)));
        }
        return all;
    }

    private static byte[] anyMessage(Random random) {
        int command = random.nextInt(20);
        long page = 4096;
        byte[] payload =
                switch (command) {
                    case VFIO_USER_DMA_MAP ->
                            MockVfioUserClient.mapPayload(
                                    page * random.nextInt(8),
                                    page * (1 + random.nextInt(3)),
                                    page * random.nextInt(2),
                                    1 + 2 * random.nextInt(2));
                    case VFIO_USER_DMA_UNMAP ->
                            random.nextInt(5) == 0
                                    ? MockVfioUserClient.unmapPayload(0, 0, 2)
                                    : MockVfioUserClient.unmapPayload(
                                            page * random.nextInt(8),
                                            page * (1 + random.nextInt(3)),
                                            0);
                    case VFIO_USER_DEVICE_GET_INFO, VFIO_USER_DEVICE_GET_IRQ_INFO ->
                            new Payload(16).u32(16).u32(0).u32(random.nextInt(6)).array();
                    case VFIO_USER_DEVICE_GET_REGION_INFO ->
                            new Payload(32).u32(32).u32(0).u32(random.nextInt(10)).array();
                    case VFIO_USER_DEVICE_SET_IRQS ->
                            MockVfioUserClient.irqPayload(
                                    0x20 | 1 << random.nextInt(3),
                                    random.nextInt(5),
                                    random.nextInt(3),
                                    random.nextInt(3));
                    case VFIO_USER_REGION_READ ->
                            MockVfioUserClient.accessPayload(
                                    random.nextInt(2) * 7,
                                    random.nextInt(300),
                                    1 << random.nextInt(9),
                                    new byte[0]);
                    case VFIO_USER_REGION_WRITE -> {
                        int size = 1 << random.nextInt(4);
                        yield MockVfioUserClient.accessPayload(
                                random.nextInt(2) * 7,
                                random.nextInt(300),
                                size,
                                MockVfioUserClient.bytes(size, random.nextLong()));
                    }
                    default -> new byte[random.nextInt(40)];
                };
        return message(random, command, payload);
    }

    private static byte[] message(Random random, int command, byte[] payload) {
        int flags = random.nextInt(5) == 0 ? FLAGS_NO_REPLY : 0;
        return MockVfioUserClient.message(random.nextInt(65536), command, flags, payload);
    }

    /** Once in {@code rarity} times something is wrong with the message. */
    private static byte[] mutate(Random random, int rarity, byte[] message) {
        if (random.nextInt(rarity) != 0) {
            return message;
        }
        byte[] mutant = message.clone();
        switch (random.nextInt(4)) {
            case 0 -> mutant[random.nextInt(mutant.length)] ^= (byte) (1 << random.nextInt(8));
            case 1 -> mutant[random.nextInt(mutant.length)] = (byte) random.nextInt();
            case 2 -> mutant = Arrays.copyOf(mutant, random.nextInt(mutant.length + 8));
            default -> random.nextBytes(mutant);
        }
        return mutant;
    }

    private static byte[] append(byte[] head, byte[] tail) {
        byte[] both = Arrays.copyOf(head, head.length + tail.length);
        System.arraycopy(tail, 0, both, head.length, tail.length);
        return both;
    }

    @Test
    void noBytesOfAClientDoHarm() throws Exception {
        long seed = Long.getLong("ioasis.seed", System.nanoTime());
        System.out.println("seed " + seed);
        Random random = new Random(seed);
        Resources before = Resources.now();
        Guards guards = new Guards(System::nanoTime, lease -> {});
        GuestMemory memory = new GuestMemory(guards, 16);
        SessionLimits limits = new SessionLimits(1L << 30, 8192);
        long messages = 0;
        try (Fd memfd = Memfd.create("ioasis-fuzz", 4 * 4096)) {
            EventFd event = EventFd.create();
            Fd eventFd = Fd.own(event.fd());
            // One after the other with the same memory, as those of a socket.
            StreamBuffers buffers = new StreamBuffers(limits.outputBytes());
            for (int i = 0; i < SESSIONS; i++) {
                RecordingFunction function = new RecordingFunction();
                AtomicInteger released = new AtomicInteger();
                ScriptChannel channel = new ScriptChannel(script(random), random, memfd, eventFd);
                Session session =
                        new Session(
                                channel,
                                function,
                                memory,
                                limits,
                                buffers,
                                Runnable::run,
                                _ -> {},
                                () -> {},
                                released::incrementAndGet);
                int turns = 0;
                while (!session.hasEnded()) {
                    if (turns++ > 100_000) {
                        fail(
                                "session %d of seed %d hangs after %d messages",
                                i, seed, session.messageCount());
                    }
                    session.ready(Epoll.IN | (random.nextBoolean() ? Epoll.OUT : 0));
                    guards.poll();
                }
                assertThat(session.reason()).as("seed %d", seed).isNotEmpty();
                assertThat(channel.isClosed).as("seed %d", seed).isTrue();
                assertThat(released).as("seed %d", seed).hasValue(1);
                assertThat(memory.regionCount()).as("seed %d", seed).isZero();
                messages += channel.received;
            }
            eventFd.transfer();
            event.close();
        }
        assertThat(messages).as("replies at all").isPositive();
        assertThat(Resources.now()).as("seed %d", seed).isEqualTo(before);
    }

    @Test
    void purelyRandomBytesDoNoHarm() throws Exception {
        long seed = Long.getLong("ioasis.seed", System.nanoTime());
        System.out.println("seed " + seed);
        Random random = new Random(seed);
        GuestMemory memory = new GuestMemory(new Guards(System::nanoTime, lease -> {}), 16);
        StreamBuffers buffers = new StreamBuffers(SessionLimits.DEFAULT.outputBytes());
        for (int i = 0; i < SESSIONS; i++) {
            byte[] script = new byte[random.nextInt(200)];
            random.nextBytes(script);
            AtomicInteger released = new AtomicInteger();
            try (Fd memfd = Memfd.create("ioasis-fuzz", 4096)) {
                Session session =
                        new Session(
                                new ScriptChannel(script, random, memfd),
                                new RecordingFunction(),
                                memory,
                                SessionLimits.DEFAULT,
                                buffers,
                                Runnable::run,
                                _ -> {},
                                () -> {},
                                released::incrementAndGet);
                while (!session.hasEnded()) {
                    session.ready(Epoll.IN);
                }
            }
            assertThat(released).as("seed %d", seed).hasValue(1);
        }
    }
}
