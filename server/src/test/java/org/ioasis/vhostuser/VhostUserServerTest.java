// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VhostUser.*;

import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.ioasis.spec.SplitRing;
import org.ioasis.spec.Virtio;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.EventFd;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Memfd;
import org.ioasis.sys.UnixSocket;
import org.ioasis.virtqueue.RingFormat;
import org.junit.jupiter.api.Test;

/** The protocol from the front end's side: each message wrong first, then as QEMU sends it. */
class VhostUserServerTest {
    /** What one test does to a session. */
    private interface Abuse {
        void on(FrontEnd frontEnd) throws Exception;
    }

    /**
     * The session ends with the reason, and the next front end finds a device that works and
     * nothing of the one before.
     */
    private static void endsSession(String reason, Abuse abuse) throws Exception {
        try (BackEndFixture fixture = new BackEndFixture()) {
            try (FrontEnd frontEnd = fixture.ready()) {
                abuse.on(frontEnd);
                frontEnd.awaitClose();
            }
            fixture.awaitNoSession();
            assertThat(fixture.server.lastReason()).contains(reason);
            assertThat(fixture.memory.regionCount()).isZero();
            try (FrontEnd next = fixture.ready()) {
                next.start();
                assertThat(next.echo(0, 7)).isEqualTo(0x0101_0108);
            }
            fixture.awaitNoSession();
            assertThat(fixture.loop.failures()).isZero();
            assertThat(fixture.device.device().status()).isZero();
        }
    }

    // Messages.

    @Test
    void messageOfAnImpossibleSizeEndsTheSession() throws Exception {
        endsSession(
                "269 bytes, 268 at most",
                x -> x.sendBytes(FrontEnd.message(GET_FEATURES, FLAGS_VERSION, 269, new byte[0])));
    }

    @Test
    void messageOfAnotherVersionEndsTheSession() throws Exception {
        endsSession("another version", x -> x.sendBytes(FrontEnd.message(1, 2, 0, new byte[0])));
    }

    @Test
    void replyToNothingEndsTheSession() throws Exception {
        endsSession("never sent", x -> x.sendBytes(FrontEnd.message(1, 5, 0, new byte[0])));
    }

    @Test
    void unknownFlagsEndTheSession() throws Exception {
        endsSession(
                "unknown flags 0x11", x -> x.sendBytes(FrontEnd.message(1, 0x11, 0, new byte[0])));
    }

    @Test
    void requestThatIsNotOfferedEndsTheSession() throws Exception {
        endsSession("request 6 is not offered", x -> x.send(6, FrontEnd.u64(0)));
        endsSession("request 33 is not offered", x -> x.send(33, FrontEnd.u64(0)));
        endsSession("request -1 is not offered", x -> x.send(-1, new byte[0]));
    }

    @Test
    void everyRequestOfAWrongSizeEndsTheSession() throws Exception {
        for (int request :
                List.of(
                        GET_FEATURES,
                        SET_OWNER,
                        RESET_OWNER,
                        GET_PROTOCOL_FEATURES,
                        GET_QUEUE_NUM,
                        SET_BACKEND_REQ_FD,
                        RESET_DEVICE,
                        GET_MAX_MEM_SLOTS,
                        GET_STATUS,
                        SET_FEATURES,
                        SET_PROTOCOL_FEATURES,
                        SET_STATUS,
                        SET_VRING_NUM,
                        SET_VRING_BASE,
                        GET_VRING_BASE,
                        SET_VRING_ENABLE,
                        SET_VRING_ADDR,
                        SET_VRING_KICK,
                        SET_VRING_CALL,
                        SET_VRING_ERR,
                        GET_INFLIGHT_FD,
                        SET_INFLIGHT_FD,
                        ADD_MEM_REG,
                        REM_MEM_REG)) {
            endsSession(
                    "request %d with 3 bytes".formatted(request),
                    x -> x.send(request, new byte[3]));
        }
        endsSession("memory table of 7 bytes", x -> x.send(SET_MEM_TABLE, new byte[7]));
        endsSession("request 5 with 8 bytes, not 40", x -> x.send(SET_MEM_TABLE, oneRegionLess()));
        endsSession("configuration in 11 bytes", x -> x.send(GET_CONFIG, new byte[11]));
        endsSession("request 24 with 12 bytes, not 16", x -> x.send(GET_CONFIG, longerConfig()));
    }

    private static byte[] oneRegionLess() {
        return Arrays.copyOf(FrontEnd.table(FrontEnd.all()), MEMORY_REGIONS);
    }

    private static byte[] longerConfig() {
        return Arrays.copyOf(FrontEnd.config(0, 4, 0), CONFIG_DATA);
    }

    @Test
    void frontEndThatLeavesItsRepliesUnreadLosesItsSession() throws Exception {
        try (BackEndFixture fixture = new BackEndFixture();
                FrontEnd frontEnd = fixture.ready()) {
            frontEnd.settle();
            long before = System.nanoTime();
            byte[] request = FrontEnd.message(GET_FEATURES, FLAGS_VERSION, 0, new byte[0]);
            while (fixture.server.hasSession()) {
                assertThat(System.nanoTime() - before).isLessThan(10_000_000_000L);
                frontEnd.offerBytes(request);
            }
            assertThat(fixture.server.lastReason())
                    .isEqualTo("front end does not read its replies");
        }
    }

    @Test
    void frontEndThatStopsInTheMiddleOfAMessageIsNamed() throws Exception {
        try (BackEndFixture fixture = new BackEndFixture()) {
            try (FrontEnd frontEnd = fixture.connect()) {
                frontEnd.sendBytes(new byte[] {1, 0, 0, 0, 1});
            }
            fixture.awaitFirstEnd();
            assertThat(fixture.server.lastReason())
                    .isEqualTo("front end closed after 5 bytes of a message");
        }
    }

    @Test
    void requestsOfExtensionsAreForThoseWhoHaveNegotiatedThem() throws Exception {
        for (int request : List.of(GET_QUEUE_NUM, GET_MAX_MEM_SLOTS, GET_STATUS, RESET_DEVICE)) {
            endsSession(
                    "which is not negotiated",
                    x -> {
                        x.number(SET_PROTOCOL_FEATURES, 0);
                        x.send(request, new byte[0]);
                    });
        }
        endsSession(
                "which is not negotiated",
                x -> {
                    x.number(SET_PROTOCOL_FEATURES, 0);
                    x.send(GET_CONFIG, FrontEnd.config(0, 4, 0));
                });
        endsSession(
                "protocol features 0x2 are not offered", x -> x.number(SET_PROTOCOL_FEATURES, 2));
    }

    /** As far as the first ring: what would follow meets nobody any more. */
    private static void startWithout(FrontEnd frontEnd) throws ErrnoException {
        frontEnd.number(SET_FEATURES, 1 | F_PROTOCOL_FEATURES);
        frontEnd.memory();
        frontEnd.setUp(0, 0);
        frontEnd.ring(SET_VRING_ENABLE, 0, 1);
    }

    @Test
    void featuresThatAreNotOfferedEndTheSession() throws Exception {
        endsSession("features 0x8000 are not offered", x -> x.number(SET_FEATURES, 0x8000));
        endsSession(
                "the device does not work with features 0x1", VhostUserServerTest::startWithout);
    }

    @Test
    void statusThatIsNoneEndsTheSession() throws Exception {
        endsSession("status 0x100", x -> x.number(SET_STATUS, 0x100));
    }

    // Descriptors.

    @Test
    void descriptorsThatAreMissingOrTooManyEndTheSession() throws Exception {
        endsSession("0 descriptors with Table", x -> x.send(SET_MEM_TABLE, table()));
        endsSession("2 descriptors with Table", x -> x.send(SET_MEM_TABLE, table(), x.ram, x.ram));
        endsSession("0 descriptors with OneRegion", x -> x.send(ADD_MEM_REG, single()));
        endsSession(
                "2 descriptors with OneRegion", x -> x.send(REM_MEM_REG, single(), x.ram, x.ram));
        endsSession("0 descriptors with VringFd", x -> x.send(SET_VRING_KICK, FrontEnd.u64(0)));
        endsSession(
                "1 descriptors with VringFd",
                x -> x.send(SET_VRING_CALL, FrontEnd.u64(VRING_NOFD), x.ram));
        endsSession("0 descriptors with Plain", x -> x.send(SET_BACKEND_REQ_FD, new byte[0]));
        endsSession("1 descriptors with Plain", x -> x.send(GET_FEATURES, new byte[0], x.ram));
        endsSession("1 descriptors with Value", x -> x.send(SET_FEATURES, FrontEnd.u64(0), x.ram));
        endsSession(
                "9 descriptors with one message",
                x -> x.send(SET_MEM_TABLE, table(), copies(x.ram, 9)));
        // More than are received at all: the kernel has cut them off.
        endsSession("EPROTO", x -> x.send(SET_MEM_TABLE, table(), copies(x.ram, 17)));
    }

    private static byte[] table() {
        return FrontEnd.table(FrontEnd.all());
    }

    private static byte[] single() {
        return FrontEnd.single(FrontEnd.all());
    }

    private static Fd[] copies(Fd fd, int count) {
        Fd[] copies = new Fd[count];
        Arrays.fill(copies, fd);
        return copies;
    }

    @Test
    void descriptorsOfAnotherKindEndTheSession() throws Exception {
        endsSession("eventfd", x -> x.send(SET_VRING_KICK, FrontEnd.u64(0), x.ram));
        endsSession("is no eventfd", x -> x.send(SET_VRING_CALL, FrontEnd.u64(0), x.ram));
        endsSession("is no eventfd", x -> x.send(SET_VRING_ERR, FrontEnd.u64(1), x.ram));
        endsSession("socket", x -> x.send(SET_BACKEND_REQ_FD, new byte[0], x.ram));
    }

    @Test
    void nothingOfAFrontEndIsLeftWhenItHasGone() throws Exception {
        try (BackEndFixture fixture = new BackEndFixture()) {
            long before = descriptors();
            for (int i = 0; i < 3; i++) {
                try (FrontEnd frontEnd = fixture.ready()) {
                    frontEnd.start();
                    assertThat(frontEnd.echo(0, 1)).isEqualTo(0x0101_0102);
                    UnixSocket[] pair = UnixSocket.pair();
                    Fd sent = Fd.own(pair[0].fd());
                    try (Fd copy = sent.duplicate()) {
                        frontEnd.send(SET_BACKEND_REQ_FD, new byte[0], copy);
                    }
                    frontEnd.settle();
                    pair[1].close();
                    sent.close();
                }
                fixture.awaitNoSession();
            }
            assertThat(descriptors()).isEqualTo(before);
        }
    }

    /** Sockets, eventfds and memory. */
    private static long descriptors() throws IOException {
        try (var fds = Files.list(Path.of("/proc/self/fd"))) {
            return fds.filter(
                            fd -> {
                                try {
                                    String target = Files.readSymbolicLink(fd).toString();
                                    return target.startsWith("socket:")
                                            || target.contains("[eventfd]")
                                            || target.startsWith("/memfd:ioasis");
                                } catch (IOException e) {
                                    return false; // closed in between
                                }
                            })
                    .count();
        }
    }

    // Memory.

    @Test
    void regionsThatCannotBeEndTheSession() throws Exception {
        MemoryRegion all = FrontEnd.all();
        endsSession("without bytes, or over the end", x -> add(x, new MemoryRegion(0, 0, 0, 0)));
        endsSession(
                "without bytes, or over the end",
                x -> add(x, new MemoryRegion(-4096, 8192, all.userFirst(), 0)));
        endsSession(
                "without bytes, or over the end", x -> add(x, new MemoryRegion(0, 8192, -4096, 0)));
        endsSession(
                "memory cannot be mapped",
                x -> add(x, new MemoryRegion(0, FrontEnd.RAM, all.userFirst(), 4096)));
        endsSession(
                "overlaps another",
                x -> {
                    add(x, all);
                    add(x, new MemoryRegion(FrontEnd.RAM - 4096, 4096, 0, 0));
                });
        endsSession(
                "overlaps another by its user addresses",
                x -> {
                    add(x, all);
                    add(x, new MemoryRegion(FrontEnd.RAM, 8192, all.userLast() - 4095, 0));
                });
        endsSession("no memory region is there", x -> x.send(REM_MEM_REG, single()));
        endsSession(
                "memory table of 9 regions",
                x -> {
                    byte[] table = table();
                    table[0] = 9;
                    x.send(SET_MEM_TABLE, table, x.ram);
                });
    }

    private static void add(FrontEnd frontEnd, MemoryRegion region) throws ErrnoException {
        frontEnd.send(ADD_MEM_REG, FrontEnd.single(region), frontEnd.ram);
    }

    @Test
    void asManyRegionsAsTheLimitAreTakenAndNotOneMore() throws Exception {
        endsSession(
                "limit of memory regions",
                x -> {
                    for (int i = 0; i <= BackEndFixture.REGIONS; i++) {
                        if (i == BackEndFixture.REGIONS) {
                            x.settle();
                        }
                        long at = 4096L * i;
                        add(x, new MemoryRegion(at, 4096, FrontEnd.USER + at, at));
                    }
                });
    }

    @Test
    void memoryBeyondTheLimitOfBytesEndsTheSession() throws Exception {
        endsSession(
                "limit of mapped bytes",
                x -> {
                    long half = BackEndFixture.BYTES / 2;
                    try (Fd large = Memfd.create("ioasis-large", half)) {
                        for (int i = 0; i < 2; i++) {
                            x.send(
                                    ADD_MEM_REG,
                                    FrontEnd.single(new MemoryRegion(half * i, half, half * i, 0)),
                                    large);
                        }
                        x.settle();
                    }
                    add(x, new MemoryRegion(2 * half, 4096, 2 * half, 0));
                });
    }

    @Test
    void memoryThatIsCutOffEndsTheSession() throws Exception {
        endsSession(
                "memory cannot be accessed",
                x -> {
                    x.start();
                    assertThat(x.echo(0, 1)).isEqualTo(0x0101_0102);
                    // Pages that were used stay in use until they are unmapped.
                    try (java.nio.channels.FileChannel file =
                            java.nio.channels.FileChannel.open(
                                    Path.of("/proc/self/fd/" + x.ram.number()),
                                    java.nio.file.StandardOpenOption.WRITE)) {
                        file.truncate(0);
                    }
                    x.kicks[0].signal();
                });
    }

    // Rings.

    @Test
    void ringsThatAreNotThereEndTheSession() throws Exception {
        for (int request :
                List.of(SET_VRING_NUM, SET_VRING_BASE, GET_VRING_BASE, SET_VRING_ENABLE)) {
            endsSession(
                    "ring 2 of 2",
                    x -> {
                        x.number(SET_FEATURES, F_PROTOCOL_FEATURES);
                        x.ring(request, 2, 1);
                    });
            endsSession(
                    "ring 4294967295 of 2",
                    x -> {
                        x.number(SET_FEATURES, F_PROTOCOL_FEATURES);
                        x.ring(request, -1, 1);
                    });
        }
        for (int request : List.of(SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR)) {
            endsSession("ring 255 of 2", x -> x.ringFd(request, 255, x.kicks[0]));
            endsSession("unknown bits 0x200", x -> x.send(request, FrontEnd.u64(0x200)));
        }
        endsSession("ring 2 of 2", x -> x.send(SET_VRING_ADDR, FrontEnd.address(2, 0, 0, 0, 0)));
    }

    @Test
    void ringsOfImpossibleSizesEndTheSession() throws Exception {
        endsSession("ring of 0 entries", x -> x.ring(SET_VRING_NUM, 0, 0));
        endsSession("ring of 9 entries, 8 at most", x -> x.ring(SET_VRING_NUM, 0, 9));
        endsSession("ring of 4294967295 entries", x -> x.ring(SET_VRING_NUM, 0, -1));
        endsSession(
                "no ring 0 can have 7 entries",
                x -> startWith(x, y -> y.ring(SET_VRING_NUM, 0, 7)));
    }

    /** A start with one ring, whose description the test has spoiled. */
    private static void startWith(FrontEnd frontEnd, Abuse spoil) throws Exception {
        frontEnd.number(SET_FEATURES, Virtio.F_VERSION_1 | F_PROTOCOL_FEATURES);
        frontEnd.memory();
        frontEnd.setUp(0, 0);
        spoil.on(frontEnd);
        frontEnd.ring(SET_VRING_ENABLE, 0, 1);
    }

    @Test
    void ringsOutsideOfTheMemoryEndTheSession() throws Exception {
        long user = FrontEnd.USER;
        for (long[] parts :
                new long[][] {
                    {user - 0x1000, user, user},
                    {user, user + FrontEnd.RAM, user},
                    {user, user, -16},
                    // The first byte is inside.
                    {user + FrontEnd.RAM - 16, user, user},
                    {user, user + FrontEnd.RAM - 16, user},
                    {user, user, user + FrontEnd.RAM - 4}
                }) {
            endsSession(
                    "ring 0 is outside of the shared memory",
                    x ->
                            startWith(
                                    x,
                                    y ->
                                            y.send(
                                                    SET_VRING_ADDR,
                                                    FrontEnd.address(
                                                            0, 0, parts[0], parts[1], parts[2]))));
        }
        endsSession(
                "ring 0 is outside of the shared memory",
                x -> startWith(x, y -> y.send(SET_MEM_TABLE, FrontEnd.table())));
        endsSession(
                "no ring 0 can have 8 entries, its place",
                x ->
                        startWith(
                                x,
                                y ->
                                        y.send(
                                                SET_VRING_ADDR,
                                                FrontEnd.address(0, 0, user + 8, user, user))));
        endsSession(
                "unknown flags 0x1",
                x -> x.send(SET_VRING_ADDR, FrontEnd.address(0, 1, user, user, user)));
    }

    @Test
    void ringsThatRunCannotBeChanged() throws Exception {
        for (Abuse change :
                List.<Abuse>of(
                        x -> x.ring(SET_VRING_NUM, 0, 4),
                        x -> x.ring(SET_VRING_BASE, 0, 1),
                        x -> x.addresses(0))) {
            endsSession(
                    "of ring 0 changes while it runs",
                    x -> {
                        x.start();
                        change.on(x);
                    });
        }
        endsSession(
                "features change while rings run",
                x -> {
                    x.start();
                    x.number(SET_FEATURES, Virtio.F_VERSION_1 | F_PROTOCOL_FEATURES | 1);
                });
        endsSession(
                "ring 0 without kicks",
                x -> {
                    x.start();
                    x.send(SET_VRING_KICK, FrontEnd.u64(VRING_NOFD));
                });
        endsSession(
                "enabled with 2",
                x -> {
                    x.start();
                    x.ring(SET_VRING_ENABLE, 0, 2);
                });
        endsSession(
                "enabled with 1",
                x -> {
                    x.number(SET_FEATURES, Virtio.F_VERSION_1);
                    x.ring(SET_VRING_ENABLE, 0, 1);
                });
    }

    @Test
    void memoryThatIsTakenAwayFromUnderARingEndsTheSession() throws Exception {
        endsSession(
                "ring 0 is outside of the shared memory",
                x -> {
                    x.start();
                    x.send(REM_MEM_REG, single());
                });
        endsSession(
                "ring 0 is outside of the shared memory",
                x -> {
                    x.start();
                    x.send(
                            SET_MEM_TABLE,
                            FrontEnd.table(new MemoryRegion(0, 4096, FrontEnd.USER, 0)),
                            x.ram);
                });
    }

    // What QEMU does.

    @Test
    void deviceAnswersBeforeAnythingIsNegotiated() throws Exception {
        try (BackEndFixture fixture = new BackEndFixture();
                FrontEnd frontEnd = fixture.connect()) {
            assertThat(frontEnd.ask(GET_FEATURES))
                    .isEqualTo(Virtio.F_VERSION_1 | Virtio.F_RING_PACKED | F_PROTOCOL_FEATURES | 5);
            assertThat(frontEnd.ask(GET_PROTOCOL_FEATURES)).isEqualTo(0x1b229);
            frontEnd.number(SET_PROTOCOL_FEATURES, Session.PROTOCOL_FEATURES);
            assertThat(frontEnd.ask(GET_QUEUE_NUM)).isEqualTo(2);
            assertThat(frontEnd.ask(GET_MAX_MEM_SLOTS)).isEqualTo(BackEndFixture.REGIONS);
            assertThat(frontEnd.ask(GET_STATUS)).isZero();
            frontEnd.number(SET_STATUS, 8);
            assertThat(frontEnd.ask(GET_STATUS)).isEqualTo(8);
        }
    }

    @Test
    void requestThatWantsAnAnswerGetsOneWhenItIsDone() throws Exception {
        try (BackEndFixture fixture = new BackEndFixture();
                FrontEnd frontEnd = fixture.ready()) {
            byte[] payload = FrontEnd.u64(Virtio.F_VERSION_1 | F_PROTOCOL_FEATURES);
            frontEnd.sendBytes(
                    FrontEnd.message(SET_FEATURES, FLAGS_VERSION | FLAGS_NEED_REPLY, 8, payload));
            FrontEnd.Reply reply = frontEnd.receive();

            assertThat(reply.request()).isEqualTo(SET_FEATURES);
            assertThat(reply.flags()).isEqualTo(FLAGS_VERSION | FLAGS_REPLY);
            assertThat(reply.number()).isZero();

            frontEnd.send(SET_FEATURES, payload);
            assertThat(frontEnd.isSilentFor(50)).isTrue();
        }
    }

    @Test
    void chainsGoThereAndBackOverBothRingsAndBothFormats() throws Exception {
        try (BackEndFixture fixture = new BackEndFixture()) {
            for (RingFormat format : RingFormat.values()) {
                try (FrontEnd frontEnd = fixture.ready()) {
                    frontEnd.newRing(0, format);
                    frontEnd.newRing(1, format);
                    boolean isPacked = format == RingFormat.PACKED;
                    // A packed ring begins with its wrap counter set, for both sides.
                    int base = isPacked ? 0x8000_8000 : 0;
                    long packed = isPacked ? Virtio.F_RING_PACKED : 0;
                    frontEnd.start(Virtio.F_VERSION_1 | packed, base, base);
                    for (int i = 0; i < 20; i++) {
                        assertThat(frontEnd.echo(i % 2, i)).isEqualTo(i + 0x0101_0101);
                    }
                    assertThat(fixture.device.device().format()).isEqualTo(format);
                }
                fixture.awaitNoSession();
            }
            assertThat(fixture.device.kicks()).isPositive();
            assertThat(fixture.device.interrupts()).isEqualTo(40);
        }
    }

    @Test
    void ringWorksInMemoryThatIsReplacedWhileItRuns() throws Exception {
        try (BackEndFixture fixture = new BackEndFixture();
                FrontEnd frontEnd = fixture.ready()) {
            frontEnd.start();
            for (int i = 0; i < 10; i++) {
                frontEnd.memory();
                MemoryRegion more = new MemoryRegion(FrontEnd.RAM, 4096, FrontEnd.USER - 4096, 0);
                add(frontEnd, more);
                assertThat(frontEnd.echo(0, i)).isEqualTo(i + 0x0101_0101);
                frontEnd.send(REM_MEM_REG, FrontEnd.single(more));
            }
            frontEnd.settle();
            assertThat(fixture.server.info().regions()).isOne();
            assertThat(fixture.server.info().sharedBytes()).isEqualTo(FrontEnd.RAM);
        }
    }

    @Test
    void configurationIsReadAndWrittenByBytesThatDiffer() throws Exception {
        try (BackEndFixture fixture = new BackEndFixture();
                FrontEnd frontEnd = fixture.ready()) {
            ByteBuffer payload = ByteBuffer.allocate(CONFIG_DATA + 64);
            payload.order(ByteOrder.LITTLE_ENDIAN).putInt(0).putInt(64).putInt(0);
            payload.put(CONFIG_DATA + 3, (byte) 9).put(CONFIG_DATA + 40, (byte) 9);
            frontEnd.send(SET_CONFIG, payload.array());
            FrontEnd.Reply reply = frontEnd.call(GET_CONFIG, FrontEnd.config(0, 64, 0));

            assertThat(reply.payload().array()).hasSize(CONFIG_DATA + 64);
            assertThat(reply.payload().get(CONFIG_DATA + 3)).isEqualTo((byte) 9);
            // There is no such byte.
            assertThat(reply.payload().get(CONFIG_DATA + 40)).isZero();
        }
        endsSession(
                "configuration beyond 256 bytes",
                x -> x.send(GET_CONFIG, FrontEnd.config(253, 4, 0)));
        endsSession(
                "configuration with flags 0x1", x -> x.send(SET_CONFIG, FrontEnd.config(0, 4, 1)));
    }

    @Test
    void deviceThatIsBrokenSaysSoInEveryWayThereIs() throws Exception {
        UnixSocket[] pair = UnixSocket.pair();
        try (BackEndFixture fixture = new BackEndFixture();
                FrontEnd frontEnd = fixture.ready();
                EventFd broken = EventFd.create();
                UnixSocket mine = pair[1];
                Epoll epoll = Epoll.create()) {
            epoll.add(broken.fd(), Epoll.IN, 0);
            epoll.add(mine.fd(), Epoll.IN, 1);
            Fd sent = Fd.own(pair[0].fd());
            try (Fd copy = sent.duplicate()) {
                frontEnd.send(SET_BACKEND_REQ_FD, new byte[0], copy);
            }
            frontEnd.ringFd(SET_VRING_ERR, 1, broken);
            frontEnd.start();
            // An index that no driver of a ring of 8 can have come to.
            frontEnd.guest
                    .segment()
                    .set(
                            ValueLayout.JAVA_SHORT,
                            frontEnd.rings[0].driverAddress() + SplitRing.AVAIL_IDX,
                            (short) 99);
            frontEnd.kicks[0].signal();

            boolean[] isTold = new boolean[2];
            while (!(isTold[0] && isTold[1])) {
                int ready = epoll.await(FrontEnd.WAIT_MILLIS);
                assertThat(ready).as("told in time").isPositive();
                for (int i = 0; i < ready; i++) {
                    isTold[(int) epoll.token(i)] = true;
                }
            }
            assertThat(frontEnd.ask(GET_STATUS) & Virtio.STATUS_DEVICE_NEEDS_RESET).isNotZero();
            sent.close();
            // It stops and starts as ever, with a device that does nothing until it is reset.
            int[] bases = frontEnd.stop();
            frontEnd.start(Virtio.F_VERSION_1, bases);
            frontEnd.settle();
            frontEnd.stop();
            frontEnd.send(RESET_DEVICE, new byte[0]);
            frontEnd.newRing(0, RingFormat.SPLIT);
            frontEnd.newRing(1, RingFormat.SPLIT);
            frontEnd.start();
            assertThat(frontEnd.echo(0, 3)).isEqualTo(0x0101_0104);
        }
    }

    // Paused and reset.

    private static int resets(BackEndFixture fixture) {
        return fixture.type.resets();
    }

    /** Runs a few chains, then stops; the device has been told of so many resets since. */
    private static void stopsAndGoesOn(int resets, Consumer<BackEndFixture> between, Resume resume)
            throws Exception {
        try (BackEndFixture fixture = new BackEndFixture();
                FrontEnd frontEnd = fixture.ready()) {
            frontEnd.start();
            for (int i = 0; i < 5; i++) {
                assertThat(frontEnd.echo(0, i)).isEqualTo(i + 0x0101_0101);
            }
            int before = resets(fixture);
            int[] bases = frontEnd.stop();
            assertThat(bases).containsExactly(5, 0);
            assertThat(resets(fixture)).as("nothing tells yet").isEqualTo(before);
            // What a task of the loop throws goes no further.
            AtomicReference<AssertionError> refuted = new AtomicReference<>();
            fixture.loop.executeAndWait(
                    () -> {
                        try {
                            between.accept(fixture);
                        } catch (AssertionError e) {
                            refuted.set(e);
                        }
                    },
                    1_000_000_000L);
            assertThat(refuted.get()).isNull();

            resume.on(frontEnd, bases);
            frontEnd.settle();

            assertThat(resets(fixture) - before).isEqualTo(resets);
            assertThat(frontEnd.echo(0, 9)).isEqualTo(9 + 0x0101_0101);
        }
    }

    private interface Resume {
        void on(FrontEnd frontEnd, int[] bases) throws Exception;
    }

    private static void anew(FrontEnd frontEnd) throws Exception {
        frontEnd.newRing(0, RingFormat.SPLIT);
        frontEnd.newRing(1, RingFormat.SPLIT);
        frontEnd.start();
    }

    @Test
    void ringsThatComeBackWhereTheyWereAreAPauseAndTheDeviceGoesOn() throws Exception {
        stopsAndGoesOn(0, _ -> {}, (x, bases) -> x.start(Virtio.F_VERSION_1, bases));
    }

    @Test
    void ringsThatBeginAnewAreAReset() throws Exception {
        stopsAndGoesOn(1, _ -> {}, (x, _) -> anew(x));
    }

    @Test
    void otherFeaturesAreAReset() throws Exception {
        stopsAndGoesOn(1, _ -> {}, (x, bases) -> x.start(Virtio.F_VERSION_1 | 1, bases));
    }

    @Test
    void guestThatReadsConfigurationHasResetTheDevice() throws Exception {
        stopsAndGoesOn(
                1,
                _ -> {},
                (x, _) -> {
                    x.call(GET_CONFIG, FrontEnd.config(0, 12, 0));
                    anew(x);
                });
    }

    @Test
    void guestThatActsElsewhereHasResetTheDeviceAtOnce() throws Exception {
        stopsAndGoesOn(
                1,
                fixture -> {
                    fixture.device.guestActs();
                    assertThat(fixture.device.device().status()).isZero();
                },
                (x, _) -> anew(x));
    }

    @Test
    void machineThatIsResetHasADeviceAsNewWhenItsGuestActs() throws Exception {
        stopsAndGoesOn(
                0,
                fixture -> {
                    int before = fixture.type.systemResets();
                    fixture.device.machineResets();
                    assertThat(fixture.type.systemResets()).isEqualTo(before);
                    fixture.device.guestActs();
                    assertThat(fixture.type.systemResets()).isEqualTo(before + 1);
                },
                (x, _) -> anew(x));
    }

    @Test
    void guestThatActsWhileRingsRunIsNoReset() throws Exception {
        try (BackEndFixture fixture = new BackEndFixture();
                FrontEnd frontEnd = fixture.ready()) {
            frontEnd.start();
            frontEnd.ring(SET_VRING_ENABLE, 1, 0);
            frontEnd.settle();
            fixture.loop.executeAndWait(
                    () -> {
                        fixture.device.machineResets();
                        fixture.device.guestActs();
                    },
                    1_000_000_000L);
            assertThat(frontEnd.echo(0, 1)).isEqualTo(0x0101_0102);
        }
    }

    @Test
    void ringThatIsDisabledIsNotProcessedUntilItIsEnabled() throws Exception {
        try (BackEndFixture fixture = new BackEndFixture();
                FrontEnd frontEnd = fixture.ready()) {
            frontEnd.start();
            assertThat(frontEnd.echo(1, 1)).isEqualTo(0x0101_0102);
            frontEnd.ring(SET_VRING_ENABLE, 1, 0);
            frontEnd.settle();
            frontEnd.rings[1].begin();
            frontEnd.rings[1].readable(0x8000, 4);
            frontEnd.rings[1].writable(0x9000, 4);
            frontEnd.rings[1].offer();
            frontEnd.rings[1].expose();
            frontEnd.kicks[1].signal();
            assertThat(frontEnd.echo(0, 1)).isEqualTo(0x0101_0102);
            assertThat(frontEnd.rings[1].usedCount()).isZero();

            frontEnd.ring(SET_VRING_ENABLE, 1, 1);
            frontEnd.settle();
            assertThat(frontEnd.rings[1].usedCount()).isOne();
        }
    }

    @Test
    void secondFrontEndIsClosedAndTheFirstGoesOn() throws Exception {
        try (BackEndFixture fixture = new BackEndFixture();
                FrontEnd first = fixture.ready()) {
            first.start();
            try (FrontEnd second = fixture.connect()) {
                second.awaitClose();
            }
            assertThat(first.echo(0, 1)).isEqualTo(0x0101_0102);
            assertThat(fixture.server.refusedCount()).isOne();
        }
    }
}
