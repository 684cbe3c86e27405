// SPDX-License-Identifier: Apache-2.0
package org.ioasis.page;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.function.BooleanSupplier;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.PagingDomain;
import org.ioasis.iommu.Status;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.IommuUnit;
import org.ioasis.machine.Machine;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The page's server with a machine that runs, asked over plain sockets. */
@Timeout(30)
class PageServerTest {
    private static final int DOMAIN = 5;
    private static final int MILLION = 1_000_000;

    private final List<Socket> sockets = new ArrayList<>();
    private Path folder;
    private Machine machine;
    private IommuUnit unit;
    private Page page;

    @BeforeEach
    void start() throws IOException {
        folder = Files.createTempDirectory(Path.of("/tmp"), "t-");
        machine =
                new Machine(
                        "m",
                        IommuOptions.builder().build(),
                        IdlePolicy.EVENT_DRIVEN,
                        folder.resolve("iommu.sock"));
        unit = machine.iommus().getFirst();
        page = Page.start(List.of(machine), 0);
    }

    @AfterEach
    void close() throws IOException {
        for (Socket socket : sockets) {
            socket.close();
        }
        page.close();
        page.close();
        machine.close();
        Files.deleteIfExists(folder.resolve("iommu.sock"));
        Files.delete(folder);
    }

    private PagingDomain domain() {
        return unit.engine().pagingDomain(DOMAIN);
    }

    private static void map(PagingDomain domain, long first, long last, long output, int flags) {
        Status[] answer = new Status[1];
        domain.map(first, last, output, flags, status -> answer[0] = status);
        assertThat(answer[0]).isEqualTo(Status.OK);
    }

    private Socket connect(String head) throws IOException {
        Socket socket =
                new Socket(InetAddress.getLoopbackAddress(), URI.create(page.address()).getPort());
        sockets.add(socket);
        socket.getOutputStream().write(head.getBytes(StandardCharsets.US_ASCII));
        return socket;
    }

    private String head(String method, String path, String more) {
        return "%s %s%s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n"
                .formatted(method, URI.create(page.address()).getPath(), path, more);
    }

    private String get(String path) throws IOException {
        return read(connect(head("GET", path, "Connection: close\r\n")));
    }

    private String post(String path, String origin, String body) throws IOException {
        String more =
                "Connection: close\r\nContent-Length: %d\r\n%s"
                        .formatted(
                                body.length(),
                                origin.isEmpty() ? "" : "Origin: " + origin + "\r\n");
        return read(connect(head("POST", path, more) + body));
    }

    private static String read(Socket socket) throws IOException {
        return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    }

    private String firstEvent() throws IOException {
        try (Socket viewer = connect(head("GET", "events", ""))) {
            return event(viewer);
        }
    }

    /** All that comes until an event is whole. */
    private static String event(Socket viewer) throws IOException {
        byte[] some = new byte[512];
        StringBuilder said = new StringBuilder();
        while (said.indexOf("event: look") < 0 || said.indexOf("\"faults\":[") < 0) {
            int n = viewer.getInputStream().read(some);
            assertThat(n).as("%s", said).isPositive();
            said.append(new String(some, 0, n, StandardCharsets.UTF_8));
        }
        return said.toString();
    }

    private static void await(BooleanSupplier condition) throws InterruptedException {
        while (!condition.getAsBoolean()) {
            Thread.sleep(5);
        }
    }

    @Test
    void allOfThePageComesFromItself() throws IOException {
        for (String name : List.of("", "page.js", "page.css", "map.js", "plot.js", "icon.svg")) {
            String file = get(name);
            assertThat(file).as(name).startsWith("HTTP/1.1 200 ");
            assertThat(file.substring(file.indexOf("\r\n\r\n")).replace("http://www.w3.org/", ""))
                    .as(name)
                    .doesNotContain("http:", "https:", "innerHTML", "eval(");
        }
        assertThat(get("Page.class")).startsWith("HTTP/1.1 404 ");
        assertThat(get("../page.js")).startsWith("HTTP/1.1 4");
        assertThat(get("inject")).startsWith("HTTP/1.1 404 ");
    }

    @Test
    void aMillionMappingsAreVisitedInSlicesThatAreTasksOfTheLoopEach() throws IOException {
        PagingDomain domain = domain();
        for (int i = 0; i < MILLION; i++) {
            // Every other page: nothing merges.
            domain.map(i * 0x2000L, i * 0x2000L + 0xfff, 0, 3, status -> {});
        }
        assertThat(domain.size()).isEqualTo(MILLION);
        machine.start();
        long before = machine.loopCounts().tasks();

        String answer = get("map?iommu=m/iommu&domain=5");

        int slices = (MILLION + DomainMap.SLICE - 1) / DomainMap.SLICE;
        assertThat(answer)
                .contains(
                        "\"visited\":1000000",
                        "\"slices\":" + slices,
                        "\"complete\":true",
                        "\"runCount\":1000000");
        assertThat(machine.loopCounts().tasks() - before).isGreaterThanOrEqualTo(slices);
        // What is sent does not grow with them, nor does what is told of the machine.
        assertThat(answer.length()).isLessThan(64 << 10);
        assertThat(firstEvent().length()).isLessThan(16 << 10);
        String near = get("map?iommu=m/iommu&domain=5&first=0x1000&last=0x8fff&buckets=8");
        assertThat(near)
                .contains("\"visited\":4", "\"slices\":1", "\"width\":\"0x1000\"")
                .contains(
                        "\"buckets\":[[1,4096.0,3,1],[3,4096.0,3,1],[5,4096.0,3,1],[7,4096.0,3,1]]");
    }

    @Test
    void bucketsAndRunsAreThoseOfAPlainModel() {
        PagingDomain domain = domain();
        Random random = new Random(11);
        TreeMap<Long, Integer> pages = new TreeMap<>(Long::compareUnsigned);
        long last = -1L;
        for (int i = 0; i < 3000; i++) {
            long number =
                    random.nextInt(4) == 0
                            ? (last >>> 12) - random.nextInt(2000)
                            : random.nextInt(1 << 14);
            int flags = 1 + random.nextInt(3);
            if (pages.putIfAbsent(number << 12, flags) == null) {
                map(
                        domain,
                        number << 12,
                        (number << 12) + 0xfff,
                        number << 12 & 0xffff_ffffL,
                        flags);
            }
        }
        for (long[] range :
                new long[][] {
                    {0, -1L}, {0x1234, 0x345_6789}, {-0x80_0000L, -1L}, {-0x1234L, -1L}, {5, 5}
                }) {
            DomainMap map = DomainMap.of(machine, unit, DOMAIN, range[0], range[1], 100);
            double bytes = 0;
            int mappings = 0;
            for (int i = 0; i < map.buckets(); i++) {
                bytes += map.bucket(i).bytes();
                mappings += map.bucket(i).mappings();
            }
            double wanted = 0;
            int touched = 0;
            for (long at : pages.keySet()) {
                long low = Long.compareUnsigned(at, range[0]) < 0 ? range[0] : at;
                long high = Long.compareUnsigned(at + 0xfff, range[1]) > 0 ? range[1] : at + 0xfff;
                if (Long.compareUnsigned(low, high) <= 0) {
                    wanted += high - low + 1;
                    touched++;
                }
            }
            assertThat(bytes).isEqualTo(wanted);
            assertThat(map.visited).isEqualTo(touched);
            assertThat(mappings).isEqualTo(touched);
            assertThat(map.isComplete).isTrue();
        }
        List<DomainMap.Run> runs = new ArrayList<>();
        domain.runs(
                0,
                -1L,
                (first, end, output, flags) -> {
                    runs.add(new DomainMap.Run(first, end, output, flags, 0));
                    return true;
                });
        DomainMap all = DomainMap.of(machine, unit, DOMAIN, 0, -1L, 100);
        assertThat(all.runCount).isEqualTo(runs.size());
        assertThat(all.runs)
                .hasSize(DomainMap.RUNS_MAX)
                .usingRecursiveFieldByFieldElementComparatorIgnoringFields("mappings")
                .isEqualTo(runs.subList(0, DomainMap.RUNS_MAX));
    }

    @Test
    void cellsAreWholeGranulesHoweverSmallTheDomain() throws IOException {
        PagingDomain domain = domain();
        for (int i = 0; i < 3; i++) {
            map(domain, 0x5000 + i * 0x1000L, 0x5fff + i * 0x1000L, 0, 3);
        }
        assertThat(get("map?iommu=m/iommu&domain=5"))
                .contains(
                        "\"width\":\"0x1000\"",
                        "\"buckets\":[[0,4096.0,3,1],[1,4096.0,3,1],[2,4096.0,3,1]]");
        assertThat(get("map?iommu=m/iommu&domain=5&first=0x5000&last=0x11fff&buckets=8"))
                .contains("\"width\":\"0x2000\"", "\"buckets\":[[0,8192.0,3,2],[1,4096.0,3,1]]");
    }

    @Test
    void asManyPartsOfAddressSpacesAreLookedAtAsMayBe() throws Exception {
        domain();
        machine.start();
        CountDownLatch held = new CountDownLatch(1);
        CountDownLatch holding = new CountDownLatch(1);
        Thread holder =
                Thread.ofPlatform()
                        .start(() ->
                                assertThat(
                                                machine.onLoop(() -> {
                                                    holding.countDown();
                                                    awaitUninterruptibly(held);
                                                }))
                                        .isTrue());
        holding.await();
        List<Socket> waiting = new ArrayList<>();
        for (int i = 0; i < Page.MAPS_MAX; i++) {
            waiting.add(
                    connect(head("GET", "map?iommu=m/iommu&domain=5", "Connection: close\r\n")));
        }
        await(() -> page.mapsLeft() == 0);
        assertThat(get("map?iommu=m/iommu&domain=5")).startsWith("HTTP/1.1 503 ");
        held.countDown();
        holder.join();
        for (Socket socket : waiting) {
            assertThat(read(socket)).startsWith("HTTP/1.1 200 ");
        }
        assertThat(page.mapsLeft()).isEqualTo(Page.MAPS_MAX);
    }

    @Test
    void whatCannotBeEndedOnALoopThatHangsIsEndedTheNextTime() throws Exception {
        machine.start();
        Watch watch = new Watch(List.of(machine), InstantSource.system());
        watch.begin();
        CountDownLatch held = new CountDownLatch(1);
        CountDownLatch holding = new CountDownLatch(1);
        Thread holder =
                Thread.ofPlatform()
                        .start(() -> {
                            boolean _ =
                                    machine.onLoop(() -> {
                                        holding.countDown();
                                        awaitUninterruptibly(held);
                                    });
                        });
        holding.await();
        watch.end();
        assertThat(watch.isOn()).isTrue();
        held.countDown();
        holder.join();
        watch.end();
        assertThat(watch.isOn()).isFalse();
    }

    private static void awaitUninterruptibly(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    @Test
    void whatIsNoPartOfAnAddressSpaceIsAnswered() throws IOException {
        domain();
        assertThat(get("map?iommu=m/other&domain=5")).startsWith("HTTP/1.1 404 ");
        assertThat(get("map?iommu=m/iommu&domain=x")).startsWith("HTTP/1.1 400 ");
        assertThat(get("map?iommu=m/iommu&domain=5&first=2&last=1")).startsWith("HTTP/1.1 400 ");
        assertThat(get("map?iommu=m/iommu&domain=5&buckets=0")).startsWith("HTTP/1.1 400 ");
        assertThat(get("map?iommu=m/iommu&domain=5&buckets=1")).startsWith("HTTP/1.1 400 ");
        assertThat(get("map?iommu=m/iommu&domain=5&first=0&last=-1&buckets=2"))
                .startsWith("HTTP/1.1 400 ");
        assertThat(get("map?iommu=m/iommu&domain=5&first=0&last=0xffffffffffffffff&buckets=2"))
                .contains("\"width\":\"0x8000000000000000\"");
        assertThat(get("map?iommu=m/iommu&domain=5&buckets=1025")).startsWith("HTTP/1.1 400 ");
        assertThat(get("map?iommu=m/iommu&domain=6")).contains("\"there\":false");
        assertThat(get("map?iommu=m/iommu&domain=5")).contains("\"there\":true", "\"visited\":0");
    }

    @Test
    void failuresArePlantedOnlyFromThePageAndWithAConfirmation() throws IOException {
        String own = page.address().substring(0, page.address().indexOf('/', 8));
        String body = "iommu=m%2Fiommu&name=map_nomem&value=3&confirmed=yes";
        assertThat(post("inject", "", body)).startsWith("HTTP/1.1 403 ");
        assertThat(post("inject", "http://127.0.0.1:1", body)).startsWith("HTTP/1.1 403 ");
        assertThat(post("inject", "http://127.0.0", body)).startsWith("HTTP/1.1 403 ");
        assertThat(post("inject", "http:/", body)).startsWith("HTTP/1.1 403 ");
        assertThat(post("inject", own.replace("127.0.0.1", "localhost"), body))
                .startsWith("HTTP/1.1 403 ");
        assertThat(post("inject", own, body.replace("yes", "no"))).startsWith("HTTP/1.1 400 ");
        assertThat(post("inject", own, body.replace("3", "x"))).contains("is not a number");
        assertThat(post("inject", own, body.replace("map_nomem", "fire")))
                .startsWith("HTTP/1.1 400 ")
                .contains("fire is not one of none, map_nomem");
        assertThat(post("events", own, body)).startsWith("HTTP/1.1 405 ");
        assertThat(post("inject", own, body))
                .startsWith("HTTP/1.1 200 ")
                .contains("planted: map_nomem 3");
    }

    @Test
    void whileNobodyLooksNothingIsWatched() throws Exception {
        machine.start();
        assertThat(page.isWatching()).isFalse();
        Socket viewer = connect(head("GET", "events", ""));
        await(page::isWatching);
        assertThat(event(viewer)).contains("event: look", "\"name\":\"m\"", "NO_VMM");
        viewer.close();
        await(() -> !page.isWatching());
        assertThat(page.counts().streams()).isZero();
    }

    @Test
    void viewersThatNeverReadAndConnectionsWithoutEndLeaveTheLoopAlone() throws Exception {
        machine.start();
        for (int i = 0; i < 200; i++) {
            connect(i % 10 == 0 ? head("GET", "events", "") : "");
        }
        await(() -> page.counts().connections() + page.counts().connectionsRefused() >= 200);
        assertThat(page.counts().connectionsRefused()).isGreaterThanOrEqualTo(100);
        for (int i = 0; i < 1000; i++) {
            assertThat(machine.onLoop(() -> {})).isTrue();
        }
        assertThat(machine.internalFailures()).isZero();
        for (Socket socket : sockets) {
            socket.close();
        }
        await(() -> page.counts().connections() == 0);
        assertThat(get("")).startsWith("HTTP/1.1 200 ");
    }
}
