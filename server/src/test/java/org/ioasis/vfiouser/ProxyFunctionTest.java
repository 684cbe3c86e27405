// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.spec.VfioUser.*;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.memory.Access;
import org.ioasis.spec.Pci;
import org.ioasis.sys.Errno;
import org.ioasis.sys.EventFd;
import org.ioasis.sys.Fd;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Somebody else's device behind the IOMMU, as it should be: each message of both sides. */
class ProxyFunctionTest {
    private static final int READ_WRITE = MapFlags.READ | MapFlags.WRITE;
    private static final long PAGE = 4096;

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void registersAreThoseOfTheDevice(boolean hasTwin) throws Exception {
        try (ProxyFixture fixture = new ProxyFixture(hasTwin)) {
            fixture.device.config[0] = 0x42;
            try (MockVfioUserClient client = fixture.ready()) {
                assertThat(client.readRegion(VFIO_PCI_CONFIG_REGION_INDEX, 0, 256).data())
                        .hasSize(REGION_ACCESS_DATA + 256)
                        .contains(0x42);
                for (int i = 0; i < 100; i++) {
                    client.post(0, 0x10, 4, i);
                    client.post(0, 0x14, 4, 3L * i);
                    assertThat(client.read(0, 0x10, 8)).isEqualTo(((3L * i) << 32) | i);
                }
                assertThat(client.readRegion(0, ScriptedDevice.BAR_BYTES - 4, 8).error())
                        .isEqualTo(Errno.EINVAL);
                assertThat(client.readRegion(1, 0, 4).error()).isEqualTo(Errno.EINVAL);
            }
            assertThat(fixture.device.asked(VFIO_USER_REGION_WRITE)).hasSize(1 + 200);
        }
    }

    @Test
    void deviceIsGivenAllAddressesInOneRegionAndNoDescriptorOfMemory() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture();
                MockVfioUserClient client = fixture.ready()) {
            fixture.map(0x10_0000, 0x10_0fff, 0, READ_WRITE);
            client.unmap(0, ProxyFixture.RAM);
            client.map(0, ProxyFixture.RAM, 0, 3, fixture.file);
            client.read(0, 0, 4);

            assertThat(fixture.device.asked(VFIO_USER_DMA_MAP)).hasSize(1);
            assertThat(fixture.device.asked(VFIO_USER_DMA_UNMAP)).isEmpty();
            ScriptedDevice.Asked told = fixture.device.asked(VFIO_USER_DMA_MAP).getFirst();
            assertThat(told.fields().getLong(DMA_MAP_ADDRESS)).isZero();
            assertThat(told.fields().getLong(DMA_MAP_BYTES)).isEqualTo(-PAGE);
            assertThat(told.fields().getInt(DMA_MAP_FLAGS)).isEqualTo(3);
            assertThat(fixture.device.log).allMatch(asked -> asked.fds() == 0);
        }
    }

    @Test
    void serverWithALimitIsToldOfAsMuchAsItTakes() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture()) {
            fixture.device.reachMax = 8L << 40;
            try (MockVfioUserClient client = fixture.ready()) {
                client.read(0, 0, 4);

                assertThat(fixture.device.asked(VFIO_USER_DMA_MAP)).hasSize(4);
                fixture.onLoop(() -> assertThat(fixture.function.reach()).isEqualTo(8L << 40));
            }
        }
    }

    @Test
    void serverThatMustMapMemoryEndsTheSessionWithAWordOnIt() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture()) {
            fixture.device.reachMax = 0;
            try (MockVfioUserClient client = MockVfioUserClient.connect(fixture.server.path())) {
                client.awaitClose();
            }
            fixture.awaitNoSession();
            assertThat(fixture.server.lastReason())
                    .contains("it takes no memory that is reached by messages (ENOSPC)");
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void accessesOfTheDeviceAreTranslatedAndChecked(boolean hasTwin) throws Exception {
        try (ProxyFixture fixture = new ProxyFixture(hasTwin);
                MockVfioUserClient client = fixture.ready()) {
            fixture.map(0x10_0000, 0x10_0fff, 5 * PAGE, READ_WRITE);
            fixture.map(0x10_1000, 0x10_1fff, 2 * PAGE, READ_WRITE);
            fixture.map(0x20_0000, 0x20_0fff, 7 * PAGE, MapFlags.READ);
            fixture.put(6 * PAGE - 4, "over");
            fixture.put(2 * PAGE, "the edge");
            fixture.put(7 * PAGE, "constant");
            // Where there is one socket, a device asks while it works for a write.
            List<Object> seen = new CopyOnWriteArrayList<>();
            fixture.device.script =
                    (device, asked) -> {
                        if (asked.command() == VFIO_USER_REGION_WRITE
                                && asked.fields().getLong(0) == 0x100) {
                            seen.add(device.read(0x10_1000 - 4, 12));
                            seen.add(device.write(0x10_0ffe, "Ringing"));
                            seen.add(device.read(0x20_0000, 8));
                            seen.add(device.write(0x20_0000, "x"));
                            seen.add(device.read(0x30_0000, 1));
                            seen.add(device.read(0x20_0ffc, 8));
                            seen.add(device.read(-1L, 8));
                            seen.add(device.read(-8L, 8));
                        }
                        return false;
                    };
            for (int i = 0; i < 3; i++) {
                client.post(0, 0x100, 4, 1);
                client.post(0, 0x104, 4, 1);
            }
            assertThat(client.read(0, 0x104, 4)).isOne();

            assertThat(seen)
                    .hasSize(24)
                    .startsWith(
                            "overthe edge",
                            "OK",
                            "constant",
                            "EFAULT",
                            "EFAULT",
                            "EFAULT",
                            "EFAULT",
                            "EFAULT")
                    .endsWith("EFAULT");
            assertThat(fixture.get(6 * PAGE - 2, 2) + fixture.get(2 * PAGE, 5))
                    .isEqualTo("Ringing");
            assertThat(fixture.get(7 * PAGE, 8)).isEqualTo("constant");
            assertThat(fixture.faults.firsts().getFirst().access()).isEqualTo(Access.WRITE);
            assertThat(fixture.faults.firsts().getFirst().address()).isEqualTo(0x20_0000);
            assertThat(fixture.function.dmaCounts().reads()).isEqualTo(6);
            assertThat(fixture.function.dmaCounts().writtenBytes()).isEqualTo(21);
            assertThat(fixture.function.dmaCounts().refused()).isEqualTo(15);
            assertThat(fixture.endpoint.counts().faults()).isEqualTo(15);
        }
    }

    @Test
    void largestAccessIsDoneAndALargerOneIsRefused() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture();
                MockVfioUserClient client = fixture.ready()) {
            client.read(0, 0, 4);
            fixture.map(0x10_0000, 0x13_ffff, 0, READ_WRITE);
            fixture.put(DeviceStream.DATA_MAX - 1, "!");

            assertThat((String) fixture.device.read(0x10_0000, DeviceStream.DATA_MAX))
                    .hasSize(DeviceStream.DATA_MAX)
                    .endsWith("!");
            assertThat(fixture.device.write(0x10_0001, "w".repeat(DeviceStream.DATA_MAX)))
                    .isEqualTo("OK");
            assertThat(fixture.device.read(0x10_0000, DeviceStream.DATA_MAX + 1))
                    .isEqualTo("EINVAL");
            assertThat(fixture.device.read(0x10_0000, 0)).isEqualTo("EINVAL");
            // What it says and what comes are not the same.
            fixture.device.ask(
                    ScriptedDevice.access(VFIO_USER_DMA_WRITE, 1, 0x10_0000, 8, new byte[4]));
            assertThat(fixture.device.awaitAnswer().getInt()).isEqualTo(Errno.EINVAL);
            // What only a client asks.
            fixture.device.ask(
                    ScriptedDevice.access(VFIO_USER_REGION_READ, 1, 0x10_0000, 8, new byte[0]));
            assertThat(fixture.device.awaitAnswer().getInt()).isEqualTo(Errno.ENOTSUP);
            assertThat(fixture.function.dmaCounts().malformed()).isEqualTo(4);
            assertThat(fixture.get(DeviceStream.DATA_MAX, 1)).isEqualTo("w");
        }
    }

    @Test
    void manyAccessesAreAnsweredInOrderWithFewCalls() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture();
                MockVfioUserClient client = fixture.ready()) {
            client.read(0, 0, 4);
            fixture.map(0x10_0000, 0x1f_ffff, 0, READ_WRITE);
            byte[] all = new byte[0];
            for (int i = 0; i < 1000; i++) {
                fixture.put(i * 64L, "%04d".formatted(i));
                all =
                        concat(
                                all,
                                ScriptedDevice.access(
                                        VFIO_USER_DMA_READ,
                                        i,
                                        0x10_0000 + i * 64L,
                                        4,
                                        new byte[0]));
            }
            AtomicLong before = new AtomicLong();
            fixture.onLoop(() -> before.set(fixture.function.callCount()));
            fixture.device.ask(all);
            for (int i = 0; i < 1000; i++) {
                ByteBuffer answer = fixture.device.awaitAnswer();
                assertThat(answer.getInt()).isZero();
                assertThat(answer.getLong()).isEqualTo(0x10_0000 + i * 64L);
                assertThat(answer.getLong()).isEqualTo(4);
                byte[] text = new byte[4];
                answer.get(text);
                assertThat(new String(text, StandardCharsets.US_ASCII))
                        .isEqualTo("%04d".formatted(i));
            }
            assertThat(fixture.function.dmaCounts().reads()).isEqualTo(1000);
            fixture.onLoop(
                    () -> assertThat(fixture.function.callCount() - before.get()).isLessThan(100));
        }
    }

    private static byte[] concat(byte[] first, byte[] second) {
        byte[] both = Arrays.copyOf(first, first.length + second.length);
        System.arraycopy(second, 0, both, first.length, second.length);
        return both;
    }

    @Test
    void aMillionAccessesToWhatIsUnmappedBringNotOneByte() throws Exception {
        int rounds = 1000;
        int batch = 1000;
        try (ProxyFixture fixture = new ProxyFixture();
                MockVfioUserClient client = fixture.ready()) {
            client.read(0, 0, 4);
            fixture.map(0x10_0000, 0x10_0fff, 0, READ_WRITE);
            fixture.put(0, "secret");
            assertThat(fixture.device.read(0x10_0000, 6)).isEqualTo("secret");
            assertThat(fixture.unmap(0x10_0000, 0x10_0fff)).isEqualTo(Status.OK);

            byte[] read = ScriptedDevice.access(VFIO_USER_DMA_READ, 1, 0x10_0000, 6, new byte[0]);
            byte[] write =
                    ScriptedDevice.access(
                            VFIO_USER_DMA_WRITE,
                            2,
                            0x10_0000,
                            6,
                            "public".getBytes(StandardCharsets.US_ASCII));
            byte[] all = new byte[batch / 2 * (read.length + write.length)];
            for (int i = 0, at = 0; i < batch / 2; i++) {
                System.arraycopy(read, 0, all, at, read.length);
                System.arraycopy(write, 0, all, at + read.length, write.length);
                at += read.length + write.length;
            }
            for (int round = 0; round < rounds; round++) {
                fixture.device.ask(all);
                byte[] answers = fixture.device.awaitBytes(batch * HEADER_SIZE);
                for (int i = 0; i < batch; i++) {
                    assertThat(answers[i * HEADER_SIZE + HEADER_MESSAGE_SIZE])
                            .isEqualTo((byte) HEADER_SIZE);
                    assertThat(answers[i * HEADER_SIZE + HEADER_ERROR])
                            .isEqualTo((byte) Errno.EFAULT);
                }
            }
            assertThat(fixture.get(0, 6)).isEqualTo("secret");
            assertThat(fixture.function.dmaCounts().refused()).isEqualTo((long) rounds * batch);
            assertThat(fixture.endpoint.counts().faults()).isEqualTo((long) rounds * batch);
        }
    }

    @Test
    void deviceReachesNothingUntilItsDriverLetsItAndNothingAfterwards() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture();
                MockVfioUserClient client = fixture.ready()) {
            fixture.map(0x10_0000, 0x10_0fff, 0, READ_WRITE);
            fixture.put(0, "here");
            client.write(VFIO_PCI_CONFIG_REGION_INDEX, Pci.COMMAND, 2, Pci.COMMAND_MEMORY);
            assertThat(fixture.device.read(0x10_0000, 4)).isEqualTo("EACCES");
            client.write(VFIO_PCI_CONFIG_REGION_INDEX, 0, 8, (long) Pci.COMMAND_MASTER << 32);
            assertThat(fixture.device.read(0x10_0000, 4)).isEqualTo("here");
            client.write(VFIO_PCI_CONFIG_REGION_INDEX, Pci.COMMAND + 1, 1, 0);
            assertThat(fixture.device.read(0x10_0000, 4)).isEqualTo("here");
            client.reset();
            assertThat(fixture.device.read(0x10_0000, 4)).isEqualTo("EACCES");
            assertThat(fixture.function.dmaCounts().refused()).isEqualTo(2);
            assertThat(fixture.endpoint.counts().faults()).isZero();
        }
    }

    @Test
    void vectorsOfTheDeviceReachTheVmmThroughEventfdsThatAreOurs() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture();
                EventFd theirs = EventFd.create();
                MockVfioUserClient client = fixture.ready()) {
            int on = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
            client.setIrqs(on, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1);
            client.setIrqs(on, VFIO_PCI_MSIX_IRQ_INDEX, 1, 1, theirs.duplicate());
            client.read(0, 0, 4);
            assertThat(fixture.device.eventFds).containsOnlyKeys(1);

            Objects.requireNonNull(fixture.device.eventFds.get(1)).signal();
            fixture.await(() -> theirs.drain() == 1);
            assertThat(fixture.function.interrupts()).isOne();

            client.setIrqs(
                    VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
                    VFIO_PCI_MSIX_IRQ_INDEX,
                    0,
                    0);
            client.read(0, 0, 4);
            List<ScriptedDevice.Asked> irqs = fixture.device.asked(VFIO_USER_DEVICE_SET_IRQS);
            assertThat(irqs).hasSize(3);
            assertThat(irqs.getLast().fields().getInt(IRQ_SET_COUNT)).isZero();
        }
    }

    @Test
    void counterThatTheDeviceSignalsIsNotReadSoThatWhoReadsItFirstStopsNobody() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture();
                EventFd theirs = EventFd.create();
                MockVfioUserClient client = fixture.ready()) {
            client.setIrqs(
                    VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
                    VFIO_PCI_MSIX_IRQ_INDEX,
                    1,
                    1,
                    theirs.duplicate());
            client.read(0, 0, 4);
            EventFd signalled = Objects.requireNonNull(fixture.device.eventFds.get(1));
            for (int i = 1; i <= 3; i++) {
                signalled.signal();
                fixture.await(() -> theirs.drain() == 1);
                assertThat(fixture.function.interrupts()).isEqualTo(i);
            }
            assertThat(signalled.drain()).isEqualTo(3);

            signalled.signal();
            fixture.await(() -> theirs.drain() == 1);
            assertThat(fixture.function.interrupts()).isEqualTo(4);
        }
    }

    @Test
    void resetIsAnsweredWhenTheDeviceHasAnswered() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture();
                MockVfioUserClient client = fixture.ready()) {
            CountDownLatch goOn = new CountDownLatch(1);
            fixture.device.script =
                    (device, asked) -> {
                        if (asked.command() == VFIO_USER_DEVICE_RESET) {
                            awaitNow(goOn);
                        }
                        return false;
                    };
            client.send(VFIO_USER_DEVICE_RESET, 0, new byte[0]);
            fixture.await(() -> fixture.device.asked(VFIO_USER_DEVICE_RESET).size() == 1);
            assertThat(client.isSilentFor(20)).isTrue();
            goOn.countDown();
            assertThat(client.receive().command()).isEqualTo(VFIO_USER_DEVICE_RESET);
        }
    }

    @Test
    void vectorsAreAnsweredWhenTheDeviceHasAnsweredSoThatTheyDoNotPileUp() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture();
                EventFd theirs = EventFd.create();
                MockVfioUserClient client = fixture.ready()) {
            CountDownLatch goOn = new CountDownLatch(1);
            fixture.device.script =
                    (device, asked) -> {
                        if (asked.command() == VFIO_USER_DEVICE_SET_IRQS) {
                            awaitNow(goOn);
                        }
                        return false;
                    };
            client.send(
                    VFIO_USER_DEVICE_SET_IRQS,
                    0,
                    MockVfioUserClient.irqPayload(
                            VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
                            VFIO_PCI_MSIX_IRQ_INDEX,
                            0,
                            1),
                    theirs.duplicate());
            fixture.await(() -> fixture.device.asked(VFIO_USER_DEVICE_SET_IRQS).size() == 1);
            assertThat(client.isSilentFor(20)).isTrue();
            goOn.countDown();
            assertThat(client.receive().command()).isEqualTo(VFIO_USER_DEVICE_SET_IRQS);
        }
    }

    private static void awaitNow(CountDownLatch latch) {
        try {
            assertThat(latch.await(10, TimeUnit.SECONDS)).isTrue();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void accessToMemoryThatTheVmmHasTakenAwayWaitsUntilItIsBack() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture();
                MockVfioUserClient client = fixture.ready()) {
            fixture.map(0x10_0000, 0x10_0fff, 0, READ_WRITE);
            fixture.put(0, "here");
            client.unmap(0, ProxyFixture.RAM);
            fixture.device.ask(
                    ScriptedDevice.access(VFIO_USER_DMA_READ, 7, 0x10_0000, 4, new byte[0]));
            client.read(0, 0, 4);
            client.map(0, ProxyFixture.RAM, 0, 3, fixture.file);
            assertThat(fixture.device.awaitAnswer().getInt()).isZero();

            client.unmap(0, ProxyFixture.RAM);
            fixture.device.ask(
                    ScriptedDevice.access(VFIO_USER_DMA_READ, 7, 0x10_0000, 4, new byte[0]));
            client.read(0, 0, 4);
            fixture.pass(DeviceSession.ABSENT_NANOS + 1);
            fixture.pass(TimeUnit.SECONDS.toNanos(1));
            assertThat(fixture.device.awaitAnswer().getInt()).isEqualTo(Errno.EFAULT);
            assertThat(fixture.endpoint.counts().faults()).isZero();
        }
    }

    @Test
    void nextVmmFindsTheDeviceOverANewConnection() throws Exception {
        Resources before = Resources.now();
        try (ProxyFixture fixture = new ProxyFixture()) {
            fixture.map(0x10_0000, 0x10_0fff, 0, READ_WRITE);
            fixture.put(0, "here");
            for (int round = 1; round <= 3; round++) {
                try (MockVfioUserClient client = fixture.ready()) {
                    client.read(0, 0, 4);
                    assertThat(fixture.device.read(0x10_0000, 4)).isEqualTo("here");
                    assertThat(fixture.device.asked(VFIO_USER_VERSION)).hasSize(round);
                    assertThat(fixture.device.asked(VFIO_USER_DMA_MAP)).hasSize(round);
                }
                fixture.awaitNoSession();
            }
            assertThat(fixture.function.losses()).isZero();
        }
        assertThat(Resources.now()).isEqualTo(before);
    }

    @Test
    void whileAServerHangsOneConnectionIsMadeHoweverOftenVmmsComeAndGo() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture(true, ScriptedDevice.VECTORS, 60_000)) {
            fixture.ready().close();
            fixture.awaitNoSession();
            CountDownLatch goOn = new CountDownLatch(1);
            fixture.device.script =
                    (device, asked) -> {
                        if (asked.command() == VFIO_USER_VERSION) {
                            awaitNow(goOn);
                        }
                        return false;
                    };
            for (int i = 0; i < 5; i++) {
                MockVfioUserClient.ready(fixture.server.path()).close();
                fixture.awaitNoSession();
            }
            try (MockVfioUserClient client = MockVfioUserClient.ready(fixture.server.path())) {
                goOn.countDown();
                assertThat(client.read(0, 0, 4)).isZero();
            }
            assertThat(fixture.device.asked(VFIO_USER_VERSION)).hasSize(2);
            assertThat(fixture.function.losses()).isZero();
        }
    }

    @Test
    void deviceThatHasBecomeAnotherIsNotShownToTheNextVmm() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture()) {
            fixture.ready().close();
            fixture.awaitNoSession();
            fixture.device.vectors = 2;
            try (MockVfioUserClient client = MockVfioUserClient.connect(fixture.server.path())) {
                client.awaitClose();
            }
            fixture.awaitNoSession();
            assertThat(fixture.server.lastReason()).contains("it is not the device that it was");
        }
    }

    @Test
    void accessOfMoreBytesThanTheServerTakesIsAskedInParts() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture(device -> device.dataMax = 8);
                MockVfioUserClient client = fixture.ready()) {
            byte[] data = new byte[100];
            for (int i = 0; i < data.length; i++) {
                data[i] = (byte) (i + 1);
            }
            assertThat(
                            client.call(
                                            VFIO_USER_REGION_WRITE,
                                            MockVfioUserClient.accessPayload(0, 4, 100, data))
                                    .isError())
                    .isFalse();
            byte[] read = client.readRegion(0, 4, 100).data();
            assertThat(Arrays.copyOfRange(read, REGION_ACCESS_DATA, read.length)).isEqualTo(data);
            List<ScriptedDevice.Asked> reads = fixture.device.asked(VFIO_USER_REGION_READ);
            assertThat(reads).hasSize(13);
            assertThat(reads).allMatch(asked -> asked.fields().getInt(REGION_ACCESS_COUNT) <= 8);
            assertThat(fixture.device.asked(VFIO_USER_REGION_WRITE)).hasSize(1 + 13);
        }
    }

    @Test
    void serverThatTakesNotAsMuchAsARegisterHasIsNotServed() {
        assertThatThrownBy(() -> new ProxyFixture(device -> device.dataMax = 7).close())
                .hasMessageContaining("takes 7 bytes at a time");
    }

    @Test
    void pinOfTheDeviceReachesTheVmmWhichSaysWhenItHasSeenIt() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture(device -> device.hasPin = true);
                EventFd theirs = EventFd.create();
                Fd given = theirs.duplicate();
                MockVfioUserClient client = fixture.ready()) {
            ByteBuffer info =
                    client.call(
                                    VFIO_USER_DEVICE_GET_IRQ_INFO,
                                    new Payload(16)
                                            .u32(16)
                                            .u32(0)
                                            .u32(VFIO_PCI_INTX_IRQ_INDEX)
                                            .u32(0)
                                            .array())
                            .fields();
            assertThat(info.getInt(IRQ_INFO_COUNT)).isOne();
            assertThat(info.getInt(IRQ_INFO_FLAGS))
                    .isEqualTo(
                            VFIO_IRQ_INFO_EVENTFD
                                    | VFIO_IRQ_INFO_MASKABLE
                                    | VFIO_IRQ_INFO_AUTOMASKED);
            int on = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
            assertThat(client.setIrqs(on, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, given).isError())
                    .isFalse();
            Objects.requireNonNull(fixture.device.eventFds.get(ScriptedDevice.PIN)).signal();
            fixture.await(() -> theirs.drain() == 1);
            assertThat(fixture.function.interrupts()).isOne();

            for (int action : new int[] {VFIO_IRQ_SET_ACTION_MASK, VFIO_IRQ_SET_ACTION_UNMASK}) {
                int flags = VFIO_IRQ_SET_DATA_NONE | action;
                assertThat(client.setIrqs(flags, VFIO_PCI_INTX_IRQ_INDEX, 0, 1).isError())
                        .isFalse();
                ScriptedDevice.Asked told =
                        fixture.device.asked(VFIO_USER_DEVICE_SET_IRQS).getLast();
                assertThat(told.fields().getInt(IRQ_SET_INDEX)).isEqualTo(VFIO_PCI_INTX_IRQ_INDEX);
                assertThat(told.fields().getInt(IRQ_SET_FLAGS)).isEqualTo(flags);
                assertThat(client.setIrqs(flags, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1).error())
                        .isEqualTo(Errno.EINVAL);
            }
            int none = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
            assertThat(client.setIrqs(none, VFIO_PCI_INTX_IRQ_INDEX, 0, 0).isError()).isFalse();
            assertThat(fixture.device.eventFds).isEmpty();
        }
    }

    private static void setMessages(MockVfioUserClient client, int start, int count, Fd... fds)
            throws Exception {
        int kind = fds.length == 0 ? VFIO_IRQ_SET_DATA_NONE : VFIO_IRQ_SET_DATA_EVENTFD;
        client.setIrqs(
                kind | VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_PCI_MSI_IRQ_INDEX, start, count, fds);
    }

    @Test
    void vectorsOfMsiReachTheVmmAsThoseOfMsixDo() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture(device -> device.messages = 4);
                MockVfioUserClient client = fixture.ready();
                EventFd first = EventFd.create();
                EventFd last = EventFd.create()) {
            assertThat(client.irqCount(VFIO_PCI_MSI_IRQ_INDEX)).isEqualTo(4);
            assertThat(client.irqCount(VFIO_PCI_MSIX_IRQ_INDEX)).isEqualTo(ScriptedDevice.VECTORS);
            try (Fd one = first.duplicate();
                    Fd other = last.duplicate()) {
                setMessages(client, 2, 2, one, other);
            }
            assertThat(fixture.device.eventFds)
                    .containsOnlyKeys(ScriptedDevice.MESSAGES + 2, ScriptedDevice.MESSAGES + 3);
            Objects.requireNonNull(fixture.device.eventFds.get(ScriptedDevice.MESSAGES + 3))
                    .signal();
            fixture.await(() -> last.drain() == 1);
            assertThat(first.drain()).isZero();
            assertThat(fixture.function.interrupts()).isOne();
            setMessages(client, 0, 0);
            assertThat(fixture.device.eventFds).isEmpty();
        }
    }

    @Test
    void deviceWithMoreVectorsOfMsiThanThereCanBeIsNotServed() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture(device -> device.messages = 32);
                MockVfioUserClient client = fixture.ready()) {
            assertThat(client.irqCount(VFIO_PCI_MSI_IRQ_INDEX)).isEqualTo(32);
        }
        assertThatThrownBy(() -> new ProxyFixture(device -> device.messages = 33))
                .hasMessageContaining("33 interrupts of type 1");
    }
}
