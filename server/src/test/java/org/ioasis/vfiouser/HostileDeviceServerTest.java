// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.spec.VfioUser.*;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.EventFd;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Memfd;
import org.ioasis.vfiouser.ScriptedDevice.Asked;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A device server that answers late, twice, never or wrongly, and dies: its session ends with a
 * word on why, others go on, and the device can come again. What it gives us is given back.
 */
@Timeout(60)
class HostileDeviceServerTest {
    private static final int WAIT_MILLIS = 10_000;

    /** What it does instead of answering, and what is said of it. */
    enum Lie {
        DIES("it has closed") {
            @Override
            void instead(ScriptedDevice device, Asked asked) {
                device.hangUp();
            }
        },
        DIES_IN_AN_ANSWER("it has closed") {
            @Override
            void instead(ScriptedDevice device, Asked asked) throws IOException {
                byte[] all = ScriptedDevice.message(asked, FLAGS_TYPE_REPLY, 0, new byte[20]);
                device.sendBytes(Arrays.copyOf(all, 20));
                device.hangUp();
            }
        },
        ANSWERS_TWICE("an answer to nothing that was asked") {
            @Override
            void instead(ScriptedDevice device, Asked asked) throws IOException {
                device.answer(asked, right(asked));
                device.answer(asked, right(asked));
            }
        },
        ANSWERS_ANOTHER("an answer to nothing that was asked") {
            @Override
            void instead(ScriptedDevice device, Asked asked) throws IOException {
                Asked other =
                        new Asked(asked.id() ^ 0x4000, asked.command(), 0, asked.payload(), 0);
                device.answer(other, right(asked));
            }
        },
        ANSWERS_WHERE_IT_ASKS("an answer to nothing that was asked") {
            @Override
            void instead(ScriptedDevice device, Asked asked) throws IOException {
                device.ask(ScriptedDevice.message(asked, FLAGS_TYPE_REPLY, 0, right(asked)));
            }
        },
        ANSWERS_ANOTHER_COMMAND("an answer to command ") {
            @Override
            void instead(ScriptedDevice device, Asked asked) throws IOException {
                Asked other =
                        new Asked(
                                asked.id(),
                                asked.command() == VFIO_USER_DEVICE_RESET
                                        ? VFIO_USER_REGION_READ
                                        : VFIO_USER_DEVICE_RESET,
                                0,
                                asked.payload(),
                                0);
                device.answer(other, right(asked));
            }
        },
        IS_OF_NO_TYPE("a message of unknown type 2") {
            @Override
            void instead(ScriptedDevice device, Asked asked) throws IOException {
                device.sendBytes(ScriptedDevice.message(asked, 2, 0, right(asked)));
            }
        },
        IS_TOO_LONG("a message of 2147483647 bytes") {
            @Override
            void instead(ScriptedDevice device, Asked asked) throws IOException {
                byte[] all = ScriptedDevice.message(asked, FLAGS_TYPE_REPLY, 0, right(asked));
                Arrays.fill(all, HEADER_MESSAGE_SIZE, HEADER_MESSAGE_SIZE + 3, (byte) 0xff);
                all[HEADER_MESSAGE_SIZE + 3] = 0x7f;
                device.sendBytes(all);
            }
        },
        IS_TOO_SHORT("a message of 15 bytes") {
            @Override
            void instead(ScriptedDevice device, Asked asked) throws IOException {
                byte[] all = ScriptedDevice.message(asked, FLAGS_TYPE_REPLY, 0, right(asked));
                Arrays.fill(all, HEADER_MESSAGE_SIZE, HEADER_MESSAGE_SIZE + 4, (byte) 0);
                all[HEADER_MESSAGE_SIZE] = HEADER_SIZE - 1;
                device.sendBytes(all);
            }
        },
        SENDS_DESCRIPTORS("it sends descriptors") {
            @Override
            void instead(ScriptedDevice device, Asked asked) throws IOException {
                try (Fd file = Memfd.create("ioasis-unwanted", 4096)) {
                    device.sendBytes(
                            ScriptedDevice.message(asked, FLAGS_TYPE_REPLY, 0, right(asked)), file);
                }
            }
        },
        ANSWERS_NEVER("no answer to ") {
            @Override
            void instead(ScriptedDevice device, Asked asked) {}
        };

        private final String said;

        Lie(String said) {
            this.said = said;
        }

        abstract void instead(ScriptedDevice device, Asked asked) throws IOException;

        private static byte[] right(Asked asked) {
            return switch (asked.command()) {
                case VFIO_USER_REGION_READ ->
                        Arrays.copyOf(
                                asked.payload(),
                                REGION_ACCESS_DATA + asked.fields().getInt(REGION_ACCESS_COUNT));
                case VFIO_USER_REGION_WRITE -> Arrays.copyOf(asked.payload(), REGION_ACCESS_DATA);
                default -> new byte[0];
            };
        }
    }

    @ParameterizedTest
    @EnumSource(Lie.class)
    void whatItDoesAtAnyCommandEndsItsSessionAndNoOther(Lie lie) throws Exception {
        Resources before = Resources.now();
        int[] commands = {
            VFIO_USER_DMA_MAP,
            VFIO_USER_REGION_READ,
            VFIO_USER_REGION_WRITE,
            VFIO_USER_DEVICE_SET_IRQS,
            VFIO_USER_DEVICE_RESET
        };
        try (ProxyFixture fixture = new ProxyFixture();
                EventFd vector = EventFd.create()) {
            int ends = 0;
            for (int command : commands) {
                AtomicInteger lies = new AtomicInteger();
                fixture.device.script =
                        (device, asked) -> {
                            if (asked.command() != command || lies.get() > 0) {
                                return false;
                            }
                            lies.incrementAndGet();
                            lie.instead(device, asked);
                            return true;
                        };
                try (MockVfioUserClient client =
                        MockVfioUserClient.connect(fixture.server.path())) {
                    useAll(client, vector);
                    fixture.await(() -> lies.get() == 1);
                    if (lie == Lie.ANSWERS_NEVER) {
                        fixture.pass(TimeUnit.MILLISECONDS.toNanos(ProxyFixture.ANSWER_MILLIS + 1));
                        fixture.pass(TimeUnit.SECONDS.toNanos(1));
                    }
                    client.awaitClose();
                }
                fixture.awaitNoSession();
                assertThat(fixture.server.lastReason())
                        .as("command %d", command)
                        .contains("the device at ")
                        .contains(lie.said);
                ends++;
                assertThat(fixture.function.losses()).isEqualTo(ends);

                // It comes again, and is as if nothing had been.
                fixture.device.script = (device, asked) -> false;
                try (MockVfioUserClient client = fixture.ready()) {
                    assertThat(client.read(0, 0, 4)).isZero();
                    assertThat(fixture.function.trouble()).isEmpty();
                }
                fixture.awaitNoSession();
            }
            assertThat(fixture.log.lines()).hasSizeGreaterThanOrEqualTo(ends);
        }
        assertThat(Resources.now()).isEqualTo(before);
    }

    /** All that a VMM asks of a device, without waiting for an answer. */
    private static void useAll(MockVfioUserClient client, EventFd vector) {
        try {
            sendAll(client, vector);
        } catch (ErrnoException e) {
            // Its end may be there before all is sent.
            assertThat(e.errno()).isIn(Errno.EPIPE, Errno.ECONNRESET);
        }
    }

    private static void sendAll(MockVfioUserClient client, EventFd vector) throws ErrnoException {
        client.send(
                VFIO_USER_VERSION,
                0,
                MockVfioUserClient.versionPayload(0, 0, MockVfioUserClient.QEMU_CAPABILITIES));
        try (Fd fd = vector.duplicate()) {
            client.send(
                    VFIO_USER_DEVICE_SET_IRQS,
                    0,
                    MockVfioUserClient.irqPayload(
                            VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
                            VFIO_PCI_MSIX_IRQ_INDEX,
                            0,
                            1),
                    fd);
        }
        client.send(
                VFIO_USER_REGION_WRITE, 0, MockVfioUserClient.accessPayload(0, 0, 4, new byte[4]));
        client.send(
                VFIO_USER_REGION_READ, 0, MockVfioUserClient.accessPayload(0, 0, 4, new byte[0]));
        client.send(VFIO_USER_DEVICE_RESET, 0, new byte[0]);
    }

    @Test
    void answerToAnotherAccessThanWasAskedIsNotTaken() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture()) {
            int wrongs = 0;
            for (int wrong = 0; wrong < REGION_ACCESS_DATA + 4; wrong += 4) {
                int at = wrong;
                fixture.device.script =
                        (device, asked) -> {
                            if (asked.command() != VFIO_USER_REGION_READ) {
                                return false;
                            }
                            byte[] payload = Arrays.copyOf(asked.payload(), REGION_ACCESS_DATA + 4);
                            if (at < REGION_ACCESS_DATA) {
                                payload[at] ^= 1;
                            } else {
                                payload = Arrays.copyOf(payload, REGION_ACCESS_DATA + 3);
                            }
                            device.answer(asked, payload);
                            return true;
                        };
                try (MockVfioUserClient client = MockVfioUserClient.ready(fixture.server.path())) {
                    assertThat(client.readRegion(0, 0, 4).error()).isEqualTo(Errno.EIO);
                    client.awaitClose();
                }
                fixture.awaitNoSession();
                assertThat(fixture.server.lastReason())
                        .contains("an answer to another access than was asked");
                wrongs++;
            }
            assertThat(wrongs).isEqualTo(5);
        }
    }

    @Test
    void errorOfTheDeviceIsTheVmmsAnswerWhateverItsNumber() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture();
                MockVfioUserClient client = fixture.ready()) {
            for (int errno : new int[] {Errno.EBUSY, 0, -1, 1 << 20}) {
                fixture.device.script =
                        (device, asked) -> {
                            if (asked.command() != VFIO_USER_REGION_READ) {
                                return false;
                            }
                            device.error(asked, errno);
                            return true;
                        };
                assertThat(client.readRegion(0, 0, 4).error())
                        .isEqualTo(errno == Errno.EBUSY ? Errno.EBUSY : Errno.EIO);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(
            ints = {
                VFIO_USER_VERSION,
                VFIO_USER_DEVICE_GET_INFO,
                VFIO_USER_DEVICE_GET_REGION_INFO,
                VFIO_USER_DEVICE_GET_IRQ_INFO
            })
    void deviceThatDiesAtTheFirstQuestionsIsNotServed(int command, @TempDir Path folder)
            throws Exception {
        Resources before = Resources.now();
        try (ScriptedDevice device = new ScriptedDevice(folder.resolve("device.sock"))) {
            for (Lie lie :
                    List.of(Lie.DIES, Lie.ANSWERS_ANOTHER, Lie.IS_TOO_SHORT, Lie.IS_TOO_LONG)) {
                device.script =
                        (self, asked) -> {
                            if (asked.command() != command) {
                                return false;
                            }
                            lie.instead(self, asked);
                            return true;
                        };
                assertThatThrownBy(() ->
                                DeviceConnection.open(folder.resolve("device.sock"), WAIT_MILLIS))
                        .as("%s at %d", lie, command)
                        .isInstanceOf(IOException.class);
            }
        }
        assertThat(Resources.now()).isEqualTo(before);
    }

    @SuppressWarnings("ArrayRecordComponent") // compared by nobody
    private record Case(int command, byte[] payload, String said) {}

    private static Case version(int major, String text, String said) {
        return new Case(VFIO_USER_VERSION, MockVfioUserClient.versionPayload(major, 0, text), said);
    }

    @Test
    void deviceThatSaysWhatNoDeviceCanBeIsNotServed(@TempDir Path folder) throws Exception {
        List<Case> cases =
                List.of(
                        version(1, "{}\0", "speaks version 1"),
                        version(0, "{}", "does not end in NUL"),
                        version(0, "{]\0", "Unexpected"),
                        version(
                                0,
                                "{\"capabilities\":{\"max_dma_maps\":0}}\0",
                                "max_dma_maps is 0"),
                        version(
                                0,
                                "{\"capabilities\":{\"twin_socket\":{\"supported\":true}}}\0",
                                "without its descriptor"),
                        version(
                                0,
                                "{\"capabilities\":{\"twin_socket\":{\"supported\":true,\"fd_index\":0}}}\0",
                                "descriptor 0 of 0"),
                        new Case(
                                VFIO_USER_DEVICE_GET_INFO,
                                new Payload(16).u32(16).u32(1).u32(9).u32(5).array(),
                                "none of PCI"),
                        new Case(
                                VFIO_USER_DEVICE_GET_INFO,
                                new Payload(16).u32(16).u32(3).u32(7).u32(5).array(),
                                "0 bytes of configuration space"),
                        new Case(
                                VFIO_USER_DEVICE_GET_REGION_INFO,
                                new Payload(32).u32(32).u32(3).u32(0).u32(0).u64(-1).array(),
                                "region 0 has 0xffffffffffffffff bytes"),
                        new Case(
                                VFIO_USER_DEVICE_GET_IRQ_INFO,
                                new Payload(16).u32(16).u32(1).u32(2).u32(2049).array(),
                                "2049 interrupts of type 0"));
        try (ScriptedDevice device = new ScriptedDevice(folder.resolve("device.sock"))) {
            device.hasTwin = false;
            for (Case one : cases) {
                device.script =
                        (self, asked) -> {
                            if (asked.command() != one.command) {
                                return false;
                            }
                            self.answer(asked, one.payload);
                            return true;
                        };
                assertThatThrownBy(() ->
                                DeviceConnection.open(folder.resolve("device.sock"), WAIT_MILLIS))
                        .isInstanceOf(IOException.class)
                        .hasMessageContaining(one.said);
            }
        }
    }

    @Test
    void deviceThatDoesNotReadItsAnswersWaitsForThemAndNobodyElseDoes() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture();
                MockVfioUserClient client = fixture.ready()) {
            client.read(0, 0, 4);
            fixture.map(0x10_0000, 0x10_ffff, 0, MapFlags.READ);
            // More answers than sockets and buffers hold.
            int asked = 64;
            for (int i = 0; i < asked; i++) {
                fixture.device.ask(
                        ScriptedDevice.access(
                                VFIO_USER_DMA_READ,
                                i,
                                0x10_0000,
                                DeviceStream.DATA_MAX,
                                new byte[0]));
            }
            for (int i = 0; i < 100; i++) {
                assertThat(client.read(0, 0, 4)).isZero();
            }
            assertThat(fixture.function.dmaCounts().reads()).isLessThan(asked);
            for (int i = 0; i < asked; i++) {
                assertThat(fixture.device.awaitAnswer().remaining())
                        .isEqualTo(Integer.BYTES + DMA_ACCESS_DATA + DeviceStream.DATA_MAX);
            }
            assertThat(fixture.function.dmaCounts().reads()).isEqualTo(asked);
        }
    }

    @Test
    void deviceThatIsGoneWhileItsAccessWaitsForMemoryDoesNotKeepTheLoopBusy() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture(false);
                MockVfioUserClient client = fixture.ready()) {
            fixture.map(0x10_0000, 0x10_0fff, 0, MapFlags.READ);
            client.unmap(0, ProxyFixture.RAM);
            fixture.device.script =
                    (device, asked) -> {
                        device.ask(
                                ScriptedDevice.access(
                                        VFIO_USER_DMA_READ, 1, 0x10_0000, 4, new byte[0]));
                        device.hangUp();
                        return true;
                    };
            long before = fixture.loop.counts().events();
            client.send(
                    VFIO_USER_REGION_READ,
                    0,
                    MockVfioUserClient.accessPayload(0, 0, 4, new byte[0]));
            client.awaitClose();
            fixture.awaitNoSession();
            assertThat(fixture.server.lastReason()).contains("it has closed");
            assertThat(fixture.loop.counts().events() - before).isLessThan(100);
        }
    }

    @Test
    void deviceThatIsGoneWhenTheVmmComesEndsItsSession() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture()) {
            fixture.ready().close();
            fixture.awaitNoSession();
            fixture.device.script =
                    (device, asked) -> {
                        device.hangUp();
                        return true;
                    };
            try (MockVfioUserClient client = MockVfioUserClient.connect(fixture.server.path())) {
                client.awaitClose();
            }
            fixture.awaitNoSession();
            assertThat(fixture.server.lastReason()).contains("the server has closed");
            assertThat(fixture.function.losses()).isOne();
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void commandsBeyondTheLimitWaitForAnswers(boolean hasTwin) throws Exception {
        int vectors = 3 * DeviceSession.IN_FLIGHT_MAX;
        // Over one socket a second command could be taken for the answer of an access to memory.
        int limit = hasTwin ? DeviceSession.IN_FLIGHT_MAX : 1;
        try (ProxyFixture fixture = new ProxyFixture(hasTwin, vectors);
                EventFd vector = EventFd.create();
                MockVfioUserClient client = fixture.ready()) {
            try (Fd fd = vector.duplicate()) {
                for (int i = 0; i < vectors; i++) {
                    client.setIrqs(
                            VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
                            VFIO_PCI_MSIX_IRQ_INDEX,
                            i,
                            1,
                            fd);
                }
            }
            List<Asked> unanswered = new CopyOnWriteArrayList<>();
            fixture.device.script =
                    (device, asked) ->
                            asked.command() == VFIO_USER_DEVICE_SET_IRQS && unanswered.add(asked);
            // Takes them all away: a command for each, and one for all.
            client.send(
                    VFIO_USER_DEVICE_SET_IRQS,
                    0,
                    MockVfioUserClient.irqPayload(
                            VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
                            VFIO_PCI_MSIX_IRQ_INDEX,
                            0,
                            0));
            fixture.await(() -> unanswered.size() == limit);
            assertThat(client.isSilentFor(20)).isTrue();
            assertThat(unanswered).hasSize(limit);

            fixture.device.script = (device, asked) -> false;
            fixture.device.answerAll(unanswered);
            assertThat(client.receive().isError()).isFalse();
            assertThat(fixture.device.asked(VFIO_USER_DEVICE_SET_IRQS)).hasSize(2 * vectors + 1);
        }
    }
}
