// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VhostUser.*;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicInteger;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.loop.Polled;
import org.ioasis.memory.DirectDma;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.pci.EchoType;
import org.ioasis.peer.NoServer;
import org.ioasis.peer.ProtocolException;
import org.ioasis.peer.SessionFuzz;
import org.ioasis.peer.StreamBuffers;
import org.ioasis.spec.Virtio;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.EventFd;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Memfd;
import org.junit.jupiter.api.Test;

/**
 * Random bytes, and messages that are nearly right, at codec and session: nothing escapes, nothing
 * is kept, and the end is always clean. Each run prints its seed; the property {@code ioasis.seed}
 * repeats it.
 */
class SessionFuzzTest {
    private static final int SESSIONS = 2000;
    private static final int MESSAGES = 200_000;

    /** As many as belong to the message, mostly. */
    private static void sendFds(Random random, byte[] bytes, List<Fd> fds, Fd memfd, Fd eventFd)
            throws ErrnoException {
        int count =
                switch (bytes[0]) {
                    case SET_MEM_TABLE -> bytes.length > HEADER_SIZE ? bytes[HEADER_SIZE] : 0;
                    case ADD_MEM_REG, SET_BACKEND_REQ_FD, SET_INFLIGHT_FD -> 1;
                    case SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR -> 1;
                    default -> 0;
                };
        boolean isMemory =
                bytes[0] == SET_MEM_TABLE || bytes[0] == ADD_MEM_REG || bytes[0] == SET_INFLIGHT_FD;
        if (random.nextInt(50) == 0) {
            count = random.nextInt(10);
        }
        for (int i = 0; i < count; i++) {
            boolean isRight = random.nextInt(50) != 0;
            boolean isMemfd = isRight ? isMemory : random.nextBoolean();
            fds.add((isMemfd ? memfd : eventFd).duplicate());
        }
    }

    /** Mostly a start as it should be, then anything. */
    private static List<byte[]> script(Random random) {
        long features = Virtio.F_VERSION_1 | F_PROTOCOL_FEATURES;
        MemoryRegion all = new MemoryRegion(0, 4 * 4096, FrontEnd.USER, 0);
        long user = FrontEnd.USER;
        byte[][] start = {
            message(random, SET_PROTOCOL_FEATURES, FrontEnd.u64(Session.PROTOCOL_FEATURES)),
            message(random, SET_FEATURES, FrontEnd.u64(features)),
            message(random, SET_INFLIGHT_FD, FrontEnd.inflight(4096, 0, 2, 8)),
            message(random, SET_MEM_TABLE, FrontEnd.table(all)),
            message(random, SET_VRING_NUM, FrontEnd.state(0, 8)),
            message(random, SET_VRING_BASE, FrontEnd.state(0, random.nextInt(3))),
            message(
                    random,
                    SET_VRING_ADDR,
                    FrontEnd.address(0, 0, user, user + 0x400, user + 0x800)),
            message(random, SET_VRING_KICK, FrontEnd.u64(0)),
            message(random, SET_VRING_ENABLE, FrontEnd.state(0, 1)),
        };
        byte[][] script = Arrays.copyOf(start, start.length + random.nextInt(20));
        for (int i = 0; i < script.length; i++) {
            script[i] =
                    SessionFuzz.mutate(
                            random, 60, i < start.length ? start[i] : anyMessage(random));
        }
        return List.of(script);
    }

    private static MemoryRegion region(Random random) {
        long page = 4096L * random.nextInt(3);
        return new MemoryRegion(page, 4096L * (1 + random.nextInt(2)), FrontEnd.USER + page, 0);
    }

    private static byte[] anyMessage(Random random) {
        int request = 1 + random.nextInt(GET_STATUS);
        byte[] payload =
                switch (request) {
                    case SET_FEATURES, SET_PROTOCOL_FEATURES ->
                            FrontEnd.u64(1L << random.nextInt(40));
                    case SET_STATUS -> FrontEnd.u64(random.nextInt(16));
                    case SET_MEM_TABLE ->
                            random.nextBoolean()
                                    ? FrontEnd.table(region(random))
                                    : FrontEnd.table(region(random), region(random));
                    case ADD_MEM_REG, REM_MEM_REG -> FrontEnd.single(region(random));
                    case SET_VRING_NUM -> FrontEnd.state(random.nextInt(2), 1 << random.nextInt(4));
                    case SET_VRING_BASE -> FrontEnd.state(random.nextInt(2), random.nextInt(3));
                    case GET_VRING_BASE, SET_VRING_ENABLE ->
                            FrontEnd.state(random.nextInt(2), random.nextInt(2));
                    case SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR ->
                            FrontEnd.u64(random.nextInt(2));
                    case SET_VRING_ADDR ->
                            FrontEnd.address(
                                    random.nextInt(2),
                                    0,
                                    FrontEnd.USER + 0x10L * random.nextInt(0x300),
                                    FrontEnd.USER + 0x4L * random.nextInt(0x300),
                                    FrontEnd.USER + 0x2L * random.nextInt(0x300));
                    case GET_INFLIGHT_FD, SET_INFLIGHT_FD ->
                            FrontEnd.inflight(
                                    1000L * random.nextInt(3),
                                    4096L * random.nextInt(2),
                                    random.nextInt(4),
                                    1 << random.nextInt(4));
                    case GET_CONFIG, SET_CONFIG ->
                            FrontEnd.config(random.nextInt(20), random.nextInt(20), 0);
                    default -> new byte[0];
                };
        return message(random, request, payload);
    }

    private static byte[] message(Random random, int request, byte[] payload) {
        int flags = FLAGS_VERSION | (random.nextBoolean() ? FLAGS_NEED_REPLY : 0);
        return FrontEnd.message(request, flags, payload.length, payload);
    }

    @Test
    void noMessagesOfAFrontEndDoHarm() throws Exception {
        long seed = Long.getLong("ioasis.seed", System.nanoTime());
        System.out.println("seed " + seed);
        Guards guards = new Guards(System::nanoTime, lease -> {});
        GuestMemory memory = new GuestMemory(guards, 4);
        SessionFuzz fuzz = new SessionFuzz(seed, guards, memory);
        VhostUserDevice device =
                new VhostUserDevice(
                        new EchoType(_ -> {}),
                        new DirectDma(memory, guards.open()),
                        Virtio.F_VERSION_1 | Virtio.F_RING_PACKED);
        AtomicInteger started = new AtomicInteger();
        Set<String> reasons = new TreeSet<>();
        // Never started: what it would run later is not needed for the end of a session.
        try (EventLoop loop =
                        new EventLoop(
                                "fuzz", Polled.NOTHING, System::nanoTime, IdlePolicy.EVENT_DRIVEN);
                Fd memfd = Memfd.create("ioasis-fuzz", 4 * 4096)) {
            EventFd event = EventFd.create();
            Fd eventFd = Fd.own(event.fd());
            // One after the other with the same memory, as those of a socket.
            StreamBuffers buffers =
                    new StreamBuffers(Codec.MESSAGE_MAX, Codec.MESSAGE_MAX, Codec.OUTPUT_BYTES);
            for (int i = 0; i < SESSIONS; i++) {
                String reason =
                        fuzz.run(
                                script(fuzz.random()),
                                (message, at, fds) -> {
                                    if (at == 0) {
                                        sendFds(fuzz.random(), message, fds, memfd, eventFd);
                                    }
                                },
                                (channel, host) ->
                                        new Session(
                                                channel,
                                                device,
                                                memory,
                                                1 << 20,
                                                buffers,
                                                loop,
                                                NoServer.BOUNDARY,
                                                host),
                                () -> started.addAndGet(device.hasRings() ? 1 : 0));
                reasons.add(reason.replaceAll("[0-9a-fx]{2,}|[0-9]", "#"));
                assertThat(device.device().status()).as("seed %d", seed).isZero();
            }
            eventFd.transfer();
            event.close();
        }
        assertThat(fuzz.received()).as("replies at all").isPositive();
        assertThat(started).as("rings at all").hasPositiveValue();
        assertThat(reasons).as("%s", reasons).hasSizeGreaterThan(10);
    }

    @Test
    void everyMessageIsDecodedOrRefused() {
        long seed = Long.getLong("ioasis.seed", System.nanoTime());
        System.out.println("seed " + seed);
        Random random = new Random(seed);
        MemorySegment in = Arena.ofAuto().allocate(Codec.MESSAGE_MAX, 8);
        int decoded = 0;
        int refused = 0;
        for (int i = 0; i < MESSAGES; i++) {
            byte[] message = SessionFuzz.mutate(random, 2, anyMessage(random));
            in.fill((byte) random.nextInt());
            int n = Math.min(message.length, Codec.MESSAGE_MAX);
            MemorySegment.copy(message, 0, in, ValueLayout.JAVA_BYTE, 0, n);
            Header header = Codec.header(in);
            try {
                Codec.check(header);
                check(Codec.request(header, in));
                decoded++;
            } catch (ProtocolException e) {
                assertThat(e.getMessage()).as("seed %d", seed).isNotEmpty();
                refused++;
            }
        }
        assertThat(decoded).isPositive();
        assertThat(refused).isPositive();
    }

    /** What a session takes for granted. */
    private static void check(Request request) {
        switch (request) {
            case Request.Table table -> {
                assertThat(table.regions().size()).isLessThanOrEqualTo(MEMORY_REGIONS_MAX);
                table.regions().forEach(region -> assertThat(region.isPossible()).isTrue());
            }
            case Request.OneRegion one -> assertThat(one.region().isPossible()).isTrue();
            case Request.Config config -> {
                assertThat(config.offset()).isBetween(0, CONFIG_MAX);
                assertThat(config.size()).isBetween(0, CONFIG_MAX - config.offset());
            }
            case Request.VringFd fd -> assertThat(fd.index()).isBetween(0L, 255L);
            case Request.VringState state -> assertThat(state.index()).isNotNegative();
            case Request.VringAddress address -> assertThat(address.index()).isNotNegative();
            case Request.Inflight log -> {
                assertThat(log.queues()).isBetween(0, 0xffff);
                assertThat(log.entries()).isBetween(0, 0xffff);
            }
            case Request.Plain _, Request.Value _ -> {}
        }
    }
}
