// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VhostUser.*;

import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.ioasis.peer.ServerWait;
import org.ioasis.peer.SocketPeer;
import org.ioasis.spec.Virtio;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.ioasis.sys.Memfd;
import org.ioasis.virtqueue.DriverQueue;
import org.ioasis.virtqueue.RingFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Chains that a back end has when it ends, and the next one that gives them back. */
@Timeout(120)
class InflightLogsTest {
    /** Of each format. */
    private static final int KILLS = 10;

    private static final int SIZE = FrontEnd.RING_SIZE;

    /** By a chain's name, from there on: the number in it, and the one that comes back. */
    private static final long SENT = 0x8000;

    private static final long BACK = 0x9000;

    @TempDir Path folder;

    private static long features(RingFormat format) {
        return Virtio.F_VERSION_1 | (format == RingFormat.PACKED ? Virtio.F_RING_PACKED : 0);
    }

    private static FrontEnd ready(Path socket, RingFormat format) throws Exception {
        FrontEnd frontEnd = FrontEnd.ready(socket);
        for (int i = 0; i < FrontEnd.RINGS; i++) {
            frontEnd.newRing(i, format);
        }
        frontEnd.number(SET_FEATURES, features(format) | F_PROTOCOL_FEATURES);
        return frontEnd;
    }

    private static FrontEnd again(Path socket, FrontEnd before) throws Exception {
        FrontEnd frontEnd = FrontEnd.again(socket, before);
        frontEnd.number(SET_PROTOCOL_FEATURES, Session.PROTOCOL_FEATURES);
        return frontEnd;
    }

    /** Where rings begin that nobody has used, as the protocol says it. */
    private static int start(RingFormat format) {
        return format == RingFormat.PACKED ? 0x8000_8000 : 0;
    }

    private static void begin(FrontEnd frontEnd, RingFormat format, FrontEnd.Log log)
            throws Exception {
        frontEnd.number(SET_FEATURES, features(format) | F_PROTOCOL_FEATURES);
        frontEnd.log(log);
        frontEnd.start(features(format), start(format), start(format));
        frontEnd.settle();
    }

    private static int offer(FrontEnd frontEnd, int value) {
        return offer(frontEnd, 0, value);
    }

    private static int offer(FrontEnd frontEnd, int index, int value) {
        DriverQueue ring = frontEnd.rings[index];
        int head = ring.begin();
        MemorySegment memory = frontEnd.guest.segment();
        memory.set(ValueLayout.JAVA_INT, SENT + 8L * head, value);
        memory.set(ValueLayout.JAVA_INT, BACK + 8L * head, 0);
        ring.readable(SENT + 8L * head, 4);
        ring.writable(BACK + 8L * head, 4);
        ring.offer();
        ring.expose();
        return head;
    }

    private static int back(FrontEnd frontEnd, int head) {
        return frontEnd.guest.segment().get(ValueLayout.JAVA_INT, BACK + 8L * head);
    }

    private static void awaitCall(FrontEnd frontEnd) throws Exception {
        try (Epoll called = Epoll.create()) {
            called.add(frontEnd.calls[0].fd(), Epoll.IN, 0);
            assertThat(called.await(SocketPeer.WAIT_MILLIS)).as("calls").isPositive();
        }
        long _ = frontEnd.calls[0].drain();
    }

    // Messages, wrong first.

    @Test
    void logThatNoRingsCanHaveEndsTheSession() throws Exception {
        long enough = 2 * RingFormat.PACKED.logBytes(SIZE);
        try (Fd log = Memfd.create("log", enough);
                Fd small = Memfd.create("small", 100)) {
            ends("request 31 with 3 bytes", x -> x.send(GET_INFLIGHT_FD, new byte[3]));
            ends("request 32 with 21 bytes", x -> x.send(SET_INFLIGHT_FD, new byte[21], log));
            ends("0 descriptors", x -> x.send(SET_INFLIGHT_FD, of(enough, 0, 2, SIZE)));
            ends("2 descriptors", x -> x.send(SET_INFLIGHT_FD, of(enough, 0, 2, SIZE), log, log));
            ends("1 descriptors", x -> x.send(GET_INFLIGHT_FD, of(0, 0, 2, SIZE), log));
            for (int request : new int[] {GET_INFLIGHT_FD, SET_INFLIGHT_FD}) {
                Fd[] fds = request == GET_INFLIGHT_FD ? new Fd[0] : new Fd[] {log};
                ends("log for 0 rings", x -> x.send(request, of(enough, 0, 0, SIZE), fds));
                ends("log for 3 rings", x -> x.send(request, of(enough, 0, 3, SIZE), fds));
                ends("of 0 entries", x -> x.send(request, of(enough, 0, 2, 0), fds));
                ends("of 9 entries", x -> x.send(request, of(enough, 0, 2, SIZE + 1), fds));
            }
            long least = 2 * RingFormat.SPLIT.logBytes(SIZE);
            ends(
                    "log of %d bytes".formatted(least - 1),
                    x -> x.send(SET_INFLIGHT_FD, of(least - 1, 0, 2, SIZE), log));
            ends("cannot be mapped", x -> x.send(SET_INFLIGHT_FD, of(enough, 0, 2, SIZE), small));
            ends("cannot be mapped", x -> x.send(SET_INFLIGHT_FD, of(enough, 64, 2, SIZE), log));
            ends("cannot be mapped", x -> x.send(SET_INFLIGHT_FD, of(-1, -4096, 2, SIZE), log));
            ends(
                    "a log for 4",
                    x -> {
                        x.send(SET_INFLIGHT_FD, of(enough, 0, 2, SIZE / 2), log);
                        x.start();
                    });
            ends(
                    "the log changes while rings run",
                    x -> {
                        x.start();
                        x.send(SET_INFLIGHT_FD, of(enough, 0, 2, SIZE), log);
                    });
            ends(
                    "0x1000, which is not negotiated",
                    x -> {
                        long without = Session.PROTOCOL_FEATURES & ~PROTOCOL_F_INFLIGHT_SHMFD;
                        x.number(SET_PROTOCOL_FEATURES, without);
                        x.send(GET_INFLIGHT_FD, of(0, 0, 2, SIZE));
                    });
        }
    }

    private static byte[] of(long bytes, long offset, int queues, int entries) {
        return FrontEnd.inflight(bytes, offset, queues, entries);
    }

    private interface Abuse {
        void on(FrontEnd frontEnd) throws Exception;
    }

    private void ends(String reason, Abuse abuse) throws Exception {
        try (HoldingBackEnd backEnd = new HoldingBackEnd(folder.resolve("d.sock"))) {
            try (FrontEnd frontEnd = FrontEnd.ready(backEnd.server.path())) {
                abuse.on(frontEnd);
                frontEnd.awaitClose();
            }
            ServerWait.until(backEnd.server, backEnd.loop, () -> !backEnd.server.hasSession());
            assertThat(backEnd.server.lastReason()).contains(reason);
            assertThat(backEnd.loop.failures()).isZero();
        }
    }

    @Test
    void logIsAsLongAsItsFormatNeedsAndInAMessageOfEitherLength() throws Exception {
        try (HoldingBackEnd backEnd = new HoldingBackEnd(folder.resolve("d.sock"))) {
            for (RingFormat format : RingFormat.values()) {
                try (FrontEnd frontEnd = ready(backEnd.server.path(), format)) {
                    FrontEnd.Log log = frontEnd.askForLog(2, SIZE);
                    assertThat(log.bytes()).isEqualTo(2 * format.logBytes(SIZE));
                    assertThat(log.offset()).isZero();
                    assertThat(log.queues()).isEqualTo(2);
                    assertThat(log.entries()).isEqualTo(SIZE);
                    log.fd().close();
                }
                ServerWait.until(backEnd.server, backEnd.loop, () -> !backEnd.server.hasSession());
            }
        }
    }

    // What it is for.

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void chainsInFlightWhenTheBackEndEndsAreGivenBackOnceByTheNext(RingFormat format)
            throws Exception {
        Path socket = folder.resolve("d.sock");
        HoldingBackEnd first = new HoldingBackEnd(socket);
        FrontEnd guest = ready(socket, format);
        FrontEnd.Log log = guest.askForLog(2, SIZE);
        begin(guest, format, log);
        int[] heads = {offer(guest, 10), offer(guest, 20), offer(guest, 30)};
        guest.kicks[0].signal();
        ServerWait.until(first.server, first.loop, () -> first.held() == 3);
        first.run(() -> first.type.giveBack(1));
        awaitCall(guest);
        assertThat(guest.rings[0].take()).isEqualTo(heads[1]);
        assertThat(back(guest, heads[1])).isEqualTo(21);
        first.close();
        // What comes meanwhile, without a kick that anybody hears.
        int late = offer(guest, 40);

        try (HoldingBackEnd second = new HoldingBackEnd(socket);
                FrontEnd reconnected = again(socket, guest)) {
            begin(reconnected, format, log);
            ServerWait.until(second.server, second.loop, () -> second.held() == 3);
            for (int i = 0; i < 3; i++) {
                second.run(() -> second.type.giveBack(0));
            }
            DriverQueue ring = reconnected.rings[0];
            ServerWait.until(second.server, second.loop, () -> ring.usedCount() == 3);
            awaitCall(reconnected);
            assertThat(ring.take()).isEqualTo(heads[0]);
            assertThat(ring.take()).isEqualTo(heads[2]);
            assertThat(ring.take()).isEqualTo(late);
            assertThat(ring.take()).isEqualTo(DriverQueue.NONE);
            assertThat(back(reconnected, heads[0])).isEqualTo(11);
            assertThat(back(reconnected, heads[2])).isEqualTo(31);
            assertThat(back(reconnected, late)).isEqualTo(41);

            // And on, over a stop, after which there is nothing to give back.
            int[] bases = reconnected.stop();
            reconnected.start(features(format), bases);
            int last = offer(reconnected, 50);
            reconnected.kicks[0].signal();
            ServerWait.until(second.server, second.loop, () -> second.held() == 1);
            second.run(() -> second.type.giveBack(0));
            ServerWait.until(second.server, second.loop, () -> ring.usedCount() == 1);
            assertThat(ring.take()).isEqualTo(last);
            assertThat(second.loop.failures()).isZero();
        }
        guest.close();
        log.fd().close();
    }

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void logOfARingThatIsTakenBackBeforeTheDeviceHadItIsKept(RingFormat format) throws Exception {
        Path socket = folder.resolve("d.sock");
        HoldingBackEnd first = new HoldingBackEnd(socket);
        FrontEnd guest = ready(socket, format);
        FrontEnd.Log log = guest.askForLog(2, SIZE);
        begin(guest, format, log);
        int left = offer(guest, 10);
        int done = offer(guest, 20);
        guest.kicks[0].signal();
        ServerWait.until(first.server, first.loop, () -> first.held() == 2);
        first.run(() -> first.type.giveBack(1));
        awaitCall(guest);
        assertThat(guest.rings[0].take()).isEqualTo(done);
        first.close();

        try (HoldingBackEnd second = new HoldingBackEnd(socket);
                FrontEnd reconnected = again(socket, guest)) {
            reconnected.number(SET_FEATURES, features(format) | F_PROTOCOL_FEATURES);
            reconnected.log(log);
            reconnected.memory();
            for (int i = 0; i < FrontEnd.RINGS; i++) {
                reconnected.setUp(i, start(format));
            }
            // The guest is paused before the rings are enabled.
            int[] bases = reconnected.stop();
            reconnected.number(SET_STATUS, 0);
            reconnected.start(features(format), bases);
            reconnected.settle();
            assertThat(second.held()).as("what the first one has left").isOne();
            second.run(() -> second.type.giveBack(0));
            DriverQueue ring = reconnected.rings[0];
            ServerWait.until(second.server, second.loop, () -> ring.usedCount() == 1);
            assertThat(ring.take()).isEqualTo(left);
            assertThat(back(reconnected, left)).isEqualTo(11);
            assertThat(ring.take()).isEqualTo(DriverQueue.NONE);
            assertThat(second.device.device().brokenReason()).isNull();
        }
        guest.close();
        log.fd().close();
    }

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void logIsForgottenWithItsDeviceWhateverItsFormatIsThoughtToBe(RingFormat format)
            throws Exception {
        Path socket = folder.resolve("d.sock");
        HoldingBackEnd first = new HoldingBackEnd(socket);
        FrontEnd guest = ready(socket, format);
        FrontEnd.Log log = guest.askForLog(2, SIZE);
        begin(guest, format, log);
        // Where the logs of the formats begin elsewhere.
        int _ = offer(guest, 1, 10);
        guest.kicks[1].signal();
        ServerWait.until(first.server, first.loop, () -> first.held() == 1);
        first.close();
        try (HoldingBackEnd second = new HoldingBackEnd(socket);
                FrontEnd reconnected = again(socket, guest)) {
            reconnected.log(log);
            // Before anything is said of features.
            reconnected.send(RESET_DEVICE, new byte[0]);
            for (int i = 0; i < FrontEnd.RINGS; i++) {
                reconnected.newRing(i, format);
            }
            reconnected.start(features(format), start(format), start(format));
            reconnected.settle();
            assertThat(second.held()).isZero();
            assertThat(second.device.device().brokenReason()).isNull();
        }
        guest.close();
        log.fd().close();
    }

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void driverThatResetsTheDeviceWantsNothingBack(RingFormat format) throws Exception {
        Path socket = folder.resolve("d.sock");
        try (HoldingBackEnd backEnd = new HoldingBackEnd(socket);
                FrontEnd guest = ready(socket, format)) {
            FrontEnd.Log log = guest.askForLog(2, SIZE);
            begin(guest, format, log);
            int _ = offer(guest, 10);
            guest.kicks[0].signal();
            ServerWait.until(backEnd.server, backEnd.loop, () -> backEnd.held() == 1);
            guest.send(RESET_DEVICE, new byte[0]);
            guest.settle();
            for (int i = 0; i < FrontEnd.RINGS; i++) {
                guest.newRing(i, format);
            }
            guest.start(features(format), start(format), start(format));
            guest.settle();
            assertThat(backEnd.held()).isZero();
            int head = offer(guest, 60);
            guest.kicks[0].signal();
            ServerWait.until(backEnd.server, backEnd.loop, () -> backEnd.held() == 1);
            backEnd.run(() -> backEnd.type.giveBack(0));
            DriverQueue ring = guest.rings[0];
            ServerWait.until(backEnd.server, backEnd.loop, () -> ring.usedCount() == 1);
            assertThat(ring.take()).isEqualTo(head);
            log.fd().close();
        }
    }

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void logThatIsNoneEndsTheDevicesWorkAndNotTheServer(RingFormat format) throws Exception {
        Path socket = folder.resolve("d.sock");
        try (HoldingBackEnd backEnd = new HoldingBackEnd(socket);
                FrontEnd guest = ready(socket, format);
                Fd wrong = Memfd.create("wrong", 2 * format.logBytes(SIZE))) {
            try (Mapping mapped = Mapping.map(wrong, 0, 2 * format.logBytes(SIZE), true)) {
                mapped.segment().fill((byte) 0x55);
            }
            FrontEnd.Log log = new FrontEnd.Log(wrong, 2 * format.logBytes(SIZE), 0, 2, SIZE);
            begin(guest, format, log);
            ServerWait.until(
                    backEnd.server,
                    backEnd.loop,
                    () -> backEnd.device.device().brokenReason() != null);
            assertThat(backEnd.device.device().brokenReason()).contains("log of chains in flight");
            assertThat(backEnd.server.hasSession()).isTrue();

            // And is gone with the driver's reset.
            int[] _ = guest.stop();
            guest.number(SET_STATUS, 0);
            guest.start(features(format), start(format), start(format));
            guest.settle();
            assertThat(backEnd.device.device().brokenReason()).isNull();
            assertThat(guest.rings[0].usedCount()).isZero();
        }
    }

    // In a process of its own.

    private static Process serve(Path socket) throws Exception {
        Process process =
                new ProcessBuilder(
                                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                                "--class-path",
                                System.getProperty("jdk.module.path", "")
                                        + File.pathSeparator
                                        + System.getProperty("java.class.path", ""),
                                "--enable-native-access=ALL-UNNAMED",
                                "-XX:TieredStopAtLevel=1",
                                "-XX:+UseSerialGC",
                                HoldingBackEnd.class.getName(),
                                socket.toString())
                        .redirectError(ProcessBuilder.Redirect.INHERIT)
                        .start();
        BufferedReader said =
                new BufferedReader(
                        new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
        String line = said.readLine();
        while (line != null && !line.equals("ready")) {
            line = said.readLine();
        }
        assertThat(line).isEqualTo("ready");
        return process;
    }

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void killedTenTimesUnderItsDriverEachChainComesBackOnce(RingFormat format) throws Exception {
        Path socket = folder.resolve("d.sock");
        Random random = new Random(9);
        Process process = serve(socket);
        FrontEnd guest = ready(socket, format);
        FrontEnd.Log log = guest.askForLog(2, SIZE);
        FrontEnd now = guest;
        begin(now, format, log);
        Map<Integer, Integer> out = new HashMap<>();
        int sent = 0;
        int back = 0;
        int outAtKills = 0;
        for (int kill = 0; kill <= KILLS; kill++) {
            int until = back + 20 + random.nextInt(60);
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
            while (back < until) {
                assertThat(System.nanoTime() - deadline)
                        .as("%d of %d are back, out: %s", back, sent, out)
                        .isNegative();
                while (now.rings[0].hasRoom(2)) {
                    sent++;
                    assertThat(out.put(offer(now, sent), sent)).isNull();
                    now.kicks[0].signal();
                }
                back += takeBack(now, out);
            }
            if (kill < KILLS) {
                process.destroyForcibly();
                assertThat(process.waitFor(10, TimeUnit.SECONDS)).isTrue();
                back += takeBack(now, out);
                outAtKills += out.size();
                process = serve(socket);
                if (now != guest) {
                    now.close();
                }
                now = again(socket, guest);
                begin(now, format, log);
            }
        }
        // The rest: none is lost.
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (!out.isEmpty()) {
            assertThat(System.nanoTime() - deadline).as("never came back: %s", out).isNegative();
            back += takeBack(now, out);
        }
        assertThat(back).isEqualTo(sent);
        assertThat(outAtKills).as("chains in flight at the kills").isPositive();
        process.destroyForcibly();
        now.close();
        guest.close();
        log.fd().close();
        Files.deleteIfExists(socket);
    }

    private static int takeBack(FrontEnd frontEnd, Map<Integer, Integer> out) {
        DriverQueue ring = frontEnd.rings[0];
        int back = 0;
        for (int head = ring.take(); head != DriverQueue.NONE; head = ring.take()) {
            assertThat(head).as("%s", ring.brokenReason()).isNotEqualTo(DriverQueue.BROKEN);
            assertThat(out).as("chain %d comes back twice", head).containsKey(head);
            int value = Objects.requireNonNull(out.remove(head));
            assertThat(back(frontEnd, head)).isEqualTo(value + 1);
            back++;
        }
        return back;
    }
}
