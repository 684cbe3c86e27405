// SPDX-License-Identifier: Apache-2.0
package org.ioasis.serve;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.spec.VirtioIommu.*;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Stream;
import org.ioasis.config.ConfigFile;
import org.ioasis.config.FlagConfig;
import org.ioasis.config.ServeConfig;
import org.ioasis.kind.blk.BlkKind;
import org.ioasis.kind.rng.RngKind;
import org.ioasis.live.ControlClient;
import org.ioasis.live.TraceConfig;
import org.ioasis.machine.DeviceKind;
import org.ioasis.spec.Virtio;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.ioasis.sys.Memfd;
import org.ioasis.sys.UnixSocket;
import org.ioasis.virtio.rogue.Rogue;
import org.ioasis.virtqueue.RingFormat;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A whole server over its sockets: what it answers while a VMM and a guest come, err and go. */
class LiveServerTest {
    private static final DeviceKind BLK = new BlkKind();
    private static final DeviceKind RNG = new RngKind();

    private static final int ENDPOINT = 0x88;
    private static final long DISK_RINGS = 0x20000;

    private Path folder;
    private Path trace;
    private Fd ramFd;
    private Mapping ram;
    private @Nullable Server server;
    private final List<AutoCloseable> open = new ArrayList<>();

    @BeforeEach
    void makeFolder() throws Exception {
        folder = Files.createTempDirectory(Path.of("/tmp"), "t-");
        Files.write(folder.resolve("disk.img"), new byte[1 << 16]);
        trace = folder.resolve("trace");
        ramFd = Memfd.create("ram", SocketVmm.RAM);
        ram = Mapping.map(ramFd, 0, SocketVmm.RAM, true);
    }

    @AfterEach
    void cleanUp() throws Exception {
        for (AutoCloseable one : open) {
            one.close();
        }
        stop();
        ram.close();
        ramFd.close();
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : files.toList()) {
                Files.delete(file);
            }
        }
        Files.delete(folder);
    }

    private void stop() throws IOException {
        Server running = server;
        if (running != null) {
            running.close();
        }
    }

    private ServeConfig config(boolean isJson, String... rngs) throws Exception {
        return FlagConfig.iommu(folder.resolve("iommu.sock"))
                .devices(
                        BLK,
                        List.of(
                                folder.resolve("disk.sock")
                                        + ",file="
                                        + folder.resolve("disk.img")))
                .devices(RNG, Stream.of(rngs).map(rng -> folder.resolve(rng).toString()).toList())
                .trace(TraceConfig.of(trace, isJson, 1))
                .resolve();
    }

    private void start(boolean isJson) throws Exception {
        server = Server.start(config(isJson));
    }

    private SocketVmm connect(String device) throws IOException {
        SocketVmm vmm = new SocketVmm(folder.resolve(device + ".sock"));
        open.add(vmm);
        return vmm;
    }

    private SocketVmm connectWithMemory(String device) throws IOException {
        SocketVmm vmm = connect(device);
        vmm.map(ramFd);
        return vmm;
    }

    private IommuDriver startIommu() throws Exception {
        IommuDriver driver = new IommuDriver(connectWithMemory("iommu"), ram);
        driver.start();
        return driver;
    }

    private SocketVmm startDisk() throws Exception {
        SocketVmm disk = connectWithMemory("disk");
        disk.negotiate(Virtio.F_VERSION_1 | Virtio.F_ACCESS_PLATFORM);
        disk.queue(0, ram, DISK_RINGS);
        disk.driverOk();
        return disk;
    }

    private ControlClient.Answer ask(String command) throws IOException {
        return ControlClient.ask(
                folder.resolve("ioasis-control.sock"), command, ControlClient.WAIT_MILLIS);
    }

    /** The loop asks for kicks or not in the requestq, and when it does is its own business. */
    private byte[] ramBesideTheRequestq() {
        byte[] bytes = ram.segment().toArray(ValueLayout.JAVA_BYTE);
        int first = Math.toIntExact(IommuDriver.REQUESTS);
        int length = Math.toIntExact(RingFormat.SPLIT.driverBytes(SocketVmm.QUEUE_SIZE));
        Arrays.fill(bytes, first, first + length, (byte) 0);
        return bytes;
    }

    /** The cause that is named for the disk. */
    private String check() throws IOException {
        ControlClient.Answer answer = ask("check json");
        String part = answer.text().substring(answer.text().indexOf("machine/disk0"));
        int at = part.indexOf("\"cause\" : \"") + 11;
        return part.substring(at, part.indexOf('"', at));
    }

    private String traced() throws IOException {
        stop();
        return Files.readString(trace);
    }

    // What is refused
    // --------------------------------------------------------------------------------------------

    @Test
    void commandsThatAreNoneAreAnsweredAndTheNextIsServed() throws Exception {
        start(false);
        for (String command :
                List.of("", "nonsense", "dump xml", "inject", "dump json now", "check  check")) {
            ControlClient.Answer answer = ask(command);
            assertThat(answer.status()).as(command).isEqualTo(2);
            assertThat(answer.text()).startsWith("not one of: ");
        }
        assertThat(ask("x".repeat(5000)).text()).isEqualTo("a command has at most 1023 bytes\n");
        assertThat(ask("inject - map_nomem 0").text())
                .isEqualTo("map_nomem must be 1 to 1000000000, not 0\n");
        assertThat(ask("inject - colour 1").text())
                .startsWith("colour is not one of none, map_nomem");
        assertThat(ask("inject - map_nomem x").text())
                .isEqualTo("\"x\" is not a number up to 9223372036854775807\n");
        assertThat(ask("inject machine/other map_nomem 1").text())
                .isEqualTo("which IOMMU: machine/iommu\n");
        assertThat(ask("dump").status()).isZero();
    }

    @Test
    void clientsThatSayNothingDoNotKeepOthersFromAskingForever() throws Exception {
        start(false);
        Path control = folder.resolve("ioasis-control.sock");
        for (int i = 0; i < 8; i++) {
            open.add(UnixSocket.connect(control));
        }
        assertThatThrownBy(() -> ask("dump")).isInstanceOf(IOException.class);

        open.removeLast().close();

        boolean isServed = false;
        for (int i = 0; i < 1000 && !isServed; i++) {
            try {
                isServed = ask("dump").status() == 0;
            } catch (IOException e) {
                Thread.sleep(10);
            }
        }
        assertThat(isServed).isTrue();
    }

    @Test
    void serverThatCannotStartLeavesNothing() throws Exception {
        start(false);
        ServeConfig second =
                FlagConfig.iommu(folder.resolve("other.sock"))
                        .devices(RNG, List.of(folder.resolve("disk.sock").toString()))
                        .viot(folder.resolve("other.viot"))
                        .resolve();

        assertThatThrownBy(() -> Server.start(second))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("somebody listens at " + folder.resolve("disk.sock"));

        try (Stream<Path> files = Files.list(folder)) {
            assertThat(files.map(f -> f.getFileName().toString()))
                    .containsExactlyInAnyOrder(
                            "disk.img",
                            "disk.sock",
                            "iommu.sock",
                            "iommu.sock.viot",
                            "ioasis-control.sock",
                            "trace");
        }
        stop();
        assertThat(folder.resolve("iommu.sock")).doesNotExist();
        assertThat(folder.resolve("iommu.sock.viot")).doesNotExist();
    }

    @Test
    void filesOfTheUsersThatLieInTheWayStay() throws Exception {
        Path notes = Files.writeString(folder.resolve("machine.viot"), "mine");
        Path table = Files.writeString(folder.resolve("iommu.sock.viot"), "mine too");

        assertThatThrownBy(() -> start(false))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("iommu.sock.viot is there and is not the table of a server");
        assertThat(table).hasContent("mine too");
        assertThat(folder.resolve("iommu.sock")).doesNotExist();
        Files.delete(table);

        Files.writeString(trace, "a file of mine");
        assertThatThrownBy(() -> start(false))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("trace is there and is not a trace of Ioasis");
        assertThat(trace).hasContent("a file of mine");
        Files.delete(trace);

        start(false);
        stop();
        assertThat(notes).hasContent("mine");
    }

    @Test
    void twoServersOfOneFolderHaveTheirOwnTables() throws Exception {
        start(false);
        byte[] first = Files.readAllBytes(folder.resolve("iommu.sock.viot"));
        Path image = Files.write(folder.resolve("other.img"), new byte[512]);
        ServeConfig other =
                FlagConfig.iommu(folder.resolve("other.sock"))
                        .devices(
                                BLK,
                                List.of(folder.resolve("d.sock") + ",endpoint=0x99,file=" + image))
                        .control(folder.resolve("other-control.sock"))
                        .resolve();
        try (Server second = Server.start(other)) {
            assertThat(second.machines()).hasSize(1);
            assertThat(folder.resolve("other.sock.viot")).exists();
            assertThat(Files.readAllBytes(folder.resolve("iommu.sock.viot"))).isEqualTo(first);
        }
        assertThat(folder.resolve("other.sock.viot")).doesNotExist();
        assertThat(Files.readAllBytes(folder.resolve("iommu.sock.viot"))).isEqualTo(first);

        ServeConfig sameTable =
                FlagConfig.iommu(folder.resolve("other.sock"))
                        .viot(folder.resolve("iommu.sock.viot"))
                        .control(folder.resolve("other-control.sock"))
                        .resolve();
        assertThatThrownBy(() -> Server.start(sameTable))
                .hasMessageContaining("iommu.sock.viot is being written by this process");
        assertThat(Files.readAllBytes(folder.resolve("iommu.sock.viot"))).isEqualTo(first);
    }

    @Test
    void secondServerDoesNotGetAnImageThatTheFirstWritesTo() throws Exception {
        start(false);
        ServeConfig second =
                FlagConfig.iommu(folder.resolve("other.sock"))
                        .devices(
                                BLK,
                                List.of(
                                        "%s,file=%s,readonly"
                                                .formatted(
                                                        folder.resolve("d.sock"),
                                                        folder.resolve("disk.img"))))
                        .control(folder.resolve("other-control.sock"))
                        .resolve();

        assertThatThrownBy(() -> Server.start(second).close())
                .isInstanceOf(IOException.class)
                .hasMessageContaining("disk.img is in use: this process writes to it");
    }

    @Test
    void tableOfAServerThatWasKilledIsReplacedAndOneThatCameLaterStays() throws Exception {
        Path table = folder.resolve("iommu.sock.viot");
        start(false);
        byte[] made = Files.readAllBytes(table);
        stop();
        Files.write(table, made);

        start(false);
        Files.delete(table);
        Files.writeString(table, "mine");
        stop();

        assertThat(table).hasContent("mine");
    }

    // Why a device is not translated
    // --------------------------------------------------------------------------------------------

    @Test
    void eachStepOnTheWayToATranslatedAccessIsNamed() throws Exception {
        start(false);
        assertThat(check()).isEqualTo("NO_VMM");
        SocketVmm disk = connect("disk");
        assertThat(check()).isEqualTo("MEMORY_NOT_SHARED");
        disk.map(ramFd);
        assertThat(check()).isEqualTo("NOT_STARTED");
        disk.negotiate(Virtio.F_VERSION_1);
        assertThat(check()).isEqualTo("NO_ACCESS_PLATFORM");
        disk.negotiate(Virtio.F_VERSION_1 | Virtio.F_ACCESS_PLATFORM);
        disk.queue(0, ram, DISK_RINGS);
        assertThat(check()).isEqualTo("NOT_STARTED");
        disk.driverOk();
        assertThat(check()).isEqualTo("IOMMU_NOT_STARTED");
        IommuDriver iommu = startIommu();
        assertThat(check()).isEqualTo("NOT_IN_TABLE");
        assertThat(iommu.probe(0x77)).isEqualTo(S_NOENT);
        assertThat(ask("check").text()).contains("it asked for endpoint 0x77, which is not there");
        assertThat(iommu.probe(ENDPOINT)).isZero();
        assertThat(check()).isEqualTo("NEVER_ATTACHED");
        assertThat(iommu.attach(ENDPOINT, 1, ATTACH_F_BYPASS)).isZero();
        assertThat(check()).isEqualTo("PASSTHROUGH");
        assertThat(iommu.attach(ENDPOINT, 2, 0)).isZero();
        assertThat(check()).isEqualTo("IDLE");
        assertThat(ask("check").status()).isZero();
        assertThat(iommu.map(2, DISK_RINGS, DISK_RINGS + 0x2fff, DISK_RINGS)).isZero();
        disk.kick(0);
        assertThat(check()).isEqualTo("TRANSLATED");
        // A request whose buffers are mapped nowhere: refused, and the ring goes on.
        disk.offer(0, 0x80000, 16, 0x81000, 513);
        disk.awaitUsed(0, 1);
        assertThat(check()).isEqualTo("FAULTS");
        assertThat(ask("check").text()).contains("READ at 0x80000: not mapped in domain 0x2");
        // Now the ring itself.
        assertThat(iommu.unmap(2, 0, -1L)).isZero();
        disk.kick(0);
        awaitText("the device has stopped: ");
        assertThat(check()).isEqualTo("NEEDS_RESET");
        disk.close();
        open.remove(disk);
        awaitText("no VMM is connected");
        assertThat(check()).isEqualTo("NO_VMM");
    }

    @Test
    void displayBesideSharedRamIsNotTakenForRamAndAccessesToItAreNamed() throws Exception {
        long display = 0xfd00_0000L;
        start(false);
        SocketVmm disk = startDisk();
        disk.mapDisplay(display, 0x2000);
        IommuDriver iommu = startIommu();
        assertThat(iommu.attach(ENDPOINT, 1, 0)).isZero();
        assertThat(iommu.map(1, DISK_RINGS, DISK_RINGS + 0x2fff, DISK_RINGS)).isZero();
        assertThat(iommu.map(1, 0x80000, 0x80fff, display)).isZero();
        assertThat(iommu.map(1, 0x81000, 0x81fff, 0x81000)).isZero();
        assertThat(check()).isEqualTo("IDLE");
        assertThat(ask("check").status()).isZero();

        disk.offer(0, 0x80000, 16, 0x81000, 513);
        disk.awaitUsed(0, 1);

        assertThat(check()).isEqualTo("UNREACHABLE_MEMORY");
        assertThat(ask("check").text()).contains("1 accesses were refused: they led to memory");
        assertThat(ask("dump").text()).contains("(1 without descriptor, 1 accesses refused there)");
    }

    @Test
    void refusedProbeAfterWhichTheDriverGivesUpIsNamedWithItsIdAndWhatToDo() throws Exception {
        start(false);
        startDisk();
        IommuDriver iommu = startIommu();
        assertThat(iommu.probe(ENDPOINT)).isZero();
        assertThat(iommu.attach(ENDPOINT, 1, 0)).isZero();
        // The low-pin-count bridge of a q35, as Linux 7 probes it where the table's range is wide.
        assertThat(iommu.probe(0xf8)).isEqualTo(S_NOENT);
        assertThat(ask("check").text()).as("harmless so far").doesNotContain("0xf8");
        iommu.vmm().giveUp();

        assertThat(ask("check").text())
                .contains("PROBLEM machine/iommu: the guest's driver of the IOMMU has given up")
                .contains("asked for endpoint 0xf8 (00:1f.0, if ids are the functions' numbers)")
                .contains("--present 0xf8 (present = [0xf8] in a configuration)");
        assertThat(ask("check json").text()).contains("\"cause\" : \"UNKNOWN_ENDPOINT\"");
    }

    @Test
    void endpointsThatAreOnlyPresentAreAnsweredAndShownAsSuch() throws Exception {
        server =
                Server.start(
                        FlagConfig.iommu(folder.resolve("iommu.sock"))
                                .devices(
                                        BLK,
                                        List.of(
                                                folder.resolve("disk.sock")
                                                        + ",file="
                                                        + folder.resolve("disk.img")))
                                .present(List.of("0xf8-0x107", "0x88", "7"))
                                .resolve());
        IommuDriver iommu = startIommu();

        for (int present : List.of(0xf8, 0x107, 7, ENDPOINT)) {
            assertThat(iommu.probe(present)).as("0x%x", present).isZero();
            assertThat(iommu.attach(present, 1, 0)).isZero();
        }
        assertThat(iommu.probe(0x108)).isEqualTo(S_NOENT);
        assertThat(ask("dump").text())
                .contains(
                        "endpoint 0xf8, present; its accesses do not come through us, attached to domain 0x1")
                .contains("endpoint 0xf9, present; its accesses do not come through us\n")
                .doesNotContain("endpoint 0x88, present");
        String json = ask("dump json").text();
        assertIsJson(json);
        assertThat(json).contains("\"presentCount\" : 17");
    }

    @Test
    void aliasOfABridgeIsNamedByCheckAndServedWhereItIsDeclared() throws Exception {
        String disk = "disk.sock,file=disk.img,endpoint=0x108";
        server = Server.start(behindBridge(disk));
        SocketVmm vmm = startDisk();
        IommuDriver iommu = startIommu();
        assertThat(iommu.attach(0x108, 1, 0)).isZero();
        assertThat(iommu.attach(0x100, 1, 0)).isEqualTo(S_NOENT);
        assertThat(check()).isEqualTo("UNKNOWN_ALIAS");
        // Linux uses the disk all the same, with addresses that are mapped nowhere.
        vmm.kick(0);
        awaitDump("disk0, endpoint 0x108", ", 1 faults");
        assertThat(check()).isEqualTo("UNKNOWN_ALIAS");
        assertThat(ask("check").text())
                .contains(
                        "attaches endpoint 0x100 too (01:00.0), the alias of the PCIe-to-PCI bridge")
                .contains("do: add alias=0x100 to the device's option, or aliases = [0x100]")
                .as("said once")
                .doesNotContain("--present");
        for (AutoCloseable one : open) {
            one.close();
        }
        open.clear();
        stop();
        ram.segment().fill((byte) 0);

        // Two devices behind one bridge have one alias.
        server =
                Server.start(
                        behindBridge(
                                disk + ",alias=0x100",
                                "d2.sock,file=d2.img,endpoint=0x110,alias=0x100"));
        startDisk();
        IommuDriver again = startIommu();
        for (int endpoint : List.of(0x108, 0x100, 0x110)) {
            assertThat(again.attach(endpoint, 1, 0)).isZero();
        }
        assertThat(check()).isEqualTo("IDLE");
        assertThat(ask("dump").text()).contains("endpoint 0x100, present");
    }

    private ServeConfig behindBridge(String... disks) throws Exception {
        Files.write(folder.resolve("d2.img"), new byte[512]);
        return FlagConfig.iommu(folder.resolve("iommu.sock"))
                .devices(
                        BLK,
                        Stream.of(disks)
                                .map(disk ->
                                        folder
                                                + "/"
                                                + disk.replace("file=", "file=" + folder + "/"))
                                .toList())
                .resolve();
    }

    private void awaitText(String text) throws Exception {
        for (int i = 0; i < 2000; i++) {
            if (ask("check").text().contains(text)) {
                return;
            }
            Thread.sleep(5);
        }
        throw new IllegalStateException(ask("check").text());
    }

    @Test
    void memoryThatIsNotSharedIsNamedAlsoAfterTheVmmHasGone() throws Exception {
        start(false);
        SocketVmm disk = connect("disk");
        disk.map();
        assertThat(check()).isEqualTo("MEMORY_NOT_SHARED");
        assertThat(ask("check").text()).contains("memory-backend-memfd").contains("share=on");
        disk.close();
        open.remove(disk);
        awaitText("the VMM has guest memory that it does not share");
    }

    // Dump
    // --------------------------------------------------------------------------------------------

    @Test
    void dumpShowsDomainsAndMappingsWithACountOfTheRest() throws Exception {
        start(false);
        startDisk();
        IommuDriver iommu = startIommu();
        assertThat(iommu.attach(ENDPOINT, 5, 0)).isZero();
        for (int i = 0; i < 40; i++) {
            assertThat(iommu.map(5, i * 0x2000L, i * 0x2000L + 0xfff, 0x40000)).isZero();
        }

        String text = ask("dump").text();

        assertThat(text)
                .contains("domain 0x5: granule 0x1000, 40 mappings, endpoints 0x88")
                .contains("0x0..0xfff -> 0x40000 READ|WRITE")
                .contains("0x3e000..0x3efff")
                .doesNotContain("0x40000..0x40fff")
                .contains("and 8 more")
                .contains("requests: ATTACH/OK=1 MAP/OK=40 unanswered=0")
                .contains("disk0, endpoint 0x88")
                .contains("attached to domain 0x5");
        String json = ask("dump json").text();
        assertThat(json).contains("\"mappingCount\" : 40").contains("\"first\" : \"0x3e000\"");
        assertIsJson(json);
        assertIsJson(ask("check json").text());
    }

    @Test
    void loopThatDoesNotAnswerIsShownWithItsStackAndDoesNothingLate() throws Exception {
        start(false);
        Server running = Objects.requireNonNull(server);
        CountDownLatch hangs = new CountDownLatch(1);
        CountDownLatch goesOn = new CountDownLatch(1);
        Thread.ofVirtual()
                .start(() -> {
                    boolean _ = running.machines().getFirst().onLoop(() -> hang(hangs, goesOn));
                });
        hangs.await();
        AtomicBoolean hasRun = new AtomicBoolean();
        FutureTask<Boolean> late =
                new FutureTask<>(
                        () -> running.machines().getFirst().onLoop(() -> hasRun.set(true)));
        Thread.ofVirtual().start(late);

        String text = ask("dump").text();
        String json = ask("dump json").text();
        ControlClient.Answer checked = ask("check");
        assertThat(late.get(30, TimeUnit.SECONDS)).isFalse();
        goesOn.countDown();
        assertThat(running.machines().getFirst().onLoop(() -> {})).isTrue();
        assertThat(hasRun).as("what nobody waits for any more").isFalse();

        assertThat(text)
                .startsWith("machine machine: its loop does not answer\n  loop machine: ")
                .contains("org.ioasis.serve.LiveServerTest.hang(");
        assertThat(json).contains("org.ioasis.serve.LiveServerTest.hang(");
        assertIsJson(json);
        assertThat(checked.status()).isEqualTo(1);
        assertThat(checked.text()).contains("PROBLEM machine: the machine's loop does not answer");
    }

    private static void hang(CountDownLatch hangs, CountDownLatch goesOn) {
        hangs.countDown();
        try {
            goesOn.await();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static void assertIsJson(String text) throws IOException {
        try (JsonParser parser = new JsonFactory().createParser(text)) {
            while (parser.nextToken() != null) {
                assertThat(parser.currentToken()).isNotNull();
            }
        }
    }

    @Test
    void limitOfOursIsToldFromABrokenDriverWithItsKey() throws Exception {
        Path file =
                Files.writeString(
                        folder.resolve("serve.toml"),
                        """
                        control = "ioasis-control.sock"
                        [[machine]]
                        name = "machine"
                        [[machine.iommu]]
                        name = "iommu"
                        socket = "iommu.sock"
                        mappings_max = 1
                        [[machine.iommu.blk]]
                        name = "disk0"
                        socket = "disk.sock"
                        file = "disk.img"
                        endpoint = 0x88
                        """);
        server = Server.start(ConfigFile.read(file));
        SocketVmm disk = startDisk();
        IommuDriver iommu = startIommu();
        assertThat(iommu.attach(ENDPOINT, 1, 0)).isZero();
        assertThat(iommu.map(1, DISK_RINGS, DISK_RINGS + 0x2fff, DISK_RINGS)).isZero();
        assertThat(ask("check").text()).doesNotContain("NOMEM");
        assertThat(iommu.map(1, 0x80000, 0x80fff, 0x80000)).isEqualTo(S_NOMEM);
        disk.offer(0, 0x80000, 16, 0x81000, 513);
        awaitText("accesses were refused; the first: endpoint 0x88, READ at 0x80000: not mapped");

        assertThat(ask("check").text())
                .contains(
                        "PROBLEM machine/iommu: 1 requests were answered NOMEM; the last of them found the"
                                + " limit mappings_max\n  do: raise mappings_max in a configuration")
                .contains("a limit of ours: a MAP that it refused may be the cause");
    }

    // Trace and planted failures
    // --------------------------------------------------------------------------------------------

    @Test
    void traceTellsRequestsAnswersFaultsAndTheirReasons() throws Exception {
        start(false);
        SocketVmm disk = startDisk();
        IommuDriver iommu = startIommu();
        assertThat(iommu.map(9, 0, 0xfff, 0)).isEqualTo(S_NOENT);
        assertThat(iommu.attach(ENDPOINT, 1, 0)).isZero();
        assertThat(iommu.attach(ENDPOINT, 1, 8)).isEqualTo(S_INVAL);
        assertThat(iommu.map(1, DISK_RINGS, DISK_RINGS + 0x2fff, DISK_RINGS)).isZero();
        assertThat(iommu.map(1, 0x800, 0xfff, 0)).isEqualTo(S_RANGE);
        assertThat(iommu.map(1, DISK_RINGS, DISK_RINGS + 0xfff, 0)).isEqualTo(S_INVAL);
        assertThat(iommu.map(1, 0xfee00000L, 0xfee00fffL, 0)).isEqualTo(S_INVAL);
        assertThat(iommu.unmap(1, DISK_RINGS, DISK_RINGS + 0xfff)).isEqualTo(S_RANGE);
        iommu.offerEvent();
        disk.offer(0, 0x80000, 16, 0x81000, 513);
        iommu.awaitEvents(1);

        String text = traced();

        assertThat(text)
                .contains(" machine/iommu started, features 0x100000057\n")
                .contains(
                        "MAP domain=0x9 virt=0x0..0xfff phys=0x0 READ|WRITE -> NOENT: there is no domain 0x9")
                .contains("ATTACH endpoint=0x88 domain=0x1 -> OK\n")
                .contains("ATTACH endpoint=0x88 domain=0x1 flags=0x8 -> INVAL: unknown flags 0x8\n")
                .contains("-> RANGE: virt_start is not aligned to the granule 0x1000\n")
                .contains("-> INVAL: overlaps the mapping 0x20000..0x22fff\n")
                .contains("-> INVAL: overlaps the MSI region 0xfee00000..0xfeefffff\n")
                .contains("-> RANGE: cuts through the mapping 0x20000..0x22fff\n")
                .contains(
                        "fault: endpoint 0x88, READ at 0x80000: not mapped in domain 0x1;"
                                + " nearest is 0x20000..0x22fff\n")
                .contains("event: endpoint 0x88, READ at 0x80000")
                .contains(" machine/iommu reset\n");
        assertThat(text.lines().findFirst().orElseThrow()).endsWith("Z trace begun");
        assertThat(text.lines().skip(1))
                .isNotEmpty()
                .allMatch(line -> line.matches("\\d{4}-\\d\\d-\\d\\dT\\S+Z machine/iommu .*"));
    }

    @Test
    void traceAsJsonIsOneObjectPerLine() throws Exception {
        start(true);
        IommuDriver iommu = startIommu();
        assertThat(iommu.attach(ENDPOINT, 1, 0)).isZero();
        assertThat(iommu.map(1, 0x1000, 0x1fff, 0x2000)).isZero();
        assertThat(iommu.map(1, 0x1000, 0x1fff, 0x2000)).isEqualTo(S_INVAL);

        List<String> lines = traced().lines().toList();

        for (String line : lines) {
            assertThat(line).startsWith("{").endsWith("}");
            assertIsJson(line);
        }
        assertThat(lines)
                .anySatisfy(line ->
                        assertThat(line)
                                .contains(
                                        "\"type\":\"MAP\",\"domain\":1,\"virt_start\":\"0x1000\",\"virt_end\":\"0x1fff\","
                                                + "\"phys_start\":\"0x2000\",\"flags\":3,\"status\":\"OK\",\"why\":\"\""))
                .anySatisfy(line ->
                        assertThat(line)
                                .contains(
                                        "\"status\":\"INVAL\",\"why\":\"overlaps the mapping 0x1000..0x1fff\""));
    }

    @Test
    void plantedMapFailsOnceAndMapsNothing() throws Exception {
        start(false);
        IommuDriver iommu = startIommu();
        assertThat(iommu.attach(ENDPOINT, 1, 0)).isZero();
        assertThat(ask("inject - map_nomem 0x2").text()).isEqualTo("planted: map_nomem 2\n");

        assertThat(iommu.map(1, 0x1000, 0x1fff, 0)).isZero();
        assertThat(iommu.map(1, 0x2000, 0x2fff, 0)).isEqualTo(S_NOMEM);
        assertThat(iommu.map(1, 0x2000, 0x2fff, 0)).isZero();

        assertThat(traced())
                .contains("injected: planted: map_nomem 2")
                .contains("virt=0x2000..0x2fff phys=0x0 READ|WRITE -> NOMEM: planted\n");
    }

    @Test
    void plantedDelayAnswersAnUnmapLaterAndOvertakesNothing() throws Exception {
        start(false);
        IommuDriver iommu = startIommu();
        assertThat(iommu.attach(ENDPOINT, 1, 0)).isZero();
        assertThat(iommu.map(1, 0x1000, 0x1fff, 0)).isZero();
        assertThat(ask("inject - unmap_delay_ms 300").status()).isZero();

        assertThat(iommu.unmap(1, 0x1000, 0x1fff)).isZero();
        assertThat(ask("inject - none 0").text()).isEqualTo("nothing is planted any more\n");
        assertThat(iommu.map(1, 0x1000, 0x1fff, 0)).isZero();

        assertThat(traced())
                .containsSubsequence(
                        "injected: UNMAP is answered 300 ms late\n",
                        "UNMAP domain=0x1 virt=0x1000..0x1fff waits\n",
                        "UNMAP domain=0x1 virt=0x1000..0x1fff -> OK\n",
                        "injected: planted: none");
    }

    @Test
    void plantedDelayOfAResetDeviceIsForgotten() throws Exception {
        start(false);
        IommuDriver iommu = startIommu();
        assertThat(iommu.attach(ENDPOINT, 1, 0)).isZero();
        assertThat(iommu.map(1, 0x1000, 0x1fff, 0)).isZero();
        assertThat(ask("inject - unmap_delay_ms 200").status()).isZero();
        iommu.sendUnmap(1, 0x1000, 0x1fff);
        ram.segment().asSlice(0x10000, 0x8000).fill((byte) 0);

        IommuDriver next = new IommuDriver(iommu.vmm(), ram);
        next.start();
        assertThat(next.probe(ENDPOINT)).isZero();
        Thread.sleep(400);

        assertThat(next.probe(ENDPOINT)).isZero();
    }

    @Test
    void plantedEventsAreLostOrComeTwice() throws Exception {
        start(false);
        SocketVmm disk = startDisk();
        IommuDriver iommu = startIommu();
        assertThat(iommu.attach(ENDPOINT, 1, 0)).isZero();
        assertThat(iommu.map(1, DISK_RINGS, DISK_RINGS + 0x2fff, DISK_RINGS)).isZero();
        for (int i = 0; i < 3; i++) {
            iommu.offerEvent();
        }
        assertThat(ask("inject - drop_events 1").status()).isZero();
        disk.offer(0, 0x80000, 16, 0x81000, 513);
        disk.awaitUsed(0, 1);
        assertThat(iommu.probe(ENDPOINT)).isZero();
        assertThat(ask("inject - double_events 1").status()).isZero();
        disk.offer(0, 0x90000, 16, 0x91000, 513);
        iommu.awaitEvents(2);
        disk.offer(0, 0xa0000, 16, 0xa1000, 513);
        iommu.awaitEvents(3);

        assertThat(List.of(iommu.eventAddress(0), iommu.eventAddress(1), iommu.eventAddress(2)))
                .containsExactly(0x90000L, 0x90000L, 0xa0000L);
        assertThat(traced())
                .contains("injected: event is lost: endpoint 0x88, READ at 0x80000\n")
                .contains("injected: planted: double_events 1");
    }

    @Test
    void plantedProbeEndsEarlyOnce() throws Exception {
        start(false);
        IommuDriver iommu = startIommu();
        assertThat(ask("inject - truncate_probe 10").status()).isZero();

        assertThat(iommu.probe(ENDPOINT)).isEqualTo(IommuDriver.NO_ANSWER);
        assertThat(iommu.usedLength()).isEqualTo(10);
        assertThat(iommu.probe(ENDPOINT)).isZero();

        assertThat(traced()).contains("injected: answer to PROBE ends after 10 bytes\n");
    }

    // The rogue
    // --------------------------------------------------------------------------------------------

    @Test
    void volleysThatAreNoneAreAnswered() throws Exception {
        server = Server.start(config(false, "rng.sock"));
        assertThat(ask("rogue - write stride 0 0 1 1").text())
                .isEqualTo("no device is a rogue: start the server with --rng SOCKET,rogue\n");
        stop();
        server = Server.start(config(false, "rng.sock,rogue", "two.sock,rogue"));
        String rogues = "which rogue: machine/rng0, machine/rng1\n";
        for (String[] bad :
                new String[][] {
                    {"rogue - write stride 0 0 1 1", rogues},
                    {"rogue machine/disk0 write stride 0 0 1 1", rogues},
                    {"rogue machine/rng0 erase stride 0 0 1 1", "read or write, not erase\n"},
                    {"rogue machine/rng0 read jump 0 0 1 1", "stride or scatter, not jump\n"},
                    {
                        "rogue machine/rng0 read scatter 2 1 1 1",
                        "the range 0x2-0x1 ends before it starts\n"
                    },
                    {
                        "rogue machine/rng0 read stride 0 0 1048577 1",
                        "\"1048577\" is not a number up to 1048576\n"
                    },
                    {
                        "rogue machine/rng0 read stride 0 0 1 100000001",
                        "\"100000001\" is not a number up to 100000000\n"
                    },
                    {
                        "rogue machine/rng0 read stride 0 x 1 1",
                        "\"x\" is not a number up to 18446744073709551615\n"
                    },
                    {
                        "rogue machine/rng0 read stride 0 0 0 1",
                        "length and count must be at least 1\n"
                    },
                }) {
            ControlClient.Answer answer = ask(bad[0]);
            assertThat(answer.status()).as(bad[0]).isEqualTo(2);
            assertThat(answer.text()).as(bad[0]).isEqualTo(bad[1]);
        }
        assertThat(ask("rogue - write stride 0 0 1").text()).startsWith("not one of: ");
    }

    @Test
    void rogueReachesWhatIsMappedForItAndNothingElse() throws Exception {
        server = Server.start(config(false, "rng.sock,endpoint=0x18,rogue"));
        SocketVmm _ = startDisk();
        SocketVmm _ = connectWithMemory("rng");
        IommuDriver iommu = startIommu();
        assertThat(iommu.attach(0x18, 1, 0)).isZero();
        assertThat(iommu.attach(ENDPOINT, 2, 0)).isZero();
        assertThat(iommu.map(1, 0x5000, 0x5fff, 0x90000)).isZero();
        assertThat(iommu.map(2, 0x7000, 0x7fff, 0xa0000)).isZero();
        byte[] before = ramBesideTheRequestq();

        String volleys =
                ask("rogue - write stride 0x7000 0x10 16 1000").text()
                        + ask("rogue machine/rng0 write scatter 0x10000 0xffffffffffffffff 1 1000")
                                .text()
                        + ask("rogue - write stride 0x6000 0 8192 1").text();

        assertThat(volleys)
                .isEqualTo(
                        """
                        1000 writes of 16 bytes: 0 went through, 1000 refused by the IOMMU, 0 where no memory is, 0 refused by the memory
                        1000 writes of 1 bytes: 0 went through, 1000 refused by the IOMMU, 0 where no memory is, 0 refused by the memory
                        1 writes of 8192 bytes: 0 went through, 1 refused by the IOMMU, 0 where no memory is, 0 refused by the memory
                        """);
        assertThat(ramBesideTheRequestq()).isEqualTo(before);
        assertThat(ask("rogue - write stride 0x5000 0 64 2").text())
                .startsWith("2 writes of 64 bytes: 2 went through, 0 refused");
        assertThat(ram.segment().get(ValueLayout.JAVA_BYTE, 0x90000)).isEqualTo(Rogue.pattern(0));
        assertThat(ask("rogue - read stride 0x5000 0 64 1").text())
                .contains("1 went through")
                .containsPattern("SHA-256 of what was read: [0-9a-f]{64}\n");
    }

    @Test
    void longVolleyKeepsNobodyElseFromAskingAndGoesOnWithoutItsClient() throws Exception {
        server = Server.start(config(false, "rng.sock,rogue"));
        try (UnixSocket impatient = UnixSocket.connect(folder.resolve("ioasis-control.sock"))) {
            byte[] line = "rogue - write stride 0 1 1 300000\n".getBytes(StandardCharsets.US_ASCII);
            MemorySegment bytes = Arena.ofAuto().allocate(line.length);
            bytes.copyFrom(MemorySegment.ofArray(line));
            assertThat(impatient.send(bytes, 0, line.length, List.of())).isEqualTo(line.length);
            assertThat(ask("dump").status()).isZero();
        }

        // The device's thread does one volley after the other.
        assertThat(ask("rogue - write stride 0 1 1 1").text()).startsWith("1 writes");
        awaitDump("rng0, endpoint 0x90", ", 300001 bypassed");
    }

    private void awaitDump(String device, String text) throws Exception {
        for (int i = 0; i < 2000; i++) {
            String dump = ask("dump").text();
            if (dump.substring(dump.indexOf(device)).contains(text)) {
                return;
            }
            Thread.sleep(5);
        }
        throw new IllegalStateException(ask("dump").text());
    }

    @Test
    void announcementNamesEachSocketAndTheTable() throws Exception {
        start(false);
        Server running = server;
        assertThat(running).isNotNull();
        if (running != null) {
            assertThat(running.announcement())
                    .startsWith(
                            "ready machine/iommu " + folder.resolve("iommu.sock"),
                            "ready machine/disk0 " + folder.resolve("disk.sock"),
                            "control " + folder.resolve("ioasis-control.sock"),
                            "viot machine " + folder.resolve("iommu.sock.viot"))
                    .endsWith(
                            "  -device '{\"driver\":\"vfio-user-pci\",\"addr\":\"11.0\",\"socket\":"
                                    + "{\"type\":\"unix\",\"path\":\""
                                    + folder.resolve("disk.sock")
                                    + "\"}}'");
        }
        assertThat(
                        new String(
                                Files.readAllBytes(folder.resolve("iommu.sock.viot")),
                                StandardCharsets.ISO_8859_1))
                .startsWith("VIOT");
    }
}
