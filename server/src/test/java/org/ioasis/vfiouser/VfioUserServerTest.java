// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VfioUser.*;
import static org.ioasis.vfiouser.MockVfioUserClient.accessPayload;
import static org.ioasis.vfiouser.MockVfioUserClient.bytes;
import static org.ioasis.vfiouser.MockVfioUserClient.irqPayload;
import static org.ioasis.vfiouser.MockVfioUserClient.mapPayload;
import static org.ioasis.vfiouser.MockVfioUserClient.message;
import static org.ioasis.vfiouser.MockVfioUserClient.payload;
import static org.ioasis.vfiouser.MockVfioUserClient.unmapPayload;
import static org.ioasis.vfiouser.MockVfioUserClient.versionPayload;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.memory.Access;
import org.ioasis.memory.DirectDma;
import org.ioasis.memory.Guard;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.MemoryListener;
import org.ioasis.memory.Outcome;
import org.ioasis.memory.Region;
import org.ioasis.peer.ServedInfo;
import org.ioasis.peer.ServerWait;
import org.ioasis.peer.StreamBuffers;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.EventFd;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.ioasis.sys.Memfd;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Speaks vfio-user to the server from the other side, over a real socket with real memfds. After
 * each test the next client is served, nothing is left open, and nothing of ours has failed.
 */
class VfioUserServerTest {
    private static final int PAGE = 4096;
    private static final int RW = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
    private static final int READ_ONLY = VFIO_DMA_MAP_FLAG_READ;
    private static final int BAR = 0;
    private static final int CONFIG = VFIO_PCI_CONFIG_REGION_INDEX;
    private static final int EVENTFD_TRIGGER =
            VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    private static final int NONE_TRIGGER = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
    private static final int MSIX = VFIO_PCI_MSIX_IRQ_INDEX;

    private final Resources before = Resources.now();
    private ServerFixture<RecordingFunction> fixture = open();
    private final List<AutoCloseable> opened = new ArrayList<>();

    private static ServerFixture<RecordingFunction> open() {
        try {
            return ServerFixture.plain();
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    @BeforeEach
    void nothingIsOpenButTheServer() {
        assertThat(fixture.server.hasSession()).isFalse();
    }

    @AfterEach
    void nextClientIsServedAndNothingIsLeft() throws Exception {
        for (AutoCloseable o : opened.reversed()) {
            o.close();
        }
        try (MockVfioUserClient next = fixture.ready()) {
            assertThat(next.write(BAR, 0x10, 4, 0x1234).isError()).isFalse();
            assertThat(next.read(BAR, 0x10, 4)).isEqualTo(0x1234);
        }
        fixture.awaitNoSession();
        assertThat(fixture.memory.regionCount()).isZero();
        assertThat(fixture.loop.failures()).isZero();
        fixture.close();
        assertThat(Resources.now()).isEqualTo(before);
    }

    private MockVfioUserClient connect() throws IOException {
        MockVfioUserClient client = fixture.connect();
        opened.add(client);
        return client;
    }

    private MockVfioUserClient ready() throws IOException {
        MockVfioUserClient client = fixture.ready();
        opened.add(client);
        return client;
    }

    private Fd memfd(long size) throws ErrnoException {
        Fd fd = Memfd.create("ioasis-test", size);
        opened.add(fd);
        return fd;
    }

    private EventFd eventFd() throws ErrnoException {
        EventFd eventFd = EventFd.create();
        opened.add(eventFd);
        return eventFd;
    }

    /** A descriptor to send. */
    private Fd fd(EventFd eventFd) throws ErrnoException {
        Fd borrowed = Fd.own(eventFd.fd());
        try {
            Fd duplicate = borrowed.duplicate();
            opened.add(duplicate);
            return duplicate;
        } finally {
            borrowed.transfer();
        }
    }

    private static void assertError(MockVfioUserClient.Reply reply, int errno) {
        assertThat(reply.isError()).isTrue();
        assertThat(Errno.name(reply.error())).isEqualTo(Errno.name(errno));
        assertThat(reply.size()).isEqualTo(HEADER_SIZE);
    }

    private static void assertOk(MockVfioUserClient.Reply reply, int size) {
        assertThat(Errno.name(reply.error())).isEqualTo(Errno.name(0));
        assertThat(reply.isError()).isFalse();
        assertThat(reply.size()).isEqualTo(size);
    }

    /** So that a recording knows who has been served, and who still is. */
    @Test
    void aSessionIsAnEventWhenItBeginsAndOneWhenItHasEnded() throws Exception {
        List<String> started = new ArrayList<>();
        List<RecordedEvent> ended = new ArrayList<>();
        Path file = Files.createTempFile("ioasis", ".jfr");
        try (Recording recording = new Recording()) {
            recording.start();
            MockVfioUserClient client = ready();
            client.send(VFIO_USER_DEVICE_GET_INFO, FLAGS_TYPE_REPLY, new byte[16]);
            client.awaitClose();
            fixture.awaitNoSession();
            recording.stop();
            recording.dump(file);
            for (RecordedEvent event : RecordingFile.readAllEvents(file)) {
                switch (event.getEventType().getName()) {
                    case "org.ioasis.SessionStart" -> started.add(event.getString("socket"));
                    case "org.ioasis.Session" -> ended.add(event);
                    default -> {}
                }
            }
        } finally {
            Files.delete(file);
        }

        assertThat(started).containsExactly(fixture.server.path().toString());
        assertThat(ended).hasSize(1);
        RecordedEvent session = ended.getFirst();
        assertThat(session.getString("socket")).isEqualTo(started.getFirst());
        assertThat(session.getString("peer"))
                .contains(Long.toString(ProcessHandle.current().pid()));
        assertThat(session.getLong("messages")).isPositive();
        assertThat(session.getString("reason")).contains("never sent");
        assertThat(session.getDuration()).isPositive();
    }

    // Framing.

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 15, Codec.MESSAGE_MAX + 1, 1 << 30, -1, Integer.MIN_VALUE})
    void messageOfImpossibleSizeEndsTheSession(int size) throws Exception {
        MockVfioUserClient client = ready();

        client.sendBytes(message(9, VFIO_USER_DEVICE_RESET, 0, size, new byte[0]));

        client.awaitClose();
        fixture.awaitNoSession();
        assertThat(fixture.server.lastReason()).contains(Integer.toUnsignedString(size));
    }

    @Test
    void replyToNothingEndsTheSession() throws Exception {
        MockVfioUserClient client = ready();

        client.send(VFIO_USER_DEVICE_GET_INFO, FLAGS_TYPE_REPLY, new byte[16]);

        client.awaitClose();
        fixture.awaitNoSession();
        assertThat(fixture.server.lastReason()).contains("never sent");
    }

    @Test
    void messageOfUnknownTypeEndsTheSession() throws Exception {
        MockVfioUserClient client = ready();

        client.send(VFIO_USER_DEVICE_RESET, 2, new byte[0]);

        client.awaitClose();
        assertThat(fixture.function.resets).hasValueLessThanOrEqualTo(1);
    }

    @Test
    void commandWithUnknownFlagsIsRefused() throws Exception {
        MockVfioUserClient client = ready();

        client.send(VFIO_USER_DEVICE_RESET, 0x40, new byte[0]);
        assertError(client.receive(), Errno.EINVAL);
        client.send(VFIO_USER_DEVICE_RESET, FLAGS_ERROR, new byte[0]);
        assertError(client.receive(), Errno.EINVAL);

        assertThat(fixture.function.resets).hasValue(0);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 11, 12, 14, 19, 255, 65535})
    void commandThatNoClientHasIsInvalid(int command) throws Exception {
        MockVfioUserClient client = ready();

        assertError(client.call(command, new byte[24]), Errno.EINVAL);
    }

    @Test
    void closingInTheMiddleOfAnyMessageEndsTheSession() throws Exception {
        byte[] whole = message(1, VFIO_USER_DMA_MAP, 0, mapPayload(0, PAGE, 0, RW));
        Fd memory = memfd(PAGE);
        for (int cut = 1; cut < whole.length; cut++) {
            try (MockVfioUserClient client = fixture.ready()) {
                client.sendBytes(Arrays.copyOf(whole, cut), memory);
            }
            fixture.awaitNoSession();
            assertThat(fixture.server.lastReason()).contains("client closed after " + cut);
            assertThat(fixture.memory.regionCount()).isZero();
        }
    }

    @Test
    void messageInSingleBytesIsUnderstood() throws Exception {
        MockVfioUserClient client = ready();
        Fd memory = memfd(PAGE);
        byte[] whole = message(7, VFIO_USER_DMA_MAP, 0, mapPayload(0, PAGE, 0, RW));

        for (int i = 0; i < whole.length; i++) {
            client.sendBytes(new byte[] {whole[i]}, i == 0 ? new Fd[] {memory} : new Fd[0]);
        }

        assertOk(client.receive(), HEADER_SIZE);
        assertThat(fixture.memory.regionCount()).isOne();
    }

    @Test
    void pipelinedMessagesKeepTheirDescriptorsAndTheirOrder() throws Exception {
        MockVfioUserClient client = ready();
        Fd first = memfd(PAGE);
        Fd second = memfd(2 * PAGE);
        fill(first, 0, (byte) 1);
        fill(second, PAGE, (byte) 2);

        int map1 = client.send(VFIO_USER_DMA_MAP, 0, mapPayload(0, PAGE, 0, RW), first);
        int rom = client.send(VFIO_USER_DMA_MAP, 0, mapPayload(0x10000, PAGE, 0, READ_ONLY));
        client.post(BAR, 0, 4, 77);
        int map2 = client.send(VFIO_USER_DMA_MAP, 0, mapPayload(PAGE, PAGE, PAGE, RW), second);
        int read = client.send(VFIO_USER_REGION_READ, 0, accessPayload(BAR, 0, 4, new byte[0]));

        for (int id : new int[] {map1, rom, map2}) {
            MockVfioUserClient.Reply reply = client.receive();
            assertOk(reply, HEADER_SIZE);
            assertThat(reply.id()).isEqualTo(id);
        }
        MockVfioUserClient.Reply value = client.receive();
        assertThat(value.id()).isEqualTo(read);
        assertThat(value.fields().getInt(REGION_ACCESS_DATA)).isEqualTo(77);
        assertThat(guestByte(0)).isEqualTo((byte) 1);
        assertThat(guestByte(PAGE)).isEqualTo((byte) 2);
        assertThat(info().regionsWithoutDescriptor()).isOne();
    }

    @Test
    void clientThatDoesNotReadItsRepliesLosesTheSession() throws Exception {
        MockVfioUserClient client = ready();
        byte[] payload = accessPayload(CONFIG, 0, 256, new byte[0]);

        try {
            while (fixture.server.hasSession()) {
                try {
                    client.send(VFIO_USER_REGION_READ, 0, payload);
                } catch (IllegalStateException e) {
                    ServerWait.pause(); // faster than the server
                }
            }
        } catch (ErrnoException e) {
            assertThat(e).hasMessageMatching(".*(EPIPE|ECONNRESET).*");
        }
        fixture.awaitNoSession();

        assertThat(fixture.server.lastReason()).isEqualTo("client does not read its replies");
    }

    // VERSION.

    static List<Arguments> commands() {
        return List.of(
                Arguments.of(VFIO_USER_DMA_MAP, mapPayload(0, PAGE, 0, READ_ONLY)),
                Arguments.of(VFIO_USER_DMA_UNMAP, unmapPayload(0, PAGE, 0)),
                Arguments.of(VFIO_USER_DEVICE_GET_INFO, payload(16).u32(16).array()),
                Arguments.of(VFIO_USER_DEVICE_GET_REGION_INFO, payload(32).u32(32).array()),
                Arguments.of(VFIO_USER_DEVICE_GET_IRQ_INFO, payload(16).u32(16).array()),
                Arguments.of(VFIO_USER_DEVICE_SET_IRQS, irqPayload(NONE_TRIGGER, MSIX, 0, 0)),
                Arguments.of(VFIO_USER_REGION_READ, accessPayload(BAR, 0, 4, new byte[0])),
                Arguments.of(VFIO_USER_REGION_WRITE, accessPayload(BAR, 0, 4, new byte[4])),
                Arguments.of(VFIO_USER_DEVICE_RESET, new byte[0]),
                Arguments.of(99, new byte[0]));
    }

    @ParameterizedTest
    @MethodSource("commands")
    void everyCommandBeforeVersionIsRefusedAndEndsTheSession(int command, byte[] payload)
            throws Exception {
        MockVfioUserClient client = connect();

        MockVfioUserClient.Reply reply = client.call(command, payload);

        assertThat(reply.isError()).isTrue();
        client.awaitClose();
        fixture.awaitNoSession();
        assertThat(fixture.server.lastReason()).containsAnyOf("before VERSION", "on a version");
        assertThat(fixture.memory.regionCount()).isZero();
    }

    @ParameterizedTest
    @MethodSource("commands")
    void everyCommandOneByteTooShortIsRefused(int command, byte[] payload) throws Exception {
        MockVfioUserClient client = ready();
        byte[] cut = Arrays.copyOf(payload, Math.max(0, payload.length - 1));
        boolean isEmpty = payload.length == 0 && command == VFIO_USER_DEVICE_RESET;

        assertThat(client.call(command, cut).isError()).isEqualTo(!isEmpty);

        assertThat(fixture.memory.regionCount()).isZero();
    }

    @ParameterizedTest
    @MethodSource("commands")
    void commandMayBeLongerThanItsStructureUnlessItsLengthSaysMore(int command, byte[] payload)
            throws Exception {
        MockVfioUserClient client = ready();
        MockVfioUserClient.Reply expected = client.call(command, payload);
        byte[] grown = Arrays.copyOf(payload, payload.length + 13);
        if (command == VFIO_USER_DMA_MAP) {
            assertOk(client.unmap(0, PAGE), HEADER_SIZE + DMA_UNMAP_SIZE);
        }

        MockVfioUserClient.Reply reply = client.call(command, grown);

        if (command == VFIO_USER_REGION_WRITE) {
            assertError(reply, Errno.EINVAL);
        } else {
            assertThat(reply.error()).isEqualTo(expected.error());
            assertThat(reply.data()).isEqualTo(expected.data());
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {32, 48, 64, 288, 4096})
    void regionInformationTakesRequestsOfAnyLengthThatSaySo(int size) throws Exception {
        MockVfioUserClient client = ready();

        MockVfioUserClient.Reply reply =
                client.call(
                        VFIO_USER_DEVICE_GET_REGION_INFO,
                        Arrays.copyOf(payload(12).u32(size).u32(0).u32(BAR).array(), size));

        assertOk(reply, HEADER_SIZE + REGION_INFO_SIZE);
        assertThat(reply.fields().getInt(REGION_INFO_ARGSZ)).isEqualTo(REGION_INFO_SIZE);
        assertThat(reply.fields().getLong(REGION_INFO_BYTES)).isEqualTo(4096);
    }

    @ParameterizedTest
    @MethodSource("commands")
    void everyCommandThatTakesNoDescriptorIsRefusedWithOne(int command, byte[] payload)
            throws Exception {
        MockVfioUserClient client = ready();
        Fd memory = memfd(PAGE);
        boolean takesOne = command == VFIO_USER_DMA_MAP;
        if (command == VFIO_USER_DMA_UNMAP) {
            return; // unmapTakesADescriptorAndClosesIt
        }

        MockVfioUserClient.Reply reply = client.call(command, payload, memory);

        assertThat(reply.isError()).isEqualTo(!takesOne);
        assertThat(Resources.now().mappings()).isEqualTo(before.mappings() + (takesOne ? 1 : 0));
    }

    @Test
    void otherMajorVersionIsRefusedAndEndsTheSession() throws Exception {
        MockVfioUserClient client = connect();

        assertError(client.call(VFIO_USER_VERSION, versionPayload(1, 0, "{}\0")), Errno.ENOTSUP);

        client.awaitClose();
        fixture.awaitNoSession();
        assertThat(fixture.server.lastReason()).isEqualTo("client speaks version 1.0");
    }

    @Test
    void secondVersionIsRefused() throws Exception {
        MockVfioUserClient client = ready();

        assertError(client.version(), Errno.EINVAL);
        assertOk(client.reset(), HEADER_SIZE);
    }

    static List<String> badVersionData() {
        return List.of(
                "{}",
                "\0",
                "{\0",
                "[]\0",
                "{}{}\0",
                "{} x\0",
                "{}\0\0",
                "{\"capabilities\": 1}\0",
                "{\"capabilities\": {\"pgsizes\": \"4096\"}}\0",
                "{\"capabilities\": {\"pgsizes\": 4096.5}}\0",
                "{\"capabilities\": {\"pgsizes\": -1}}\0",
                "{\"capabilities\": {\"pgsizes\": 99999999999999999999}}\0",
                "{\"capabilities\": {\"pgsizes\": 123456789012345678901234567890}}\0",
                "{\"capabilities\": {\"pgsizes\": 1, \"pgsizes\": 1}}\0",
                "{\"capabilities\": {}, \"capabilities\": {}}\0",
                "{\"a\": " + "[".repeat(100) + "]".repeat(100) + "}\0",
                "{\"" + "n".repeat(1000) + "\": 1}\0",
                "{\"a\": [" + "1,".repeat(1500) + "1]}\0",
                "{'a': 1}\0",
                "{\"a\": \ud800}\0");
    }

    @ParameterizedTest
    @MethodSource("badVersionData")
    void versionDataThatIsNotAsSpecifiedIsRefused(String data) throws Exception {
        MockVfioUserClient client = connect();

        assertError(client.call(VFIO_USER_VERSION, versionPayload(0, 0, data)), Errno.EINVAL);

        client.awaitClose();
    }

    @Test
    void versionReplyNamesOurLimitsAndIsNotLongerThanTheRequest() throws Exception {
        MockVfioUserClient client = connect();

        MockVfioUserClient.Reply reply = client.version();

        String json = versionData(reply);
        assertThat(json)
                .contains("\"pgsizes\":4096", "\"max_msg_fds\":16", "\"max_dma_maps\":64")
                .contains("\"max_data_xfer_size\":4096")
                .contains("\"write_multiple\":true")
                .doesNotContain("migration");
        int request =
                HEADER_SIZE + versionPayload(0, 0, MockVfioUserClient.QEMU_CAPABILITIES).length;
        assertThat(reply.size()).isLessThanOrEqualTo(request);
    }

    private static String versionData(MockVfioUserClient.Reply reply) {
        byte[] data = reply.data();
        assertThat(data[0] | data[1] | data[2] | data[3]).isZero();
        assertThat(data[data.length - 1]).isZero();
        return new String(data, 4, data.length - 5, StandardCharsets.US_ASCII);
    }

    @Test
    void versionReplyFitsIntoTheShortestRequests() throws Exception {
        for (String data : List.of("", "{}\0", "{\"capabilities\":{\"pgsizes\":1}}\0")) {
            try (MockVfioUserClient client = fixture.connect()) {
                byte[] payload = versionPayload(0, 5, data);
                MockVfioUserClient.Reply reply = client.call(VFIO_USER_VERSION, payload);
                assertThat(reply.isError()).isFalse();
                assertThat(reply.size()).isLessThanOrEqualTo(HEADER_SIZE + payload.length);
                assertThat(reply.fields().getShort(2)).isZero();
            }
            fixture.awaitNoSession();
        }
    }

    // DMA_MAP and DMA_UNMAP.

    static List<Arguments> badMaps() {
        return List.of(
                Arguments.of("nothing", mapPayload(0, 0, 0, RW)),
                Arguments.of("wraps", mapPayload(-PAGE, 2 * PAGE, 0, RW)),
                Arguments.of("everything", mapPayload(PAGE, -PAGE, 0, RW)),
                Arguments.of("misaligned address", mapPayload(1, PAGE, 0, RW)),
                Arguments.of("misaligned size", mapPayload(0, PAGE + 1, 0, RW)),
                Arguments.of("misaligned offset", mapPayload(0, PAGE, 1, RW)),
                Arguments.of("negative offset", mapPayload(0, PAGE, -PAGE, RW)),
                Arguments.of("offset wraps", mapPayload(0, PAGE, Long.MAX_VALUE & -PAGE, RW)),
                Arguments.of("no access", mapPayload(0, PAGE, 0, 0)),
                Arguments.of("write only", mapPayload(0, PAGE, 0, 2)),
                Arguments.of("unknown flag", mapPayload(0, PAGE, 0, 7)),
                Arguments.of(
                        "small argsz", payload(32).u32(31).u32(3).u64(0).u64(0).u64(PAGE).array()));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("badMaps")
    void mapThatIsNotPossibleIsRefused(String what, byte[] payload) throws Exception {
        MockVfioUserClient client = ready();
        Fd memory = memfd(4 * PAGE);

        assertError(client.call(VFIO_USER_DMA_MAP, payload, memory), Errno.EINVAL);

        assertThat(fixture.memory.regionCount()).isZero();
        assertThat(Resources.now().mappings()).isEqualTo(before.mappings());
    }

    @Test
    void mapBeyondTheEndOfTheFileIsRefused() throws Exception {
        MockVfioUserClient client = ready();
        Fd memory = memfd(PAGE);

        assertThat(client.map(0, 2 * PAGE, 0, RW, memory).isError()).isTrue();
        assertThat(client.map(0, PAGE, PAGE, RW, memory).isError()).isTrue();

        assertThat(fixture.memory.regionCount()).isZero();
    }

    @Test
    void mapOfADescriptorThatIsNoMemoryIsRefused() throws Exception {
        MockVfioUserClient client = ready();

        assertThat(client.map(0, PAGE, 0, RW, fd(eventFd())).isError()).isTrue();

        assertThat(fixture.memory.regionCount()).isZero();
    }

    @Test
    void mapWithTwoDescriptorsIsRefused() throws Exception {
        MockVfioUserClient client = ready();

        assertError(client.map(0, PAGE, 0, RW, memfd(PAGE), memfd(PAGE)), Errno.EINVAL);

        assertThat(fixture.memory.regionCount()).isZero();
    }

    @Test
    void messageWithMoreDescriptorsThanAllowedEndsTheSession() throws Exception {
        MockVfioUserClient client = ready();
        Fd[] many = new Fd[Codec.FDS_MAX + 1];
        Arrays.fill(many, memfd(PAGE));

        client.send(VFIO_USER_DMA_MAP, 0, mapPayload(0, PAGE, 0, RW), many);

        client.awaitClose();
    }

    @Test
    void descriptorsThatTrickleInWithOneMessageAreCounted() throws Exception {
        MockVfioUserClient client = ready();
        byte[] whole = message(7, VFIO_USER_DMA_MAP, 0, mapPayload(0, PAGE, 0, RW));
        Fd[] ten = new Fd[10];
        Arrays.fill(ten, memfd(PAGE));

        client.sendBytes(Arrays.copyOf(whole, 20), ten);
        client.sendBytes(Arrays.copyOfRange(whole, 20, 30), ten);

        client.awaitClose();
        fixture.awaitNoSession();
        assertThat(fixture.server.lastReason()).isEqualTo("20 descriptors with one message");
    }

    @Test
    void writableMemoryWithoutDescriptorIsKnownAndNotReachedAndNoRamBesideMore() throws Exception {
        MockVfioUserClient client = ready();

        assertOk(client.map(0xfd000000L, PAGE, 0x1234, RW), HEADER_SIZE);

        assertThat(info().isMemoryUnshared()).as("all RAM that there is").isTrue();
        assertOk(client.map(0, 2 * PAGE, 0, RW, memfd(2 * PAGE)), HEADER_SIZE);
        assertThat(info().isMemoryUnshared()).as("a display beside RAM").isFalse();
        assertThat(info().regionsWithoutDescriptor()).isOne();
        assertThat(info().sharedBytes()).isEqualTo(2 * PAGE);
        DirectDma dma = new DirectDma(fixture.memory, fixture.guards.open());
        dma.enter();
        assertThat(dma.resolve(0xfd000000L, 4, Access.WRITE)).isEqualTo(Outcome.REFUSED);
        dma.leave();
        assertThat(info().unreachableAccesses()).isOne();
        assertError(client.map(0xfd000000L, PAGE, 0, RW, memfd(PAGE)), Errno.EEXIST);
        assertOk(client.unmap(0xfd000000L, PAGE), HEADER_SIZE + DMA_UNMAP_SIZE);
        assertThat(info().regionsWithoutDescriptor()).isZero();
    }

    private ServedInfo info() {
        ServedInfo[] info = new ServedInfo[1];
        assertThat(
                        fixture.loop.executeAndWait(
                                () -> info[0] = fixture.server.info(),
                                MockVfioUserClient.WAIT_MILLIS * 1_000_000L))
                .isTrue();
        return info[0];
    }

    @Test
    void regionWithoutDescriptorMayBeMostOfTheAddressSpace() throws Exception {
        MockVfioUserClient client = ready();

        assertOk(client.map(0, -PAGE, 0, RW), HEADER_SIZE);

        assertOk(client.unmap(0, -PAGE), HEADER_SIZE + DMA_UNMAP_SIZE);
    }

    @Test
    void romWithoutDescriptorIsARegionThatCannotBeTouched() throws Exception {
        MockVfioUserClient client = ready();

        assertOk(client.map(0xfffc0000L, 0x40000, 0, READ_ONLY), HEADER_SIZE);

        DirectDma dma = new DirectDma(fixture.memory, fixture.guards.open());
        dma.enter();
        assertThat(dma.resolve(0xfffc0000L, 4, Access.READ)).isEqualTo(Outcome.REFUSED);
        assertThat(dma.resolve(0xfffbffffL, 1, Access.READ)).isEqualTo(Outcome.ABSENT);
        dma.leave();
    }

    @Test
    void readOnlyMemoryWithDescriptorIsNotWritten() throws Exception {
        MockVfioUserClient client = ready();

        assertOk(client.map(0, PAGE, 0, READ_ONLY, memfd(PAGE)), HEADER_SIZE);

        DirectDma dma = new DirectDma(fixture.memory, fixture.guards.open());
        dma.enter();
        assertThat(dma.resolve(0, 4, Access.WRITE)).isEqualTo(Outcome.REFUSED);
        assertThat(dma.resolve(0, 4, Access.READ)).isEqualTo(Outcome.OK);
        dma.leave();
    }

    @Test
    void mapOverAnExistingRegionIsRefused() throws Exception {
        MockVfioUserClient client = ready();
        Fd memory = memfd(8 * PAGE);
        assertOk(client.map(2 * PAGE, 2 * PAGE, 0, RW, memory), HEADER_SIZE);

        assertError(client.map(2 * PAGE, 2 * PAGE, 0, RW, memory), Errno.EEXIST);
        assertError(client.map(PAGE, 2 * PAGE, 0, RW, memory), Errno.EEXIST);
        assertError(client.map(3 * PAGE, 4 * PAGE, 0, RW, memory), Errno.EEXIST);
        assertError(client.map(0, 8 * PAGE, 0, READ_ONLY), Errno.EEXIST);

        assertOk(client.map(4 * PAGE, PAGE, 0, RW, memory), HEADER_SIZE);
        assertThat(fixture.memory.regionCount()).isEqualTo(2);
        assertThat(Resources.now().mappings()).isEqualTo(before.mappings() + 2);
    }

    @Test
    void lastPageOfTheAddressSpaceCanBeMapped() throws Exception {
        MockVfioUserClient client = ready();

        assertOk(client.map(-PAGE, PAGE, 0, RW, memfd(PAGE)), HEADER_SIZE);

        fixture.memory.forEachRegion(region -> assertThat(region.gpaLast()).isEqualTo(-1L));
        assertThat(fixture.memory.regionCount()).isOne();
        assertOk(client.unmap(-PAGE, PAGE), HEADER_SIZE + DMA_UNMAP_SIZE);
        assertThat(fixture.memory.regionCount()).isZero();
    }

    @Test
    void mapAtTheLimitOfRegionsIsRefused() throws Exception {
        MockVfioUserClient client = ready();
        Fd memory = memfd(PAGE);
        for (long i = 0; i < ServerFixture.REGIONS; i++) {
            assertOk(client.map(i * PAGE, PAGE, 0, RW, memory), HEADER_SIZE);
        }

        assertError(client.map(1L << 40, PAGE, 0, RW, memory), Errno.ENOSPC);

        assertOk(client.unmap(0, PAGE), HEADER_SIZE + DMA_UNMAP_SIZE);
        assertOk(client.map(1L << 40, PAGE, 0, RW, memory), HEADER_SIZE);
    }

    @Test
    void mapAtTheLimitOfBytesIsRefused() throws Exception {
        fixture.close();
        fixture =
                new ServerFixture<>(
                        new SessionLimits(2 * PAGE, 64 << 10),
                        IdlePolicy.EVENT_DRIVEN,
                        _ -> new RecordingFunction());
        MockVfioUserClient client = ready();
        Fd memory = memfd(4 * PAGE);
        assertOk(client.map(0, PAGE, 0, RW, memory), HEADER_SIZE);

        assertError(client.map(PAGE, 2 * PAGE, 0, RW, memory), Errno.ENOSPC);

        assertOk(client.map(PAGE, PAGE, 0, RW, memory), HEADER_SIZE);
        assertError(client.map(2 * PAGE, PAGE, 0, RW, memory), Errno.ENOSPC);
        assertOk(client.unmap(0, PAGE), HEADER_SIZE + DMA_UNMAP_SIZE);
        assertOk(client.map(2 * PAGE, PAGE, 0, RW, memory), HEADER_SIZE);
    }

    static List<Arguments> badUnmaps() {
        return List.of(
                Arguments.of(unmapPayload(0, PAGE, 0), Errno.ENOENT),
                Arguments.of(unmapPayload(3 * PAGE, PAGE, 0), Errno.ENOENT),
                Arguments.of(unmapPayload(PAGE, PAGE, 0), Errno.EINVAL),
                Arguments.of(unmapPayload(2 * PAGE, 8 * PAGE, 0), Errno.EINVAL),
                Arguments.of(unmapPayload(0, 2 * PAGE, 0), Errno.EINVAL),
                Arguments.of(unmapPayload(PAGE, 0, 0), Errno.EINVAL),
                Arguments.of(unmapPayload(PAGE, 2 * PAGE + 1, 0), Errno.EINVAL),
                Arguments.of(unmapPayload(2 * PAGE, -PAGE, 0), Errno.EINVAL),
                Arguments.of(unmapPayload(PAGE, 2 * PAGE, 1), Errno.EINVAL),
                Arguments.of(unmapPayload(PAGE, 2 * PAGE, 2), Errno.EINVAL),
                Arguments.of(unmapPayload(0, 0, 3), Errno.EINVAL),
                Arguments.of(
                        payload(24).u32(23).u32(0).u64(PAGE).u64(2 * PAGE).array(), Errno.EINVAL));
    }

    @ParameterizedTest
    @MethodSource("badUnmaps")
    void unmapOfNothingOrOfAPartOfARegionIsRefused(byte[] payload, int errno) throws Exception {
        MockVfioUserClient client = ready();
        assertOk(client.map(PAGE, 2 * PAGE, 0, RW, memfd(2 * PAGE)), HEADER_SIZE);

        assertError(client.call(VFIO_USER_DMA_UNMAP, payload), errno);

        assertThat(fixture.memory.regionCount()).isOne();
    }

    @Test
    void unmapRepeatsTheRequestAndGivesTheMappingBack() throws Exception {
        MockVfioUserClient client = ready();
        assertOk(client.map(PAGE, 2 * PAGE, 0, RW, memfd(2 * PAGE)), HEADER_SIZE);
        assertThat(Resources.now().mappings()).isEqualTo(before.mappings() + 1);

        MockVfioUserClient.Reply reply = client.unmap(PAGE, 2 * PAGE);

        assertOk(reply, HEADER_SIZE + DMA_UNMAP_SIZE);
        ByteBuffer fields = reply.fields();
        assertThat(fields.getInt(DMA_UNMAP_ARGSZ)).isEqualTo(DMA_UNMAP_SIZE);
        assertThat(fields.getLong(DMA_UNMAP_ADDRESS)).isEqualTo(PAGE);
        assertThat(fields.getLong(DMA_UNMAP_BYTES)).isEqualTo(2 * PAGE);
        assertThat(Resources.now().mappings()).isEqualTo(before.mappings());
    }

    @Test
    void unmapTakesEveryRegionWithinItAsMemoryThatShrinksNeedsIt() throws Exception {
        MockVfioUserClient client = ready();
        Fd memory = memfd(8 * PAGE);
        for (long i = 0; i < 8; i++) {
            assertOk(client.map(i * PAGE, PAGE, i * PAGE, RW, memory), HEADER_SIZE);
        }

        assertOk(client.unmap(2 * PAGE, 4 * PAGE), HEADER_SIZE + DMA_UNMAP_SIZE);

        assertThat(fixture.memory.regionCount()).isEqualTo(4);
        assertThat(Resources.now().mappings()).isEqualTo(before.mappings() + 4);
        assertOk(client.map(2 * PAGE, 4 * PAGE, 2 * PAGE, RW, memory), HEADER_SIZE);
        assertError(client.unmap(PAGE, 2 * PAGE), Errno.EINVAL);
        assertOk(client.unmap(0, 100 * PAGE), HEADER_SIZE + DMA_UNMAP_SIZE);
        assertThat(fixture.memory.regionCount()).isZero();
        assertThat(Resources.now().mappings()).isEqualTo(before.mappings());
    }

    @Test
    void unmapTakesADescriptorAndClosesIt() throws Exception {
        MockVfioUserClient client = ready();
        Fd memory = memfd(PAGE);
        Resources open = Resources.now();
        assertOk(client.map(0, PAGE, 0, RW, memory), HEADER_SIZE);

        MockVfioUserClient.Reply reply =
                client.call(VFIO_USER_DMA_UNMAP, unmapPayload(0, PAGE, 0), memory);

        assertOk(reply, HEADER_SIZE + DMA_UNMAP_SIZE);
        assertOk(client.reset(), HEADER_SIZE); // what came with a message goes before the next one
        assertThat(Resources.now()).isEqualTo(open);
    }

    @Test
    void asManyRegionsAsVfioAllowsAreTakenAndNotOneMore() throws Exception {
        fixture.close();
        fixture =
                new ServerFixture<>(
                        GuestMemory.REGION_LIMIT,
                        SessionLimits.DEFAULT,
                        IdlePolicy.EVENT_DRIVEN,
                        System::nanoTime,
                        _ -> new RecordingFunction());
        MockVfioUserClient client = ready();
        for (long i = 0; i < 65_535; i++) {
            // Not waited for one by one, as QEMU does it.
            client.send(
                    VFIO_USER_DMA_MAP,
                    i % 256 == 0 ? 0 : FLAGS_NO_REPLY,
                    mapPayload(i * 2 * PAGE, PAGE, 0, RW));
            if (i % 256 == 0) {
                assertOk(client.receive(), HEADER_SIZE);
            }
        }

        assertError(client.map(1L << 40, PAGE, 0, RW), Errno.ENOSPC);

        assertThat(fixture.memory.regionCount()).isEqualTo(65_535);
        assertOk(client.unmap(0, 2 * PAGE), HEADER_SIZE + DMA_UNMAP_SIZE);
        assertOk(client.map(1L << 40, PAGE, 0, RW, memfd(PAGE)), HEADER_SIZE);
        assertOk(client.unmap(0, 1L << 41), HEADER_SIZE + DMA_UNMAP_SIZE);
        assertThat(fixture.memory.regionCount()).isZero();
    }

    @Test
    void unmapOfAllTakesEverything() throws Exception {
        MockVfioUserClient client = ready();
        for (long i = 0; i < 5; i++) {
            assertOk(client.map(i << 20, PAGE, 0, RW, memfd(PAGE)), HEADER_SIZE);
        }
        assertOk(client.map(1L << 40, PAGE, 0, READ_ONLY), HEADER_SIZE);

        assertOk(
                client.call(VFIO_USER_DMA_UNMAP, unmapPayload(0, 0, VFIO_DMA_UNMAP_FLAG_ALL)),
                HEADER_SIZE + DMA_UNMAP_SIZE);

        assertThat(fixture.memory.regionCount()).isZero();
        assertThat(Resources.now().mappings()).isEqualTo(before.mappings());
        assertOk(client.map(0, PAGE, 0, RW, memfd(PAGE)), HEADER_SIZE);
    }

    @Test
    void unmapIsAnsweredOnlyWhenNoAccessIsInTheRegion() throws Exception {
        MockVfioUserClient client = ready();
        Fd memory = memfd(PAGE);
        assertOk(client.map(0, PAGE, 0, RW, memory), HEADER_SIZE);
        Guard guard = fixture.guards.open();
        DirectDma dma = new DirectDma(fixture.memory, guard);
        dma.enter();
        assertThat(dma.resolve(0, PAGE, Access.WRITE)).isEqualTo(Outcome.OK);

        int unmap = client.send(VFIO_USER_DMA_UNMAP, 0, unmapPayload(0, PAGE, 0));
        int map = client.send(VFIO_USER_DMA_MAP, 0, mapPayload(0, PAGE, 0, RW), memory);
        fixture.await(() -> fixture.memory.regionCount() == 0);
        boolean wasSilent = client.isSilentFor(100);
        dma.segment().set(ValueLayout.JAVA_BYTE, dma.offset(), (byte) 5); // still mapped
        assertThat(Resources.now().mappings()).isEqualTo(before.mappings() + 1);
        dma.leave();

        assertThat(wasSilent).isTrue();
        assertThat(client.receive().id()).isEqualTo(unmap);
        MockVfioUserClient.Reply last = client.receive();
        assertThat(last.id()).isEqualTo(map);
        assertOk(last, HEADER_SIZE);
        assertThat(Resources.now().mappings()).isEqualTo(before.mappings() + 1);
    }

    @Test
    void clientThatClosesWhileAnUnmapWaitsIsCleanedUpWhenTheAccessEnds() throws Exception {
        DirectDma dma = new DirectDma(fixture.memory, fixture.guards.open());
        try (MockVfioUserClient client = fixture.ready()) {
            assertOk(client.map(0, PAGE, 0, RW, memfd(PAGE)), HEADER_SIZE);
            assertOk(client.map(PAGE, PAGE, 0, RW, memfd(PAGE)), HEADER_SIZE);
            dma.enter();
            client.send(VFIO_USER_DMA_UNMAP, 0, unmapPayload(0, PAGE, 0));
            fixture.await(() -> fixture.memory.regionCount() == 1);
        }
        fixture.await(() -> fixture.function.resets.get() == 1);
        MockVfioUserClient next = connect();
        next.send(VFIO_USER_VERSION, 0, versionPayload(0, 0, "{}\0"));

        assertThat(next.isSilentFor(50)).isTrue();
        assertThat(fixture.server.hasSession()).isTrue();
        assertThat(Resources.now().mappings()).isEqualTo(before.mappings() + 2);
        dma.leave();

        assertThat(next.receive().isError()).isFalse();
        assertThat(Resources.now().mappings()).isEqualTo(before.mappings());
    }

    @Test
    void closingWhileAccessesAreLiveNeverTouchesMemoryThatIsGone() throws Exception {
        DirectDma dma = new DirectDma(fixture.memory, fixture.guards.open());
        CountDownLatch stop = new CountDownLatch(1);
        MemorySegment data = Arena.ofAuto().allocate(4 * PAGE);
        List<Throwable> failures = new ArrayList<>();
        long[] copies = new long[1];
        Thread device =
                Thread.ofPlatform()
                        .start(() -> {
                            try {
                                while (stop.getCount() > 0) {
                                    dma.enter();
                                    if (dma.write(0, data, 0, 4 * PAGE) == Outcome.OK) {
                                        copies[0]++;
                                    }
                                    dma.leave();
                                }
                            } catch (Throwable t) {
                                failures.add(t);
                            }
                        });
        Fd memory = memfd(4 * PAGE);

        for (int i = 0; i < 200; i++) {
            try (MockVfioUserClient client = fixture.ready()) {
                assertOk(client.map(0, 4 * PAGE, 0, RW, memory), HEADER_SIZE);
                if (i % 2 == 0) {
                    assertOk(client.unmap(0, 4 * PAGE), HEADER_SIZE + DMA_UNMAP_SIZE);
                    assertOk(client.map(0, 4 * PAGE, 0, RW, memory), HEADER_SIZE);
                }
            }
            fixture.awaitNoSession();
        }
        stop.countDown();
        device.join();

        assertThat(failures).isEmpty();
        assertThat(copies[0]).isPositive();
    }

    @Test
    void memoryChangeIsToldAfterEachMapThatWorked() throws Exception {
        MockVfioUserClient client = ready();

        client.map(0, PAGE, 0, RW, memfd(PAGE));
        client.map(0, PAGE, 0, RW, memfd(PAGE));
        client.map(PAGE, PAGE, 0, READ_ONLY);
        client.unmap(0, PAGE);

        assertThat(fixture.function.memoryChanges).hasValue(2);
    }

    // Information.

    @Test
    void deviceInfoNamesRegionsAndInterruptTypes() throws Exception {
        MockVfioUserClient client = ready();

        MockVfioUserClient.Reply reply =
                client.call(VFIO_USER_DEVICE_GET_INFO, payload(16).u32(16).array());

        assertOk(reply, 32);
        assertThat(reply.fields().getInt(DEVICE_INFO_ARGSZ)).isEqualTo(16);
        assertThat(reply.fields().getInt(DEVICE_INFO_FLAGS)).isEqualTo(3);
        assertThat(reply.fields().getInt(DEVICE_INFO_NUM_REGIONS)).isEqualTo(9);
        assertThat(reply.fields().getInt(DEVICE_INFO_NUM_IRQS)).isEqualTo(5);
    }

    @Test
    void deviceInfoWithTooLittleRoomIsRefused() throws Exception {
        MockVfioUserClient client = ready();

        assertError(
                client.call(VFIO_USER_DEVICE_GET_INFO, payload(16).u32(15).array()), Errno.EINVAL);
        assertError(
                client.call(VFIO_USER_DEVICE_GET_REGION_INFO, payload(32).u32(31).array()),
                Errno.EINVAL);
        assertError(
                client.call(VFIO_USER_DEVICE_GET_IRQ_INFO, payload(16).u32(15).array()),
                Errno.EINVAL);
    }

    @Test
    void regionInfoTellsSizesAndRefusesUnknownRegions() throws Exception {
        MockVfioUserClient client = ready();
        long[] sizes = {4096, 0, 0, 0, 0, 0, 0, 256, 0};

        for (int index = 0; index < sizes.length; index++) {
            MockVfioUserClient.Reply reply =
                    client.call(
                            VFIO_USER_DEVICE_GET_REGION_INFO,
                            payload(32).u32(32).u32(0).u32(index).array());
            assertOk(reply, 48);
            assertThat(reply.fields().getInt(REGION_INFO_INDEX)).isEqualTo(index);
            assertThat(reply.fields().getLong(REGION_INFO_BYTES)).isEqualTo(sizes[index]);
            assertThat(reply.fields().getInt(REGION_INFO_FLAGS))
                    .isEqualTo(sizes[index] == 0 ? 0 : 3);
        }
        for (int index : new int[] {9, 100, -1, Integer.MIN_VALUE}) {
            assertError(
                    client.call(
                            VFIO_USER_DEVICE_GET_REGION_INFO,
                            payload(32).u32(32).u32(0).u32(index).array()),
                    Errno.EINVAL);
        }
    }

    @Test
    void irqInfoTellsCountsAndRefusesUnknownTypes() throws Exception {
        MockVfioUserClient client = ready();

        for (int index = 0; index < 5; index++) {
            MockVfioUserClient.Reply reply =
                    client.call(
                            VFIO_USER_DEVICE_GET_IRQ_INFO,
                            payload(16).u32(16).u32(0).u32(index).array());
            assertOk(reply, 32);
            assertThat(reply.fields().getInt(IRQ_INFO_COUNT))
                    .isEqualTo(index == MSIX ? RecordingFunction.VECTORS : 0);
        }
        for (int index : new int[] {5, -1}) {
            assertError(
                    client.call(
                            VFIO_USER_DEVICE_GET_IRQ_INFO,
                            payload(16).u32(16).u32(0).u32(index).array()),
                    Errno.EINVAL);
        }
    }

    // Registers.

    static List<Arguments> badAccesses() {
        return List.of(
                Arguments.of(BAR, 4096, 1),
                Arguments.of(BAR, 4093, 4),
                Arguments.of(BAR, -1, 1),
                Arguments.of(BAR, -4, 8),
                Arguments.of(BAR, Long.MAX_VALUE, 4),
                Arguments.of(BAR, Long.MIN_VALUE, 4),
                Arguments.of(BAR, 0, 3),
                Arguments.of(BAR, 0, 16),
                Arguments.of(CONFIG, 256, 1),
                Arguments.of(CONFIG, 255, 2),
                Arguments.of(CONFIG, 1, 256),
                Arguments.of(1, 0, 4),
                Arguments.of(6, 0, 4),
                Arguments.of(8, 0, 4),
                Arguments.of(9, 0, 4),
                Arguments.of(-1, 0, 4),
                Arguments.of(Integer.MIN_VALUE, 0, 4));
    }

    @ParameterizedTest
    @MethodSource("badAccesses")
    void accessOutsideOfARegionIsRefused(int region, long offset, int count) throws Exception {
        MockVfioUserClient client = ready();

        assertError(client.readRegion(region, offset, count), Errno.EINVAL);
        assertError(
                client.call(
                        VFIO_USER_REGION_WRITE,
                        accessPayload(region, offset, count, new byte[count])),
                Errno.EINVAL);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, -1, Codec.DATA_MAX + 1, Integer.MIN_VALUE, Integer.MAX_VALUE})
    void readOfImpossibleCountIsRefused(int count) throws Exception {
        MockVfioUserClient client = ready();

        assertError(client.readRegion(CONFIG, 0, count), Errno.EINVAL);
    }

    @Test
    void writeWhoseCountIsNotItsDataIsRefused() throws Exception {
        MockVfioUserClient client = ready();

        for (int count : new int[] {0, 3, 5, -1, 1 << 30}) {
            assertError(
                    client.call(VFIO_USER_REGION_WRITE, accessPayload(BAR, 0, count, bytes(4, -1))),
                    Errno.EINVAL);
        }
        assertError(
                client.call(VFIO_USER_REGION_WRITE, accessPayload(BAR, 0, 0, new byte[0])),
                Errno.EINVAL);

        assertThat(client.read(BAR, 0, 4)).isZero();
    }

    @Test
    void registersOfEveryWidthAreReadAndWritten() throws Exception {
        MockVfioUserClient client = ready();
        for (int size : new int[] {1, 2, 4, 8}) {
            long value = 0x8182838485868788L >>> (64 - 8 * size);
            MockVfioUserClient.Reply reply = client.write(BAR, 8, size, value);
            assertOk(reply, HEADER_SIZE + REGION_ACCESS_DATA);
            assertThat(reply.fields().getInt(REGION_ACCESS_COUNT)).isEqualTo(size);
            assertThat(client.read(BAR, 8, size)).isEqualTo(value);
        }
        assertOk(client.write(CONFIG, 4, 2, 0x1234), HEADER_SIZE + REGION_ACCESS_DATA);
        MockVfioUserClient.Reply whole = client.readRegion(CONFIG, 0, 256);
        assertOk(whole, HEADER_SIZE + REGION_ACCESS_DATA + 256);
        assertThat(whole.fields().getShort(REGION_ACCESS_DATA + 4)).isEqualTo((short) 0x1234);
        MockVfioUserClient.Reply odd = client.readRegion(CONFIG, 3, 5);
        assertThat(Arrays.copyOfRange(odd.data(), 16, 21)).containsExactly(0, 0x34, 0x12, 0, 0);
    }

    /** Writes of one message: region, offset, bytes and value of each, in {@code room} for them. */
    private static byte[] writesPayload(long count, int room, long[]... writes) {
        Payload all = payload(WRITE_MULTI_WRITES + room * WRITE_MULTI_WRITE_SIZE).u64(count);
        for (long[] write : writes) {
            all.u64(write[1]).u32((int) write[0]).u32((int) write[2]).u64(write[3]);
        }
        return all.array();
    }

    @Test
    void writesOfOneMessageAreDoneInOrderAndCounted() throws Exception {
        MockVfioUserClient client = ready();
        long[][] writes = {{BAR, 0x20, 4, 1}, {BAR, 0x20, 2, 0x22}, {CONFIG, 4, 2, 0x1234}};

        MockVfioUserClient.Reply reply =
                client.call(VFIO_USER_REGION_WRITE_MULTI, writesPayload(3, 3, writes));

        assertOk(reply, HEADER_SIZE + WRITE_MULTI_WRITES);
        assertThat(reply.fields().getLong(WRITE_MULTI_COUNT)).isEqualTo(3);
        assertThat(client.read(BAR, 0x20, 4)).isEqualTo(0x22);
        assertThat(client.read(CONFIG, 4, 2)).isEqualTo(0x1234);
    }

    /** As QEMU sends them: posted, and with room for all that there may be. */
    @Test
    void asManyWritesAsTheLimitAreDoneAndNotOneMore() throws Exception {
        MockVfioUserClient client = ready();
        long[][] writes = new long[Codec.WRITES_MAX][];
        for (int i = 0; i < writes.length; i++) {
            writes[i] = new long[] {BAR, 8L * i, 8, i + 1L};
        }
        client.send(
                VFIO_USER_REGION_WRITE_MULTI,
                FLAGS_NO_REPLY,
                writesPayload(writes.length, Codec.WRITES_MAX, writes));
        for (int i = 0; i < writes.length; i++) {
            assertThat(client.read(BAR, 8L * i, 8)).isEqualTo(i + 1L);
        }
        for (long count : new long[] {0, 201, -1, Long.MIN_VALUE, 1L << 32}) {
            assertError(
                    client.call(
                            VFIO_USER_REGION_WRITE_MULTI,
                            writesPayload(count, Codec.WRITES_MAX, writes)),
                    Errno.EINVAL);
        }
        assertError(
                client.call(VFIO_USER_REGION_WRITE_MULTI, writesPayload(2, 1, writes[0])),
                Errno.EINVAL);
        assertError(client.call(VFIO_USER_REGION_WRITE_MULTI, new byte[7]), Errno.EINVAL);
        for (long bytes : new long[] {0, 9, -1}) {
            assertError(
                    client.call(
                            VFIO_USER_REGION_WRITE_MULTI,
                            writesPayload(
                                    2,
                                    2,
                                    new long[] {BAR, 0, 8, 99},
                                    new long[] {BAR, 0, bytes, 9})),
                    Errno.EINVAL);
        }
        assertThat(client.read(BAR, 0, 8)).as("nothing of what is refused").isOne();
    }

    @Test
    void whatIsWrittenBehindAWriteThatIsRefusedIsNotAndTheAnswerSaysHowManyWere() throws Exception {
        MockVfioUserClient client = ready();

        MockVfioUserClient.Reply reply =
                client.call(
                        VFIO_USER_REGION_WRITE_MULTI,
                        writesPayload(
                                3,
                                3,
                                new long[] {BAR, 0, 4, 1},
                                new long[] {BAR, 0x9999, 4, 2},
                                new long[] {BAR, 8, 4, 3}));

        assertOk(reply, HEADER_SIZE + WRITE_MULTI_WRITES);
        assertThat(reply.fields().getLong(WRITE_MULTI_COUNT)).isOne();
        assertThat(client.read(BAR, 0, 4)).isOne();
        assertThat(client.read(BAR, 8, 4)).isZero();
        assertError(
                client.call(
                        VFIO_USER_REGION_WRITE_MULTI,
                        writesPayload(1, 1, new long[] {77, 0, 4, 1})),
                Errno.EINVAL);
    }

    @Test
    void writeOfMoreBytesThanWeSayIsRefused() throws Exception {
        MockVfioUserClient client = ready();
        byte[] data = new byte[Codec.DATA_MAX + 1];
        assertError(
                client.call(VFIO_USER_REGION_WRITE, accessPayload(CONFIG, 0, data.length, data)),
                Errno.EINVAL);
    }

    @Test
    void postedWritesAreNotAnsweredEvenIfTheyAreWrong() throws Exception {
        MockVfioUserClient client = ready();

        client.post(BAR, 0x20, 4, 42);
        client.post(BAR, 0x9999, 4, 1);
        client.post(77, 0, 4, 1);

        assertThat(client.read(BAR, 0x20, 4)).isEqualTo(42);
    }

    @Test
    void resetResetsTheFunction() throws Exception {
        MockVfioUserClient client = ready();

        assertOk(client.reset(), HEADER_SIZE);

        assertThat(fixture.function.resets).hasValue(1);
    }

    private void settle() {
        fixture.loop.execute(fixture.function::settle);
    }

    @Test
    void resetIsAnsweredWhenItHasAllOfItsEffect() throws Exception {
        MockVfioUserClient client = ready();
        fixture.function.isLate = true;

        int reset = client.send(VFIO_USER_DEVICE_RESET, 0, new byte[0]);
        int info = client.send(VFIO_USER_DEVICE_GET_INFO, 0, payload(16).u32(16).array());
        fixture.await(() -> fixture.function.unsettled.size() == 1);
        boolean wasSilent = client.isSilentFor(100);
        settle();

        assertThat(wasSilent).isTrue();
        MockVfioUserClient.Reply first = client.receive();
        assertThat(first.id()).isEqualTo(reset);
        assertOk(first, HEADER_SIZE);
        assertThat(client.receive().id()).as("nothing overtakes it").isEqualTo(info);
    }

    @Test
    void postedWriteThatIsNotInEffectHoldsUpWhatComesAfterIt() throws Exception {
        MockVfioUserClient client = ready();
        fixture.function.isLate = true;

        client.post(BAR, 0x20, 4, 1);
        int info = client.send(VFIO_USER_DEVICE_GET_INFO, 0, payload(16).u32(16).array());
        fixture.await(() -> fixture.function.unsettled.size() == 1);
        boolean wasSilent = client.isSilentFor(100);
        settle();

        assertThat(wasSilent).isTrue();
        assertThat(client.receive().id()).isEqualTo(info);
    }

    @Test
    void nextClientIsServedWhenTheResetOfTheOneBeforeHasAllOfItsEffect() throws Exception {
        MockVfioUserClient client = ready();
        fixture.function.isLate = true;
        client.close();
        fixture.await(() -> fixture.function.unsettled.size() == 1);
        boolean wasThere = fixture.server.hasSession();

        settle();

        assertThat(wasThere).isTrue();
        fixture.awaitNoSession();
        assertOk(ready().reset(), HEADER_SIZE);
    }

    @Test
    void unmapIsAnsweredOnlyWhenWhoListensHasLetGo() throws Exception {
        Queue<Runnable> owed = new ConcurrentLinkedQueue<>();
        fixture.loop.execute(() ->
                fixture.memory.listen(
                        new MemoryListener() {
                            @Override
                            public void appeared(Region region) {
                                // Nothing waits for that.
                            }

                            @Override
                            public void vanished(long gpaFirst, long gpaLast, Runnable letGo) {
                                owed.add(letGo);
                            }
                        }));
        MockVfioUserClient client = ready();
        assertOk(client.map(0, PAGE, 0, RW, memfd(PAGE)), HEADER_SIZE);

        int unmap = client.send(VFIO_USER_DMA_UNMAP, 0, unmapPayload(0, PAGE, 0));
        fixture.await(() -> owed.size() == 1);
        boolean wasSilent = client.isSilentFor(100);
        assertThat(Resources.now().mappings()).isEqualTo(before.mappings() + 1);
        fixture.loop.execute(owed.remove());

        assertThat(wasSilent).isTrue();
        assertThat(client.receive().id()).isEqualTo(unmap);
        assertThat(Resources.now().mappings()).isEqualTo(before.mappings());
    }

    // Interrupts.

    static List<Arguments> badIrqs() {
        return List.of(
                Arguments.of(irqPayload(EVENTFD_TRIGGER, MSIX, 0, 4), 0),
                Arguments.of(irqPayload(EVENTFD_TRIGGER, MSIX, 3, 1), 1),
                Arguments.of(irqPayload(EVENTFD_TRIGGER, MSIX, 0, 0), 0),
                Arguments.of(irqPayload(EVENTFD_TRIGGER, MSIX, 0, 2), 1),
                Arguments.of(irqPayload(EVENTFD_TRIGGER, MSIX, 0, 1), 2),
                Arguments.of(irqPayload(EVENTFD_TRIGGER, MSIX, -1, 2), 0),
                Arguments.of(irqPayload(EVENTFD_TRIGGER, MSIX, 1, -1), 0),
                Arguments.of(irqPayload(EVENTFD_TRIGGER, 0, 0, 1), 1),
                Arguments.of(irqPayload(EVENTFD_TRIGGER, 5, 0, 1), 1),
                Arguments.of(irqPayload(EVENTFD_TRIGGER, -1, 0, 1), 0),
                Arguments.of(irqPayload(NONE_TRIGGER, MSIX, 1, 0), 0),
                Arguments.of(irqPayload(NONE_TRIGGER, MSIX, 0, 1), 1),
                Arguments.of(irqPayload(NONE_TRIGGER, 7, 0, 0), 0),
                Arguments.of(irqPayload(0x09, MSIX, 0, 1), 0),
                Arguments.of(irqPayload(0x11, MSIX, 0, 1), 0),
                Arguments.of(irqPayload(0x23, MSIX, 0, 1), 0),
                Arguments.of(irqPayload(0x27, MSIX, 0, 1), 0),
                Arguments.of(irqPayload(0x20, MSIX, 0, 1), 0),
                Arguments.of(irqPayload(0x61, MSIX, 0, 1), 0),
                Arguments.of(irqPayload(0x22, MSIX, 0, 2, (byte) 1), 0),
                Arguments.of(payload(20).u32(19).u32(0x21).u32(2).array(), 0));
    }

    @ParameterizedTest
    @MethodSource("badIrqs")
    void setIrqsThatMakesNoSenseIsRefusedAndChangesNothing(byte[] payload, int fdCount)
            throws Exception {
        MockVfioUserClient client = ready();
        EventFd first = eventFd();
        EventFd other = eventFd();
        assertOk(client.setIrqs(EVENTFD_TRIGGER, MSIX, 0, 1, fd(first)), HEADER_SIZE);
        Fd[] fds = new Fd[fdCount];
        for (int i = 0; i < fdCount; i++) {
            fds[i] = fd(other);
        }

        assertError(client.call(VFIO_USER_DEVICE_SET_IRQS, payload, fds), Errno.EINVAL);

        fixture.function.sink.trigger(0);
        assertThat(first.drain()).isOne();
        assertThat(other.drain()).isZero();
    }

    @Test
    void descriptorThatIsNoEventFdIsRefusedAndChangesNothing() throws Exception {
        MockVfioUserClient client = ready();
        EventFd good = eventFd();
        assertOk(client.setIrqs(EVENTFD_TRIGGER, MSIX, 0, 1, fd(good)), HEADER_SIZE);
        EventFd other = eventFd();

        assertError(
                client.setIrqs(EVENTFD_TRIGGER, MSIX, 0, 2, fd(other), memfd(PAGE)), Errno.EINVAL);

        fixture.function.sink.trigger(0);
        assertThat(good.drain()).isOne();
        assertThat(other.drain()).isZero();
    }

    @Test
    void vectorsAreSetUpAndTakenDownAsQemuDoesIt() throws Exception {
        MockVfioUserClient client = ready();
        EventFd first = eventFd();
        EventFd second = eventFd();

        // guest.md 5.5 in the order seen: enable without a descriptor, then one vector at a time.
        assertOk(client.setIrqs(EVENTFD_TRIGGER, MSIX, 0, 1), HEADER_SIZE);
        fixture.function.sink.trigger(0);
        assertOk(client.setIrqs(EVENTFD_TRIGGER, MSIX, 0, 1, fd(first)), HEADER_SIZE);
        assertOk(client.setIrqs(EVENTFD_TRIGGER, MSIX, 1, 1, fd(second)), HEADER_SIZE);
        fixture.function.sink.trigger(0);
        fixture.function.sink.trigger(1);
        fixture.function.sink.trigger(1);
        fixture.function.sink.trigger(2);
        assertThat(first.drain()).isOne();
        assertThat(second.drain()).isEqualTo(2);

        assertOk(client.setIrqs(NONE_TRIGGER, MSIX, 0, 0), HEADER_SIZE);
        fixture.function.sink.trigger(0);
        fixture.function.sink.trigger(1);
        assertThat(first.drain()).isZero();
        assertThat(second.drain()).isZero();
    }

    @Test
    void vectorWithoutDescriptorInAnEventFdMessageIsTakenAway() throws Exception {
        MockVfioUserClient client = ready();
        EventFd first = eventFd();
        EventFd second = eventFd();
        assertOk(client.setIrqs(EVENTFD_TRIGGER, MSIX, 0, 2, fd(first), fd(second)), HEADER_SIZE);

        assertOk(client.setIrqs(EVENTFD_TRIGGER, MSIX, 0, 1), HEADER_SIZE);

        fixture.function.sink.trigger(0);
        fixture.function.sink.trigger(1);
        assertThat(first.drain()).isZero();
        assertThat(second.drain()).isOne();
    }

    @Test
    void clientCanTriggerVectorsItself() throws Exception {
        MockVfioUserClient client = ready();
        EventFd first = eventFd();
        EventFd second = eventFd();
        assertOk(client.setIrqs(EVENTFD_TRIGGER, MSIX, 0, 2, fd(first), fd(second)), HEADER_SIZE);

        assertOk(client.setIrqs(NONE_TRIGGER, MSIX, 0, 2), HEADER_SIZE);
        byte[] onlySecond = irqPayload(0x22, MSIX, 0, 3, (byte) 0, (byte) 1, (byte) 1);
        assertOk(client.call(VFIO_USER_DEVICE_SET_IRQS, onlySecond), HEADER_SIZE);

        assertThat(first.drain()).isOne();
        assertThat(second.drain()).isEqualTo(2);
    }

    @Test
    void disablingTypesThatAreNotThereIsHarmless() throws Exception {
        MockVfioUserClient client = ready();

        for (int index = 0; index < 5; index++) {
            assertOk(client.setIrqs(NONE_TRIGGER, index, 0, 0), HEADER_SIZE);
        }
    }

    @Test
    void vectorsOfAClientThatIsGoneAreClosed() throws Exception {
        EventFd first = eventFd();
        try (MockVfioUserClient client = fixture.ready()) {
            assertOk(client.setIrqs(EVENTFD_TRIGGER, MSIX, 0, 1, fd(first)), HEADER_SIZE);
        }
        fixture.awaitNoSession();

        fixture.function.sink.trigger(0);

        assertThat(first.drain()).isZero();
        assertThat(fixture.function.resets).hasValue(1);
    }

    // Sessions.

    @Test
    void secondClientIsClosedAndTheFirstGoesOn() throws Exception {
        MockVfioUserClient first = ready();

        MockVfioUserClient second = connect();
        second.awaitClose();

        assertOk(first.reset(), HEADER_SIZE);
        assertThat(fixture.server.refusedCount()).isOne();
        String us = "process %d (java)".formatted(ProcessHandle.current().pid());
        assertThat(fixture.log.lines())
                .containsExactly(
                        "WARNING %s: %s is refused: %s is being served"
                                .formatted(fixture.server.path(), us, us));
        first.close();
        fixture.awaitNoSession();
    }

    @Test
    void secondClientIsClosedAfterATurnOfAsManyMessagesAsOneMayHave() throws Exception {
        MockVfioUserClient first = ready();
        byte[] burst = new byte[0];
        for (int i = 0; i < Session.MESSAGES_PER_TURN; i++) {
            byte[] one =
                    message(
                            i,
                            VFIO_USER_REGION_WRITE,
                            FLAGS_NO_REPLY,
                            accessPayload(BAR, 0, 4, new byte[4]));
            burst = Arrays.copyOf(burst, burst.length + one.length);
            System.arraycopy(one, 0, burst, burst.length - one.length, one.length);
        }
        // While the loop is at something else, so that one turn finds them all.
        CountDownLatch isSent = new CountDownLatch(1);
        fixture.loop.execute(() -> awaitUninterruptibly(isSent));
        first.sendBytes(burst);
        isSent.countDown();

        MockVfioUserClient second = connect();
        second.awaitClose();

        assertThat(fixture.server.refusedCount()).isOne();
        assertOk(first.reset(), HEADER_SIZE);
    }

    private static void awaitUninterruptibly(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void clientsComeAndGoOneRightAfterTheOther() throws Exception {
        Fd memory = memfd(PAGE);
        for (int i = 0; i < 100; i++) {
            // No wait in between: the server must see that the last one is gone before the next.
            try (MockVfioUserClient client = fixture.ready()) {
                assertOk(client.map(0, PAGE, 0, RW, memory), HEADER_SIZE);
                client.post(BAR, 0, 4, i);
            }
        }
        fixture.awaitNoSession();

        assertThat(fixture.server.sessionCount()).isEqualTo(100);
        assertThat(fixture.server.refusedCount()).isZero();
        assertThat(fixture.function.resets).hasValue(100);
    }

    @Test
    void nextClientSeesNothingOfTheOneBefore() throws Exception {
        StreamBuffers buffers =
                new StreamBuffers(
                        Codec.MESSAGE_MAX,
                        Codec.MESSAGE_MAX,
                        SessionLimits.DEFAULT.outputBytes(),
                        Codec.LARGE_MAX);
        buffers.input().fill((byte) 1);
        buffers.reply().fill((byte) 1);
        buffers.large().fill((byte) 1);

        buffers.clear();

        assertThat(buffers.input().toArray(ValueLayout.JAVA_BYTE)).containsOnly(0);
        assertThat(buffers.reply().toArray(ValueLayout.JAVA_BYTE)).containsOnly(0);
        assertThat(buffers.large().mismatch(MemorySegment.ofArray(new byte[Codec.LARGE_MAX])))
                .isEqualTo(-1);
        assertThat(buffers.output().byteSize()).isEqualTo(SessionLimits.DEFAULT.outputBytes());
    }

    @Test
    void sessionThatIsEndedForWhatItsClientSentIsInTheLogAndOneThatJustEndsIsNot()
            throws Exception {
        try (MockVfioUserClient polite = fixture.ready()) {
            assertThat(polite.read(CONFIG, 0, 2)).isNotNegative();
        }
        fixture.awaitNoSession();
        assertThat(fixture.log.lines()).noneMatch(line -> line.startsWith("WARNING"));
        MockVfioUserClient client = ready();

        client.sendBytes(message(9, VFIO_USER_DEVICE_RESET, 0, 3, new byte[0]));
        client.awaitClose();
        fixture.awaitNoSession();

        assertThat(fixture.log.lines().stream().filter(line -> line.startsWith("WARNING")))
                .containsExactly(
                        "WARNING %s: the session with process %d (java) has ended: message of 3 bytes, not 16..%d"
                                .formatted(
                                        fixture.server.path(),
                                        ProcessHandle.current().pid(),
                                        Codec.MESSAGE_MAX));
    }

    @Test
    void exceptionOfTheFunctionEndsTheSessionAndNotTheLoop() throws Exception {
        MockVfioUserClient client = ready();
        fixture.function.hook =
                () -> {
                    throw new IllegalStateException("planted");
                };

        client.post(BAR, RecordingFunction.HOOK, 4, 1);

        client.awaitClose();
        fixture.awaitNoSession();
        assertThat(fixture.server.lastReason()).contains("planted");
        assertThat(fixture.loop.failures()).isOne();
        assertThat(fixture.loop.dump()).contains("planted");
        fixture.close();
        fixture = ServerFixture.plain();
    }

    @Test
    void truncatedMemoryEndsTheSessionAndTheNextClientIsServed() throws Exception {
        MockVfioUserClient client = ready();
        Fd memory = memfd(4 * PAGE);
        assertOk(client.map(0, 4 * PAGE, 0, RW, memory), HEADER_SIZE);
        DirectDma dma = new DirectDma(fixture.memory, fixture.guards.open());
        MemorySegment target = Arena.ofAuto().allocate(4 * PAGE);
        fixture.function.hook =
                () -> {
                    dma.enter();
                    try {
                        dma.read(0, target, 0, 4 * PAGE);
                    } finally {
                        dma.leave();
                    }
                };
        client.post(BAR, RecordingFunction.HOOK, 4, 1);
        assertOk(client.reset(), HEADER_SIZE);
        Path file = Path.of("/proc/self/fd/" + memory.number());
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
            channel.truncate(PAGE);
        }

        client.post(BAR, RecordingFunction.HOOK, 4, 1);

        client.awaitClose();
        fixture.awaitNoSession();
        assertThat(fixture.server.lastReason()).contains("memory cannot be accessed");
    }

    @Test
    void sessionThatIsEndedFromOutsideIsCleanedUp() throws Exception {
        MockVfioUserClient client = ready();
        assertOk(client.map(0, PAGE, 0, RW, memfd(PAGE)), HEADER_SIZE);

        fixture.loop.execute(() -> fixture.server.endSession("a lease cannot be taken back"));

        client.awaitClose();
        fixture.awaitNoSession();
        assertThat(fixture.server.lastReason()).isEqualTo("a lease cannot be taken back");
    }

    @Test
    void serverThatClosesEndsItsSessionAndRemovesItsSocket() throws Exception {
        MockVfioUserClient client = ready();
        assertOk(client.map(0, PAGE, 0, RW, memfd(PAGE)), HEADER_SIZE);

        fixture.server.close();
        fixture.server.close();

        client.awaitClose();
        assertThat(fixture.server.path()).doesNotExist();
        assertThat(Resources.now().mappings()).isEqualTo(before.mappings());
        fixture.close();
        fixture = ServerFixture.plain();
    }

    private void fill(Fd fd, long offset, byte value) throws ErrnoException {
        try (Mapping mapping = Mapping.map(fd, offset, PAGE, true)) {
            mapping.segment().fill(value);
        }
    }

    private byte guestByte(long gpa) {
        DirectDma dma = new DirectDma(fixture.memory, fixture.guards.open());
        MemorySegment target = Arena.ofAuto().allocate(1);
        dma.enter();
        try {
            assertThat(dma.read(gpa, target, 0, 1)).isEqualTo(Outcome.OK);
        } finally {
            dma.leave();
        }
        return target.get(ValueLayout.JAVA_BYTE, 0);
    }
}
