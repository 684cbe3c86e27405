// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VfioUser.*;

import java.io.IOException;
import java.util.Arrays;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.spec.Pci;
import org.ioasis.sys.Errno;
import org.ioasis.sys.EventFd;
import org.ioasis.sys.Fd;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A device server that goes and comes again under a VMM's session, which waits for it. */
@Timeout(60)
class ReturningDeviceTest {
    private static final int READ_WRITE = MapFlags.READ | MapFlags.WRITE;
    private static final int RECONNECT_MILLIS = 10_000;

    private static ProxyFixture fixture(Isolation isolation, int reconnectMillis)
            throws IOException {
        return new ProxyFixture(
                new ProxySettings(isolation, ProxyFixture.ANSWER_MILLIS, reconnectMillis));
    }

    /** Hangs up at the next command of that kind, so many times. */
    private static AtomicInteger hangsUpAt(ProxyFixture fixture, int command, int times) {
        AtomicInteger left = new AtomicInteger(times);
        fixture.device.script =
                (device, asked) -> {
                    if (asked.command() != command || left.get() == 0) {
                        return false;
                    }
                    left.decrementAndGet();
                    device.hangUp();
                    return true;
                };
        return left;
    }

    @ParameterizedTest
    @EnumSource(Isolation.class)
    void sessionGoesOnAndTheDeviceIsToldAllThatItHasToKnow(Isolation isolation) throws Exception {
        Resources before = Resources.now();
        try (ProxyFixture fixture = fixture(isolation, RECONNECT_MILLIS);
                EventFd theirs = EventFd.create();
                MockVfioUserClient client = fixture.ready()) {
            fixture.map(0x10_0000, 0x10_0fff, 0, READ_WRITE);
            fixture.map(0x20_0000, 0x20_0fff, 0x3000, READ_WRITE);
            fixture.put(0x3000, "here");
            client.write(VFIO_PCI_CONFIG_REGION_INDEX, Pci.BASE_ADDRESS_0, 4, 0xfe00_0000L);
            try (Fd fd = theirs.duplicate()) {
                client.setIrqs(
                        VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
                        VFIO_PCI_MSIX_IRQ_INDEX,
                        1,
                        1,
                        fd);
            }
            for (int round = 1; round <= 3; round++) {
                Arrays.fill(fixture.device.config, (byte) 0);
                fixture.device.bar[8] = (byte) round;
                AtomicInteger left = hangsUpAt(fixture, VFIO_USER_REGION_READ, 1);
                // What was asked of the one that has gone is answered by the one that comes.
                assertThat(client.read(0, 8, 4)).isEqualTo(round);
                assertThat(left.get()).isZero();
                assertThat(fixture.function.returns()).isEqualTo(round);
                assertThat(client.read(VFIO_PCI_CONFIG_REGION_INDEX, Pci.COMMAND, 2))
                        .isEqualTo(ProxyFixture.COMMAND_ON);
                assertThat(client.read(VFIO_PCI_CONFIG_REGION_INDEX, Pci.BASE_ADDRESS_0, 4))
                        .isEqualTo(0xfe00_0000L);
                assertThat(fixture.device.read(0x20_0000, 4)).isEqualTo("here");
                if (isolation == Isolation.MAPPED) {
                    assertThat(fixture.device.memory).containsOnlyKeys(0x10_0000L, 0x20_0000L);
                    assertThat(fixture.device.seen(0x20_0000, 4)).isEqualTo("here");
                }
                assertThat(fixture.device.eventFds).containsOnlyKeys(1);
                requireNonNull(fixture.device.eventFds.get(1)).signal();
                BooleanSupplier isRaised = () -> theirs.drain() == 1;
                fixture.await(isRaised);
            }
            assertThat(fixture.function.losses()).isEqualTo(3);
            assertThat(fixture.function.trouble()).isEmpty();
            assertThat(fixture.server.sessionCount()).isOne();
        }
        assertThat(Resources.now()).isEqualTo(before);
    }

    @Test
    void accessThatADeviceEndsAtIsAskedTwiceAndNoMore() throws Exception {
        try (ProxyFixture fixture = fixture(Isolation.ENFORCED, RECONNECT_MILLIS);
                MockVfioUserClient client = fixture.ready()) {
            AtomicInteger left = hangsUpAt(fixture, VFIO_USER_REGION_READ, 100);
            assertThat(client.readRegion(0, 8, 4).error()).isEqualTo(Errno.EIO);
            assertThat(left.get()).isEqualTo(98);
            fixture.device.script = (device, asked) -> false;
            assertThat(client.read(0, 8, 4)).isZero();
        }
    }

    @Test
    void deviceThatClosesWhileItIsToldOfRegistersIsToldEachOnceWhenItIsBack() throws Exception {
        try (ProxyFixture fixture = fixture(Isolation.ENFORCED, RECONNECT_MILLIS);
                MockVfioUserClient client = fixture.ready()) {
            client.write(VFIO_PCI_CONFIG_REGION_INDEX, Pci.BASE_ADDRESS_0, 4, 0xfe00_0000L);
            int greeting =
                    fixture.device.log.indexOf(fixture.device.asked(VFIO_USER_DMA_MAP).get(0));
            CountDownLatch hasClosed = new CountDownLatch(1);
            AtomicInteger atRegister = new AtomicInteger(1);
            AtomicInteger greeted = new AtomicInteger();
            fixture.device.script =
                    (device, asked) -> {
                        if (asked.command() == VFIO_USER_REGION_READ
                                && atRegister.getAndSet(0) == 1) {
                            device.hangUp();
                            return true;
                        }
                        // The loop has it as soon as all is known of it, and finds it closed.
                        int number = atRegister.get() == 0 ? greeted.incrementAndGet() : 0;
                        if (number == 1) {
                            fixture.loop.execute(() -> await(hasClosed));
                        }
                        if (number != greeting) {
                            return false;
                        }
                        device.error(asked, Errno.ENOTSUP);
                        device.hangUp();
                        device.log.clear();
                        hasClosed.countDown();
                        return true;
                    };
            assertThat(client.read(0, 8, 4)).isZero();
            assertThat(fixture.function.returns()).isEqualTo(2);
            assertThat(
                            fixture.device.asked(VFIO_USER_REGION_WRITE).stream()
                                    .map(asked -> asked.fields().getLong(REGION_ACCESS_OFFSET)))
                    .containsExactly((long) Pci.BASE_ADDRESS_0, (long) Pci.COMMAND);
        }
    }

    private static void await(CountDownLatch latch) {
        try {
            assertThat(latch.await(10, TimeUnit.SECONDS)).isTrue();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void resetWhileTheDeviceIsAwayIsDoneByTheOneThatComesAndWhatWasWrittenIsForgotten()
            throws Exception {
        try (ProxyFixture fixture = fixture(Isolation.ENFORCED, RECONNECT_MILLIS);
                MockVfioUserClient client = fixture.ready()) {
            client.write(VFIO_PCI_CONFIG_REGION_INDEX, Pci.BASE_ADDRESS_0, 4, 0xfe00_0000L);
            Arrays.fill(fixture.device.config, (byte) 0);
            hangsUpAt(fixture, VFIO_USER_DEVICE_RESET, 1);
            assertThat(client.reset().error()).isZero();
            assertThat(client.read(VFIO_PCI_CONFIG_REGION_INDEX, Pci.BASE_ADDRESS_0, 4)).isZero();
            assertThat(client.read(VFIO_PCI_CONFIG_REGION_INDEX, Pci.COMMAND, 2)).isZero();
            assertThat(fixture.function.returns()).isOne();
        }
    }

    @Test
    void deviceThatDoesNotComeAgainInTimeEndsTheSession() throws Exception {
        try (ProxyFixture fixture = fixture(Isolation.ENFORCED, 50);
                MockVfioUserClient client = fixture.ready()) {
            client.read(0, 0, 4);
            fixture.device.close();
            client.awaitClose();
            fixture.awaitNoSession();
            assertThat(fixture.server.lastReason()).contains("it has not come again within 50 ms");
            assertThat(fixture.function.trouble()).contains("it has not come again");
        }
    }

    @Test
    void deviceThatComesAgainAsAnotherEndsTheSession() throws Exception {
        try (ProxyFixture fixture = fixture(Isolation.ENFORCED, RECONNECT_MILLIS);
                MockVfioUserClient client = fixture.ready()) {
            client.read(0, 0, 4);
            fixture.device.vectors = 2;
            hangsUpAt(fixture, VFIO_USER_REGION_READ, 1);
            assertThat(client.readRegion(0, 0, 4).error()).isEqualTo(Errno.EIO);
            client.awaitClose();
            fixture.awaitNoSession();
            assertThat(fixture.server.lastReason()).contains("it is not the device that it was");
        }
    }

    @Test
    void vmmThatGoesWhileTheDeviceIsAwayIsNotWaitedFor() throws Exception {
        try (ProxyFixture fixture = fixture(Isolation.ENFORCED, 3_600_000)) {
            try (MockVfioUserClient client = fixture.ready()) {
                client.read(0, 0, 4);
                fixture.device.close();
                fixture.await(() -> fixture.function.losses() == 1);
            }
            fixture.awaitNoSession();
        }
    }

    /** Hangs up at a register, and then before it has done anything, so many times. */
    private static void comesAndGoes(ProxyFixture fixture, MockVfioUserClient client, int times)
            throws IOException {
        AtomicInteger atRegister = new AtomicInteger(1);
        AtomicInteger atMemory = new AtomicInteger(times);
        fixture.device.script =
                (device, asked) -> {
                    AtomicInteger left =
                            switch (asked.command()) {
                                case VFIO_USER_REGION_READ -> atRegister;
                                case VFIO_USER_DMA_MAP -> atMemory;
                                default -> new AtomicInteger();
                            };
                    if (left.getAndUpdate(n -> Math.max(0, n - 1)) == 0) {
                        return false;
                    }
                    device.hangUp();
                    return true;
                };
        // Whether it was asked for twice, or not at all before the last one came.
        assertThat(client.readRegion(0, 0, 4).error()).isIn(0, Errno.EIO);
    }

    @Test
    void deviceThatComesAndGoesIsWaitedForSoManyTimesAndNotOnceMore() throws Exception {
        int most = ProxyFunction.FRUITLESS_MAX;
        try (ProxyFixture fixture = fixture(Isolation.ENFORCED, RECONNECT_MILLIS);
                MockVfioUserClient client = fixture.ready()) {
            client.read(0, 0, 4);
            // The last one stays, and what it does counts anew.
            for (int round = 1; round <= 2; round++) {
                long returns = (long) round * most;
                comesAndGoes(fixture, client, most - 1);
                fixture.await(() -> fixture.function.returns() == returns);
                assertThat(client.read(0, 0, 4)).isZero();
            }
            assertThat(fixture.function.trouble()).isEmpty();
            comesAndGoes(fixture, client, most);
            client.awaitClose();
            fixture.awaitNoSession();
            assertThat(fixture.function.returns()).isEqualTo(3L * most);
            assertThat(fixture.server.lastReason())
                    .contains("it has come again %d times and gone".formatted(most));
        }
        // For the next VMM it begins anew.
        try (ProxyFixture fixture = fixture(Isolation.ENFORCED, RECONNECT_MILLIS)) {
            for (int vmm = 0; vmm < 2; vmm++) {
                try (MockVfioUserClient client = fixture.ready()) {
                    client.read(0, 0, 4);
                    comesAndGoes(fixture, client, most - 1);
                    long returns = (vmm + 1L) * most;
                    fixture.await(() -> fixture.function.returns() == returns);
                }
                fixture.awaitNoSession();
            }
        }
    }
}
