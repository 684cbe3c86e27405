// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VfioUser.*;
import static org.ioasis.spec.Virtio.STATUS_DEVICE_NEEDS_RESET;
import static org.ioasis.spec.VirtioPci.COMMON_CONFIG_MSIX_VECTOR;
import static org.ioasis.spec.VirtioPci.COMMON_DEVICE_STATUS;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.memory.DirectDma;
import org.ioasis.pci.EchoType;
import org.ioasis.pci.RegisterDriver;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.spec.Pci;
import org.ioasis.spec.SplitRing;
import org.ioasis.spec.Virtio;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.EventFd;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.ioasis.sys.Memfd;
import org.ioasis.virtqueue.BrokenReason;
import org.ioasis.virtqueue.DriverQueue;
import org.ioasis.virtqueue.RingFormat;
import org.junit.jupiter.api.Test;

/** A virtio device from the socket to its used ring: what a VMM and a guest driver do together. */
class VirtioOverVfioUserTest {
    private static final int RW = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
    private static final int EVENTFD_TRIGGER =
            VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    private static final long RAM = 1 << 20;

    /** As QEMU does it: reads and configuration writes wait, BAR writes are posted. */
    private record SocketBus(MockVfioUserClient client) implements RegisterDriver.Bus {
        @Override
        public long configRead(int offset, int size) {
            return read(VFIO_PCI_CONFIG_REGION_INDEX, offset, size);
        }

        @Override
        public void configWrite(int offset, int size, long value) {
            try {
                assertThat(
                                client.write(VFIO_PCI_CONFIG_REGION_INDEX, offset, size, value)
                                        .isError())
                        .isFalse();
            } catch (ErrnoException e) {
                throw new IllegalStateException(e);
            }
        }

        @Override
        public long read(int bar, long offset, int size) {
            try {
                return client.read(bar, offset, size);
            } catch (ErrnoException e) {
                throw new IllegalStateException(e);
            }
        }

        @Override
        public void write(int bar, long offset, int size, long value) {
            try {
                client.post(bar, offset, size, value);
            } catch (ErrnoException e) {
                throw new IllegalStateException(e);
            }
        }
    }

    private static ServerFixture<VirtioPciFunction> fixture() throws Exception {
        return new ServerFixture<>(
                ServerFixture.LIMITS,
                IdlePolicy.EVENT_DRIVEN,
                made ->
                        new VirtioPciFunction(
                                new EchoType(),
                                new DirectDma(made.memory(), made.guards().open()),
                                Virtio.F_VERSION_1,
                                Pci.CLASS_STORAGE_SCSI));
    }

    @Test
    void guestBringsTheDeviceUpAndItsInterruptArrivesEachBoot() throws Exception {
        Resources before = Resources.now();
        try (ServerFixture<VirtioPciFunction> fixture = fixture();
                Fd ram = Memfd.create("ioasis-ram", RAM);
                Mapping guest = Mapping.map(ram, 0, RAM, true)) {
            for (int boot = 0; boot < 3; boot++) {
                guest.segment().fill((byte) 0);
                try (MockVfioUserClient client = fixture.ready()) {
                    boot(client, ram, guest.segment());
                }
                fixture.awaitNoSession();
                assertThat(fixture.function.device().status()).isZero();
            }
            assertThat(fixture.loop.failures()).isZero();
        }
        assertThat(Resources.now()).isEqualTo(before);
    }

    @Test
    void deviceThatNeedsAResetIsInTheLogWithItsSocketAndTheReason() throws Exception {
        try (ServerFixture<VirtioPciFunction> fixture = fixture();
                Fd ram = Memfd.create("ioasis-ram", RAM);
                Mapping guest = Mapping.map(ram, 0, RAM, true);
                MockVfioUserClient client = fixture.ready()) {
            assertThat(client.map(0, RAM, 0, RW, ram).isError()).isFalse();
            RegisterDriver driver = new RegisterDriver(new SocketBus(client));
            MemorySegment memory = guest.segment().asSlice(0x1000, RingFormat.SPLIT.driverBytes(8));
            for (int i = 0; i < 2; i++) {
                DriverQueue ring = RingFormat.SPLIT.newDriver(memory, 0x1000, 8, false);
                driver.negotiate(Virtio.F_VERSION_1);
                driver.enableQueue(0, 0xffff, ring);
                driver.driverOk();
                // An index that no driver of a ring of 8 can have come to.
                guest.segment()
                        .set(
                                ValueLayout.JAVA_SHORT,
                                ring.driverAddress() + SplitRing.AVAIL_IDX,
                                (short) 99);
                driver.kick(0);
                assertThat(driver.common(COMMON_DEVICE_STATUS, 1) & STATUS_DEVICE_NEEDS_RESET)
                        .isNotZero();
            }
            String line =
                    "WARNING %s: the device needs a reset: %s"
                            .formatted(fixture.server.path(), BrokenReason.AVAIL_TOO_FAR);
            assertThat(fixture.log.lines()).as("once each time").containsExactly(line, line);
        }
    }

    @Test
    void whatItWritesIsLoggedAndWhatItReadsIsNot() throws Exception {
        try (ServerFixture<VirtioPciFunction> fixture = fixture();
                Fd ram = Memfd.create("ioasis-ram", RAM);
                Mapping guest = Mapping.map(ram, 0, RAM, true);
                MockVfioUserClient client = fixture.ready()) {
            assertThat(client.map(0, RAM, 0, RW, ram).isError()).isFalse();
            byte[] start = LoggingTest.start(4096);
            assertThat(client.call(VFIO_USER_DEVICE_FEATURE, start).isError()).isFalse();
            RegisterDriver driver = new RegisterDriver(new SocketBus(client));
            MemorySegment memory = guest.segment().asSlice(0x1000, RingFormat.SPLIT.driverBytes(8));
            DriverQueue ring = RingFormat.SPLIT.newDriver(memory, 0x1000, 8, false);
            driver.negotiate(Virtio.F_VERSION_1);
            driver.enableQueue(0, 0xffff, ring);
            driver.driverOk();
            int chain = offerChain(ring);
            driver.kick(0);
            fixture.await(() -> ring.take() == chain);
            assertThat(LoggingTest.told(client, 0, RAM, 4096))
                    .as("the used ring, and the buffer that is not at 0x4000")
                    .containsExactly(1, 5);
        }
    }

    private static void boot(MockVfioUserClient client, Fd ram, MemorySegment guest)
            throws Exception {
        assertThat(client.map(0, RAM, 0, RW, ram).isError()).isFalse();
        RegisterDriver driver = new RegisterDriver(new SocketBus(client));
        assertThat(client.reset().isError()).isFalse();
        try (EventFd vector = EventFd.create();
                Epoll epoll = Epoll.create()) {
            epoll.add(vector.fd(), Epoll.IN, 0);
            driver.enableMsix();
            setVector(client, 1, vector);
            driver.negotiate(Virtio.F_VERSION_1);
            driver.common(COMMON_CONFIG_MSIX_VECTOR, 2, 0);
            DriverQueue ring =
                    RingFormat.SPLIT.newDriver(
                            guest.asSlice(0x1000, RingFormat.SPLIT.driverBytes(8)),
                            0x1000,
                            8,
                            false);
            driver.enableQueue(1, 1, ring);
            driver.driverOk();
            assertThat(driver.common(COMMON_DEVICE_STATUS, 1)).isEqualTo(0xf);

            for (int i = 0; i < 100; i++) {
                guest.set(ValueLayout.JAVA_INT, 0x4000, i);
                int chain = offerChain(ring);
                driver.kick(1);
                assertThat(epoll.await(MockVfioUserClient.WAIT_MILLIS)).isOne();
                assertThat(vector.drain()).isOne();
                assertThat(ring.take()).isEqualTo(chain);
                assertThat(ring.usedCount()).isZero();
                assertThat(guest.get(ValueLayout.JAVA_BYTE, 0x5000)).isEqualTo((byte) (i + 1));
            }
        }
    }

    private static void setVector(MockVfioUserClient client, int vector, EventFd eventFd)
            throws ErrnoException {
        Fd borrowed = Fd.own(eventFd.fd());
        try (Fd sent = borrowed.duplicate()) {
            assertThat(client.setIrqs(EVENTFD_TRIGGER, 2, vector, 1, sent).isError()).isFalse();
        } finally {
            borrowed.transfer();
        }
    }

    private static int offerChain(DriverQueue ring) {
        int head = ring.begin();
        ring.readable(0x4000, 4);
        ring.writable(0x5000, 4);
        ring.offer();
        ring.expose();
        return head;
    }
}
