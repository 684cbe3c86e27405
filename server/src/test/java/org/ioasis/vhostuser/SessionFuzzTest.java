// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;
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
import org.ioasis.peer.PeerChannel;
import org.ioasis.peer.Served;
import org.ioasis.peer.ServedInfo;
import org.ioasis.peer.SessionBoundary;
import org.ioasis.spec.Virtio;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.Errno;
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

    /** Gives a session the bytes of one script, in pieces of random size, and takes its replies. */
    private static final class ScriptChannel implements PeerChannel {
        private final byte[][] script;
        private final Random random;
        private final Fd[] offered;
        private int message;
        private int at;
        private boolean isClosed;
        private long received;

        ScriptChannel(byte[][] script, Random random, Fd... offered) {
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
            while (message < script.length && at == script[message].length) {
                message++;
                at = 0;
            }
            if (message == script.length) {
                return 0;
            }
            if (at == 0) {
                sendFds(script[message], fds);
            }
            int n = Math.min(1 + random.nextInt(length), script[message].length - at);
            MemorySegment.copy(script[message], at, buffer, ValueLayout.JAVA_BYTE, offset, n);
            at += n;
            return n;
        }

        /** As many as belong to the message, mostly. */
        private void sendFds(byte[] bytes, List<Fd> fds) throws ErrnoException {
            int count =
                    switch (bytes[0]) {
                        case SET_MEM_TABLE -> bytes.length > HEADER_SIZE ? bytes[HEADER_SIZE] : 0;
                        case ADD_MEM_REG, SET_BACKEND_REQ_FD -> 1;
                        case SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR -> 1;
                        default -> 0;
                    };
            boolean isMemory = bytes[0] == SET_MEM_TABLE || bytes[0] == ADD_MEM_REG;
            if (random.nextInt(50) == 0) {
                count = random.nextInt(10);
            }
            for (int i = 0; i < count; i++) {
                int which = random.nextInt(50) == 0 ? random.nextInt(2) : isMemory ? 0 : 1;
                fds.add(offered[which].duplicate());
            }
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

    /** Mostly a start as it should be, then anything. */
    private static byte[][] script(Random random) {
        long features = Virtio.F_VERSION_1 | F_PROTOCOL_FEATURES;
        MemoryRegion all = new MemoryRegion(0, 4 * 4096, FrontEnd.USER, 0);
        long user = FrontEnd.USER;
        byte[][] start = {
            message(random, SET_PROTOCOL_FEATURES, FrontEnd.u64(Session.PROTOCOL_FEATURES)),
            message(random, SET_FEATURES, FrontEnd.u64(features)),
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
            script[i] = mutate(random, 60, i < start.length ? start[i] : anyMessage(random));
        }
        return script;
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

    /** Once in {@code rarity} times something is wrong with the message. */
    private static byte[] mutate(Random random, int rarity, byte[] message) {
        if (random.nextInt(rarity) != 0) {
            return message;
        }
        byte[] mutant = message.clone();
        switch (random.nextInt(4)) {
            case 0 -> mutant[random.nextInt(mutant.length)] ^= (byte) (1 << random.nextInt(8));
            case 1 -> mutant[random.nextInt(mutant.length)] = (byte) random.nextInt();
            case 2 -> mutant = Arrays.copyOf(mutant, 1 + random.nextInt(mutant.length + 8));
            default -> random.nextBytes(mutant);
        }
        return mutant;
    }

    /** Whose session a boundary would end. */
    private static final class NoServer implements Served {
        @Override
        public java.nio.file.Path path() {
            return java.nio.file.Path.of("none");
        }

        @Override
        public boolean hasSession() {
            return false;
        }

        @Override
        public int sessionCount() {
            return 0;
        }

        @Override
        public void endSession(String why) {
            throw new AssertionError(why);
        }

        @Override
        public ServedInfo info() {
            throw new IllegalStateException("nobody asks");
        }

        @Override
        public void close() {}
    }

    @Test
    void noMessagesOfAFrontEndDoHarm() throws Exception {
        long seed = Long.getLong("ioasis.seed", System.nanoTime());
        System.out.println("seed " + seed);
        Random random = new Random(seed);
        Guards guards = new Guards(System::nanoTime, lease -> {});
        GuestMemory memory = new GuestMemory(guards, 4);
        VhostUserDevice device =
                new VhostUserDevice(
                        new EchoType(_ -> {}),
                        new DirectDma(memory, guards.open()),
                        Virtio.F_VERSION_1 | Virtio.F_RING_PACKED);
        long replies = 0;
        int started = 0;
        Set<String> reasons = new TreeSet<>();
        // Never started: what it would run later is not needed for the end of a session.
        try (EventLoop loop =
                        new EventLoop(
                                "fuzz", Polled.NOTHING, System::nanoTime, IdlePolicy.EVENT_DRIVEN);
                Fd memfd = Memfd.create("ioasis-fuzz", 4 * 4096)) {
            EventFd event = EventFd.create();
            Fd eventFd = Fd.own(event.fd());
            for (int i = 0; i < SESSIONS; i++) {
                AtomicInteger released = new AtomicInteger();
                ScriptChannel channel = new ScriptChannel(script(random), random, memfd, eventFd);
                Session session =
                        new Session(
                                channel,
                                device,
                                memory,
                                1 << 20,
                                loop,
                                new SessionBoundary(new NoServer()),
                                _ -> {},
                                () -> {},
                                released::incrementAndGet);
                for (int turns = 0; !session.hasEnded(); turns++) {
                    if (turns > 10_000) {
                        fail("session %d of seed %d hangs", i, seed);
                    }
                    session.ready(Epoll.IN | (random.nextBoolean() ? Epoll.OUT : 0));
                    started += device.hasRings() ? 1 : 0;
                    guards.poll();
                }
                reasons.add(session.reason().replaceAll("[0-9a-fx]{2,}|[0-9]", "#"));
                assertThat(channel.isClosed).as("seed %d", seed).isTrue();
                assertThat(released).as("seed %d", seed).hasValue(1);
                assertThat(memory.regionCount()).as("seed %d", seed).isZero();
                assertThat(device.device().status()).as("seed %d", seed).isZero();
                replies += channel.received;
            }
            eventFd.transfer();
            event.close();
        }
        assertThat(replies).as("replies at all").isPositive();
        assertThat(started).as("rings at all").isPositive();
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
            byte[] message = mutate(random, 2, anyMessage(random));
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
            case Request.Plain _, Request.Value _ -> {}
        }
    }
}
