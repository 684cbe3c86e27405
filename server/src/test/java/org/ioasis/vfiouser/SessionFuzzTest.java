// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VfioUser.*;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.loop.Polled;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.peer.NoServer;
import org.ioasis.peer.SessionFuzz;
import org.ioasis.peer.StreamBuffers;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.EventFd;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Memfd;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/**
 * Random bytes, and messages that are nearly right, at the session: nothing escapes, nothing is
 * kept, and the end is always clean. Each run prints its seed; the property {@code ioasis.seed}
 * repeats it.
 */
class SessionFuzzTest {
    private static final int SESSIONS = 3000;

    private static List<byte[]> script(Random random) {
        List<byte[]> all = new ArrayList<>();
        if (random.nextInt(10) != 0) {
            byte[] version =
                    MockVfioUserClient.versionPayload(0, 0, MockVfioUserClient.QEMU_CAPABILITIES);
            all.add(SessionFuzz.mutate(random, 40, message(random, VFIO_USER_VERSION, version)));
        }
        int messages = random.nextInt(20);
        for (int i = 0; i < messages; i++) {
            all.add(SessionFuzz.mutate(random, 6, anyMessage(random)));
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
                    case VFIO_USER_DEVICE_FEATURE ->
                            switch (random.nextInt(3)) {
                                case 0 -> LoggingTest.stop();
                                case 1 ->
                                        LoggingTest.start(
                                                page << random.nextInt(3),
                                                page * random.nextInt(8),
                                                page * random.nextInt(8));
                                default ->
                                        LoggingTest.report(
                                                page * random.nextInt(8),
                                                page << random.nextInt(20),
                                                1L << random.nextInt(20));
                            };
                    default -> new byte[random.nextInt(40)];
                };
        return message(random, command, payload);
    }

    private static byte[] message(Random random, int command, byte[] payload) {
        int flags = random.nextInt(5) == 0 ? FLAGS_NO_REPLY : 0;
        return MockVfioUserClient.message(random.nextInt(65536), command, flags, payload);
    }

    /** Now and then, with any bytes. */
    private static SessionFuzz.Fds any(Random random, Fd... offered) {
        return (_, _, fds) -> {
            while (random.nextInt(16) == 0) {
                fds.add(offered[random.nextInt(offered.length)].duplicate());
            }
        };
    }

    /** Never started: nobody signals a doorbell. */
    private final EventLoop loop;

    SessionFuzzTest() throws ErrnoException {
        loop = new EventLoop("fuzz", Polled.NOTHING, System::nanoTime, IdlePolicy.EVENT_DRIVEN);
    }

    @AfterEach
    void closeLoop() {
        loop.close();
    }

    @Test
    void noBytesOfAClientDoHarm() throws Exception {
        long seed = Long.getLong("ioasis.seed", System.nanoTime());
        System.out.println("seed " + seed);
        Resources before = Resources.now();
        Guards guards = new Guards(System::nanoTime, lease -> {});
        GuestMemory memory = new GuestMemory(guards, 16);
        SessionFuzz fuzz = new SessionFuzz(seed, guards, memory);
        SessionLimits limits = new SessionLimits(1L << 30, Codec.MESSAGE_MAX);
        try (Fd memfd = Memfd.create("ioasis-fuzz", 4 * 4096)) {
            EventFd event = EventFd.create();
            Fd eventFd = Fd.own(event.fd());
            // One after the other with the same memory, as those of a socket.
            StreamBuffers buffers =
                    new StreamBuffers(
                            Codec.MESSAGE_MAX,
                            Codec.MESSAGE_MAX,
                            limits.outputBytes(),
                            Codec.LARGE_MAX);
            for (int i = 0; i < SESSIONS; i++) {
                RecordingFunction function = new RecordingFunction();
                String _ =
                        fuzz.run(
                                script(fuzz.random()),
                                any(fuzz.random(), memfd, eventFd),
                                (channel, host) ->
                                        new Session(
                                                channel,
                                                function,
                                                memory,
                                                limits,
                                                buffers,
                                                new Doorbells(loop, NoServer.BOUNDARY, function),
                                                Runnable::run,
                                                host),
                                () -> {});
            }
            eventFd.transfer();
            event.close();
        }
        assertThat(fuzz.received()).as("replies at all").isPositive();
        assertThat(Resources.now()).as("seed %d", seed).isEqualTo(before);
    }

    @Test
    void purelyRandomBytesDoNoHarm() throws Exception {
        long seed = Long.getLong("ioasis.seed", System.nanoTime());
        System.out.println("seed " + seed);
        Guards guards = new Guards(System::nanoTime, lease -> {});
        GuestMemory memory = new GuestMemory(guards, 16);
        SessionFuzz fuzz = new SessionFuzz(seed, guards, memory);
        StreamBuffers buffers =
                new StreamBuffers(
                        Codec.MESSAGE_MAX,
                        Codec.MESSAGE_MAX,
                        SessionLimits.DEFAULT.outputBytes(),
                        Codec.LARGE_MAX);
        for (int i = 0; i < SESSIONS; i++) {
            RecordingFunction function = new RecordingFunction();
            byte[] bytes = new byte[fuzz.random().nextInt(200)];
            fuzz.random().nextBytes(bytes);
            try (Fd memfd = Memfd.create("ioasis-fuzz", 4096)) {
                String _ =
                        fuzz.run(
                                bytes.length == 0 ? List.of() : List.of(bytes),
                                any(fuzz.random(), memfd),
                                (channel, host) ->
                                        new Session(
                                                channel,
                                                function,
                                                memory,
                                                SessionLimits.DEFAULT,
                                                buffers,
                                                new Doorbells(loop, NoServer.BOUNDARY, function),
                                                Runnable::run,
                                                host),
                                () -> {});
            }
        }
    }
}
