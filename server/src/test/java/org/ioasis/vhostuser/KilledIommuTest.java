// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VhostUser.RESET_DEVICE;
import static org.ioasis.spec.VirtioIommu.S_INVAL;
import static org.ioasis.spec.VirtioIommu.S_NOENT;
import static org.ioasis.spec.VirtioIommu.S_OK;
import static org.ioasis.spec.VirtioIommu.S_RANGE;
import static org.ioasis.vhostuser.IommuDriver.*;

import java.io.BufferedReader;
import java.io.File;
import java.io.Writer;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.ioasis.memory.Outcome;
import org.ioasis.peer.ServerWait;
import org.ioasis.spec.SplitRing;
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

/** An IOMMU whose process is killed under its driver, and the next one that goes on. */
@Timeout(180)
class KilledIommuTest {
    /** Of each format. */
    private static final int KILLS = 10;

    private static final int SIZE = FrontEnd.RING_SIZE;

    private static final int PAGES = 48;

    @TempDir Path folder;

    // In this process.

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void anotherSessionGoesOnWithWhatIsMappedAndAResetLeavesNothing(RingFormat format)
            throws Exception {
        Path socket = folder.resolve("d.sock");
        try (IommuBackEnd backEnd = new IommuBackEnd(socket);
                FrontEnd guest = ready(socket, format)) {
            FrontEnd.Log log = guest.askForLog(2, SIZE);
            begin(guest, format, log);
            assertThat(ask(guest, attach(1, 7))).isEqualTo(S_OK);
            assertThat(ask(guest, map(7, 0x1000, 0x1fff, 0x5000))).isEqualTo(S_OK);
            String mapped = "7[1] 1000-1fff>5000; ";
            assertThat(backEnd.state()).isEqualTo(mapped);
            // A pause, and on in the same process, into memory that is handed over once more.
            int[] bases = guest.stop();
            guest.log(log);
            guest.start(features(format), bases);
            assertThat(ask(guest, map(7, 0x2000, 0x2fff, 0x6000))).isEqualTo(S_OK);
            mapped = "7[1] 1000-1fff>5000 2000-2fff>6000; ";
            assertThat(backEnd.state()).isEqualTo(mapped);
            FrontEnd reconnected = guest;
            for (int i = 0; i < 3; i++) {
                FrontEnd old = reconnected;
                backEnd.run(() -> backEnd.server.endSession("for a test"));
                ServerWait.until(backEnd.server, backEnd.loop, () -> !backEnd.server.hasSession());
                assertThat(backEnd.state()).isEmpty();
                reconnected = again(socket, guest);
                begin(reconnected, format, log);
                assertThat(backEnd.state()).isEqualTo(mapped);
                if (old != guest) {
                    old.close();
                }
            }
            assertThat(backEnd.device.device().brokenReason()).isNull();
            reconnected.send(RESET_DEVICE, new byte[0]);
            reconnected.settle();
            assertThat(backEnd.state()).isEmpty();
            for (int i = 0; i < FrontEnd.RINGS; i++) {
                reconnected.newRing(i, format);
            }
            reconnected.start(features(format), start(format), start(format));
            assertThat(ask(reconnected, unmap(7, 0, -1L))).isEqualTo(S_NOENT);
            assertThat(ask(reconnected, attach(2, 3))).isEqualTo(S_OK);
            assertThat(backEnd.state()).isEqualTo("3[2]; ");
            assertThat(backEnd.loop.failures()).isZero();
            reconnected.close();
            log.fd().close();
        }
    }

    @Test
    void aDriverThatWasAtWorkBeforeItsStateWasLostFindsADeviceThatNeedsAReset() throws Exception {
        Path socket = folder.resolve("d.sock");
        try (IommuBackEnd backEnd = new IommuBackEnd(socket);
                FrontEnd guest = FrontEnd.ready(socket)) {
            // Rings that somebody has used, and no log of whoever it was.
            guest.start(features(RingFormat.SPLIT), 3, 0);
            guest.settle();
            assertThat(backEnd.state()).isEqualTo(VhostUserDevice.STATE_LOST + ", bypass false: ");
            assertThat(backEnd.reach(0)).isNotEqualTo(Outcome.OK);
            // Its driver begins anew.
            int[] _ = guest.stop();
            for (int i = 0; i < FrontEnd.RINGS; i++) {
                guest.newRing(i, RingFormat.SPLIT);
            }
            guest.start(features(RingFormat.SPLIT), 0, 0);
            assertThat(ask(guest, attach(1, 7))).isEqualTo(S_OK);
            assertThat(backEnd.state()).isEqualTo("7[1]; ");
            boolean[] isBypassing = new boolean[1];
            backEnd.run(() -> isBypassing[0] = backEnd.iommu.isBypassing());
            assertThat(isBypassing[0]).isTrue();
        }
    }

    @Test
    void aDeviceThatHasLostItsStateDoesNotFindAnEmptyOneInAPause() throws Exception {
        Path socket = folder.resolve("d.sock");
        long features = features(RingFormat.SPLIT);
        try (IommuBackEnd backEnd = new IommuBackEnd(socket);
                FrontEnd guest = FrontEnd.ready(socket)) {
            long available = guest.rings[0].driverAddress() + SplitRing.AVAIL_IDX;
            guest.guest.segment().set(ValueLayout.JAVA_SHORT, available, (short) 3);
            guest.start(features, 3, 0);
            guest.settle();
            int[] bases = guest.stop();
            FrontEnd.Log log = guest.askForLog(2, SIZE);
            guest.log(log);
            guest.start(features, bases);
            guest.settle();
            assertThat(backEnd.state()).startsWith(VhostUserDevice.STATE_LOST);
            backEnd.run(() -> backEnd.server.endSession("for a test"));
            ServerWait.until(backEnd.server, backEnd.loop, () -> !backEnd.server.hasSession());
            try (FrontEnd reconnected = again(socket, guest)) {
                reconnected.log(log);
                reconnected.start(features, bases);
                reconnected.settle();
                assertThat(backEnd.state()).startsWith(VhostUserDevice.STATE_LOST);
            }
            log.fd().close();
        }
    }

    @Test
    void aLogWithoutRoomForTheStateIsUsedAndDoesNotReplaceIt() throws Exception {
        Path socket = folder.resolve("d.sock");
        long bytes = 2 * RingFormat.PACKED.logBytes(SIZE);
        try (IommuBackEnd backEnd = new IommuBackEnd(socket);
                FrontEnd guest = ready(socket, RingFormat.SPLIT);
                Fd fd = Memfd.create("short", bytes)) {
            FrontEnd.Log log = new FrontEnd.Log(fd, bytes, 0, 2, SIZE);
            begin(guest, RingFormat.SPLIT, log);
            assertThat(ask(guest, attach(1, 7))).isEqualTo(S_OK);
            backEnd.run(() -> backEnd.server.endSession("for a test"));
            ServerWait.until(backEnd.server, backEnd.loop, () -> !backEnd.server.hasSession());
            try (FrontEnd reconnected = again(socket, guest)) {
                begin(reconnected, RingFormat.SPLIT, log);
                assertThat(backEnd.state()).startsWith(VhostUserDevice.STATE_LOST);
            }
        }
    }

    // In a process of its own.

    /** A back end that can be asked, and killed. */
    private static final class Served {
        final Process process;
        private final BufferedReader said;
        private final Writer asked;

        Served(Path socket) throws Exception {
            process =
                    new ProcessBuilder(
                                    Path.of(System.getProperty("java.home"), "bin", "java")
                                            .toString(),
                                    "--class-path",
                                    System.getProperty("jdk.module.path", "")
                                            + File.pathSeparator
                                            + System.getProperty("java.class.path", ""),
                                    "--enable-native-access=ALL-UNNAMED",
                                    "-XX:TieredStopAtLevel=1",
                                    "-XX:+UseSerialGC",
                                    IommuBackEnd.class.getName(),
                                    socket.toString())
                            .redirectError(ProcessBuilder.Redirect.INHERIT)
                            .start();
            said = process.inputReader(StandardCharsets.UTF_8);
            asked = process.outputWriter(StandardCharsets.UTF_8);
            String line = said.readLine();
            while (line != null && !line.equals("ready")) {
                line = said.readLine();
            }
            assertThat(line).isEqualTo("ready");
        }

        String ask(String what) throws Exception {
            asked.write(what + "\n");
            asked.flush();
            return Objects.requireNonNull(said.readLine());
        }

        /** As kill -9 does. */
        void kill() throws Exception {
            process.destroyForcibly();
            assertThat(process.waitFor(10, TimeUnit.SECONDS)).isTrue();
        }
    }

    /** What a driver believes: requests are carried out in the order in which they are sent. */
    private static final class Model {
        private final Map<Integer, Set<Integer>> endpoints = new TreeMap<>();
        private final Map<Integer, NavigableMap<Long, long[]>> mappings = new HashMap<>();

        int attach(int endpoint, int domain) {
            if (!endpoints.getOrDefault(domain, Set.of()).contains(endpoint)) {
                int _ = detachAny(endpoint);
                endpoints.computeIfAbsent(domain, _ -> new HashSet<>()).add(endpoint);
                mappings.computeIfAbsent(domain, _ -> new TreeMap<>());
            }
            return S_OK;
        }

        private int detachAny(int endpoint) {
            for (int domain : Set.copyOf(endpoints.keySet())) {
                if (detach(endpoint, domain) == S_OK) {
                    return S_OK;
                }
            }
            return S_INVAL;
        }

        int detach(int endpoint, int domain) {
            Set<Integer> members = endpoints.getOrDefault(domain, new HashSet<>());
            if (!members.remove(endpoint)) {
                return S_INVAL;
            }
            if (members.isEmpty()) {
                endpoints.remove(domain);
                mappings.remove(domain);
            }
            return S_OK;
        }

        int map(int domain, long first, long last, long output) {
            NavigableMap<Long, long[]> all = mappings.get(domain);
            if (all == null) {
                return S_NOENT;
            }
            Map.Entry<Long, long[]> before = all.floorEntry(last);
            if (before != null && before.getValue()[0] >= first) {
                return S_INVAL;
            }
            all.put(first, new long[] {last, output});
            return S_OK;
        }

        int unmap(int domain, long first, long last) {
            NavigableMap<Long, long[]> all = mappings.get(domain);
            if (all == null) {
                return S_NOENT;
            }
            Map.Entry<Long, long[]> before = all.lowerEntry(first);
            Map.Entry<Long, long[]> end = all.floorEntry(last);
            if ((before != null && before.getValue()[0] >= first)
                    || (end != null && end.getValue()[0] > last)) {
                return S_RANGE;
            }
            all.subMap(first, true, last, true).clear();
            return S_OK;
        }

        /** As the back end says it. */
        String state() {
            StringBuilder out = new StringBuilder();
            endpoints.forEach((domain, members) -> {
                out.append(domain).append(members.stream().sorted().toList());
                Objects.requireNonNull(mappings.get(domain))
                        .forEach((first, rest) ->
                                out.append(" %x-%x>%x".formatted(first, rest[0], rest[1])));
                out.append("; ");
            });
            return out.toString();
        }

        /** True if endpoint 1 reaches it. */
        boolean reaches(long iova) {
            for (Map.Entry<Integer, Set<Integer>> domain : endpoints.entrySet()) {
                if (domain.getValue().contains(1)) {
                    NavigableMap<Long, long[]> all =
                            Objects.requireNonNull(mappings.get(domain.getKey()));
                    Map.Entry<Long, long[]> at = all.floorEntry(iova);
                    return at != null && at.getValue()[0] >= iova;
                }
            }
            return true; // bypass
        }
    }

    /** A stream of requests, each with the answer that is right. */
    private static final class Traffic {
        final Model model = new Model();
        final Map<Integer, Integer> expected = new HashMap<>();
        private final Random random;
        int sent;
        int back;
        int refused;

        Traffic(long seed) {
            random = new Random(seed);
        }

        void fill(FrontEnd now) throws Exception {
            boolean isNew = false;
            while (now.rings[0].hasRoom(2)) {
                int[] answer = new int[1];
                byte[] request = next(answer);
                sent++;
                refused += answer[0] == S_OK ? 0 : 1;
                assertThat(expected.put(offer(now, request), answer[0])).isNull();
                isNew = true;
            }
            if (isNew) {
                now.kicks[0].signal();
            }
        }

        private byte[] next(int[] answer) {
            int endpoint = 1 + random.nextInt(IommuBackEnd.ENDPOINTS);
            int domain = 1 + random.nextInt(2);
            long first = 0x1000L * random.nextInt(PAGES);
            long last = first + 0x1000L * random.nextInt(3) + 0xfff;
            return switch (random.nextInt(24)) {
                case 0, 1 -> {
                    answer[0] = model.attach(endpoint, domain);
                    yield attach(endpoint, domain);
                }
                case 2 -> {
                    answer[0] = model.detach(endpoint, domain);
                    yield detach(endpoint, domain);
                }
                case 3, 4, 5, 6, 7, 8, 9 -> {
                    answer[0] = model.unmap(domain, first, last);
                    yield unmap(domain, first, last);
                }
                default -> {
                    answer[0] = model.map(domain, first, last, first);
                    yield map(domain, first, last, first);
                }
            };
        }

        void takeBack(FrontEnd now) {
            DriverQueue ring = now.rings[0];
            for (int head = ring.take(); head != DriverQueue.NONE; head = ring.take()) {
                assertThat(head).as("%s", ring.brokenReason()).isNotEqualTo(DriverQueue.BROKEN);
                assertThat(expected).as("chain %d comes back twice", head).containsKey(head);
                int wanted = Objects.requireNonNull(expected.remove(head));
                int status = now.guest.segment().get(ValueLayout.JAVA_INT, BACK + 8L * head);
                assertThat(status).as("answer %d of %d", back, sent).isEqualTo(wanted);
                back++;
            }
        }

        /** Until all is answered. */
        void finish(FrontEnd now) {
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
            while (!expected.isEmpty()) {
                assertThat(System.nanoTime() - deadline)
                        .as("never answered: %s, %d of %d are", expected, back, sent)
                        .isNegative();
                takeBack(now);
            }
        }
    }

    private static Thread killer(Served served, long nanos) {
        return Thread.ofPlatform()
                .start(() -> {
                    LockSupport.parkNanos(nanos);
                    served.process.destroyForcibly();
                });
    }

    /** Chains that the back end had taken and not given back. */
    private static long taken(FrontEnd.Log log, RingFormat format) throws Exception {
        try (Mapping mapped = Mapping.map(log.fd(), 0, log.bytes(), true)) {
            return Arrays.stream(format.newLog(mapped.segment(), SIZE).numbersOut())
                    .filter(number -> number != 0)
                    .count();
        }
    }

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void killedTwentyTimesUnderItsDriverEachRequestIsAnsweredRightAndTheStateIsTheDrivers(
            RingFormat format) throws Exception {
        Path socket = folder.resolve("d.sock");
        Random random = new Random(16);
        Traffic traffic = new Traffic(17);
        long taken = 0;
        int reached = 0;
        int notReached = 0;
        Served served = new Served(socket);
        FrontEnd guest = ready(socket, format);
        FrontEnd.Log log = guest.askForLog(2, SIZE);
        FrontEnd now = guest;
        begin(now, format, log);
        for (int kill = 0; kill <= KILLS; kill++) {
            int until = traffic.back + 200 + random.nextInt(400);
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
            while (traffic.back < until) {
                assertThat(System.nanoTime() - deadline).as("answers come").isNegative();
                traffic.fill(now);
                traffic.takeBack(now);
            }
            if (kill < KILLS) {
                // At any moment: requests and answers go on meanwhile.
                Thread killer = killer(served, random.nextInt(3_000_000));
                while (served.process.isAlive()) {
                    traffic.fill(now);
                    traffic.takeBack(now);
                }
                killer.join();
                traffic.takeBack(now);
                taken += taken(log, format);
                served = new Served(socket);
                if (now != guest) {
                    now.close();
                }
                now = again(socket, guest);
                begin(now, format, log);
            }
            traffic.finish(now);
            assertThat(served.ask("state")).as("kill %d", kill).isEqualTo(traffic.model.state());
            for (int page = 0; page < PAGES; page += 5) {
                long iova = 0x1000L * page;
                boolean isThere = traffic.model.reaches(iova);
                assertThat(served.ask("0x%x".formatted(iova)).equals("OK")).isEqualTo(isThere);
                reached += isThere ? 1 : 0;
                notReached += isThere ? 0 : 1;
            }
        }
        assertThat(traffic.back).isEqualTo(traffic.sent);
        assertThat(traffic.refused).as("requests that are refused").isPositive();
        assertThat(taken).as("requests in flight at the kills").isPositive();
        assertThat(Math.min(reached, notReached)).as("addresses of both kinds").isPositive();
        System.out.printf(
                "%s: %d requests, %d refused, %d in flight at %d kills%n",
                format, traffic.sent, traffic.refused, taken, KILLS);
        served.kill();
        now.close();
        guest.close();
        log.fd().close();
        Files.deleteIfExists(socket);
    }
}
