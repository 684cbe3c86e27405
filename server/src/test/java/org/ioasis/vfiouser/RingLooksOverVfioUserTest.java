// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VfioUser.VFIO_DMA_MAP_FLAG_READ;
import static org.ioasis.spec.VfioUser.VFIO_DMA_MAP_FLAG_WRITE;
import static org.ioasis.spec.VfioUser.VFIO_PCI_CONFIG_REGION_INDEX;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.LongSupplier;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.memory.DirectDma;
import org.ioasis.pci.EchoType;
import org.ioasis.pci.RegisterDriver;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.peer.ServerWait;
import org.ioasis.peer.SharedMemory;
import org.ioasis.spec.Pci;
import org.ioasis.spec.SplitRing;
import org.ioasis.spec.Virtio;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.ioasis.sys.Memfd;
import org.ioasis.virtqueue.DriverQueue;
import org.ioasis.virtqueue.RingFormat;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A loop that looks at the rings of a device whose guest runs beside it, and kicks only when it is
 * asked to. A kick that is lost is a guest that waits for ever.
 */
class RingLooksOverVfioUserTest {
    private static final int RW = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
    private static final long RAM = 1 << 20;
    private static final int SIZE = 8;
    private static final long RINGS = 0x1000;
    private static final long PATIENCE_NANOS = MockVfioUserClient.WAIT_MILLIS * 1_000_000L;

    private static ServerFixture<VirtioPciFunction> fixture(long lookNanos) throws Exception {
        return fixture(lookNanos, System::nanoTime);
    }

    private static ServerFixture<VirtioPciFunction> fixture(long lookNanos, LongSupplier nanoTime)
            throws Exception {
        return new ServerFixture<>(
                ServerFixture.REGIONS,
                ServerFixture.LIMITS,
                new IdlePolicy(lookNanos),
                nanoTime,
                made -> echo(made, Runnable::run));
    }

    private static VirtioPciFunction echo(
            ServerFixture.GuestMemoryAndGuards made, Executor deviceThread) {
        return new VirtioPciFunction(
                new EchoType(deviceThread),
                new DirectDma(made.memory(), made.guards().open()),
                Virtio.F_VERSION_1 | Virtio.F_EVENT_IDX,
                Pci.CLASS_STORAGE_SCSI);
    }

    /** A guest that has one chain out at a time. */
    private static class Guest {
        private final MemorySegment ram;
        final DriverQueue ring;
        final RegisterDriver driver;
        int chains;
        int kicks;

        Guest(MockVfioUserClient client, MemorySegment ram, boolean hasEventIdx) throws Exception {
            this.ram = ram;
            ring =
                    RingFormat.SPLIT.newDriver(
                            ram.asSlice(RINGS, RingFormat.SPLIT.driverBytes(SIZE)),
                            RINGS,
                            SIZE,
                            hasEventIdx);
            driver = new RegisterDriver(new SocketBus(client));
            assertThat(client.reset().isError()).isFalse();
            driver.enableMsix();
            driver.negotiate(Virtio.F_VERSION_1 | (hasEventIdx ? Virtio.F_EVENT_IDX : 0));
            driver.enableQueue(1, 1, ring);
            driver.driverOk();
        }

        /** Makes a chain available, and kicks if it is asked to. */
        void offer() {
            ram.set(ValueLayout.JAVA_INT, 0x4000, chains);
            chain();
            ring.expose();
            chains++;
            if (ring.shouldKick()) {
                kicks++;
                driver.kick(1);
            }
        }

        final void chain() {
            int _ = ring.begin();
            ring.readable(0x4000, 4);
            ring.writable(0x5000, 4);
            ring.offer();
        }

        /** Waits for it, as Linux's driver of an IOMMU does, and looks at the data. */
        void await() {
            long deadline = System.nanoTime() + PATIENCE_NANOS;
            while (ring.take() == DriverQueue.NONE) {
                if (System.nanoTime() - deadline > 0) {
                    throw new AssertionError(
                            "chain %d does not come back; %d kicks".formatted(chains, kicks));
                }
                Thread.onSpinWait();
            }
            assertThat(ram.get(ValueLayout.JAVA_BYTE, 0x5000)).isEqualTo((byte) chains);
        }

        void run(int count) {
            for (int i = 0; i < count; i++) {
                offer();
                await();
            }
        }
    }

    /** As QEMU does it: reads and configuration writes wait, BAR writes are posted. */
    private record SocketBus(MockVfioUserClient client) implements RegisterDriver.Bus {
        private interface Call<T> {
            T make() throws ErrnoException;
        }

        private static <T> T call(Call<T> call) {
            try {
                return call.make();
            } catch (ErrnoException e) {
                throw new IllegalStateException(e);
            }
        }

        @Override
        public long configRead(int offset, int size) {
            return read(VFIO_PCI_CONFIG_REGION_INDEX, offset, size);
        }

        @Override
        public void configWrite(int offset, int size, long value) {
            int region = VFIO_PCI_CONFIG_REGION_INDEX;
            assertThat(call(() -> client.write(region, offset, size, value)).isError()).isFalse();
        }

        @Override
        public long read(int bar, long offset, int size) {
            return call(() -> client.read(bar, offset, size));
        }

        @Override
        public void write(int bar, long offset, int size, long value) {
            boolean _ =
                    call(() -> {
                        client.post(bar, offset, size, value);
                        return true;
                    });
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void noKickIsLostWhileTheLoopLooksSleepsAndLooksAgain(boolean hasEventIdx) throws Exception {
        try (ServerFixture<VirtioPciFunction> fixture = fixture(IdlePolicy.ADAPTIVE.lookNanos());
                Fd ram = Memfd.create("ioasis-ram", RAM);
                Mapping memory = Mapping.map(ram, 0, RAM, true);
                MockVfioUserClient client = fixture.ready()) {
            assertThat(client.map(0, RAM, 0, RW, ram).isError()).isFalse();
            Guest guest = new Guest(client, memory.segment(), hasEventIdx);

            // More rounds where others take the processor: then nothing is looked at for a while.
            for (int round = 0; fixture.loop.counts().finds() < 1000; round++) {
                assertThat(round).as(fixture.loop.dump()).isLessThan(1000);
                guest.run(500);
                long sleeps = fixture.loop.counts().sleeps();
                fixture.await(() -> fixture.loop.counts().sleeps() > sleeps || isIdle(fixture));
            }

            assertThat(guest.kicks).isLessThan(guest.chains);
            assertThat(fixture.loop.counts().rests()).isPositive();
            assertThat(fixture.loop.failures()).isZero();
        }
    }

    /** It has slept since it looked last. */
    private static boolean isIdle(ServerFixture<VirtioPciFunction> fixture) {
        long looks = fixture.loop.counts().looks();
        ServerWait.pause();
        return fixture.loop.counts().looks() == looks;
    }

    @Test
    void loopThatNeverLooksIsKickedForEachChain() throws Exception {
        try (ServerFixture<VirtioPciFunction> fixture = fixture(0);
                Fd ram = Memfd.create("ioasis-ram", RAM);
                Mapping memory = Mapping.map(ram, 0, RAM, true);
                MockVfioUserClient client = fixture.ready()) {
            assertThat(client.map(0, RAM, 0, RW, ram).isError()).isFalse();
            Guest guest = new Guest(client, memory.segment(), true);

            guest.run(500);

            assertThat(guest.kicks).isEqualTo(500);
            assertThat(fixture.loop.counts().looks()).isZero();
        }
    }

    /** Looks for as long as it takes: a second is never over in a test that does not wait. */
    private static void warmUp(ServerFixture<VirtioPciFunction> fixture, Guest guest)
            throws Exception {
        for (int round = 0; fixture.loop.counts().finds() == 0; round++) {
            assertThat(round).as(fixture.loop.dump()).isLessThan(10_000);
            guest.run(50);
        }
    }

    @Test
    void ringWhosePagesGoAwayWhileItIsLookedAtIsDoneWhenTheyAreBack() throws Exception {
        try (ServerFixture<VirtioPciFunction> fixture = fixture(1_000_000_000);
                Fd ram = Memfd.create("ioasis-ram", RAM);
                Mapping memory = Mapping.map(ram, 0, RAM, true);
                MockVfioUserClient client = fixture.ready()) {
            assertThat(client.map(0, RAM, 0, RW, ram).isError()).isFalse();
            Guest guest = new Guest(client, memory.segment(), true);
            warmUp(fixture, guest);

            for (int round = 0; round < 20; round++) {
                guest.run(20);
                assertThat(client.unmap(0, RAM).isError()).isFalse();
                guest.offer();
                assertThat(client.map(0, RAM, 0, RW, ram).isError()).isFalse();
                guest.await();
            }

            assertThat(fixture.loop.failures()).isZero();
            assertThat(fixture.function.device().brokenReason()).isNull();
        }
    }

    /** A guest that makes everything available again as soon as it was used, all the time. */
    private static final class GreedyGuest extends Guest implements Runnable {
        private static final VarHandle U16 = ValueLayout.JAVA_SHORT.varHandle();
        private static final int PATIENT_TURNS = 10_000;

        private final MemorySegment avail;
        private final MemorySegment used;
        volatile boolean isOver;
        volatile long moves;

        GreedyGuest(MockVfioUserClient client, MemorySegment ram) throws Exception {
            super(client, ram, false);
            avail = ram.asSlice(ring.driverAddress());
            used = ram.asSlice(ring.deviceAddress());
            chain();
            // All entries of the ring name that chain already: it is the one of number 0.
        }

        @Override
        public void run() {
            int unchanged = PATIENT_TURNS;
            long count = 0;
            for (short last = 0; !isOver; ) {
                short now = (short) U16.getAcquire(used, (long) SplitRing.USED_IDX);
                if (now != last || count == 0) {
                    U16.setRelease(avail, (long) SplitRing.AVAIL_IDX, (short) (now + SIZE));
                    last = now;
                    moves = ++count;
                    unchanged = PATIENT_TURNS;
                } else if (unchanged-- == 0) {
                    driver.kick(1);
                    unchanged = PATIENT_TURNS;
                }
            }
        }
    }

    @Test
    void driverThatMovesItsIndexAllTheTimeLeavesTheOthersTheirTurns() throws Exception {
        try (ServerFixture<VirtioPciFunction> fixture = fixture(IdlePolicy.ADAPTIVE.lookNanos());
                VfioUserServer server = fixture.another(made -> echo(made, fixture.loop::execute));
                Fd ram = Memfd.create("ioasis-ram", RAM);
                Mapping memory = Mapping.map(ram, 0, RAM, true);
                Fd greedyRam = Memfd.create("ioasis-ram", RAM);
                Mapping greedyMemory = Mapping.map(greedyRam, 0, RAM, true);
                MockVfioUserClient client = fixture.ready();
                MockVfioUserClient greedyClient = MockVfioUserClient.ready(server.path())) {
            assertThat(client.map(0, RAM, 0, RW, ram).isError()).isFalse();
            assertThat(greedyClient.map(0, RAM, 0, RW, greedyRam).isError()).isFalse();
            Guest guest = new Guest(client, memory.segment(), true);
            GreedyGuest greedy = new GreedyGuest(greedyClient, greedyMemory.segment());
            Thread thread = Thread.ofPlatform().start(greedy);
            try {
                fixture.await(() -> greedy.moves > 1000);
                long moves = greedy.moves;

                for (int round = 0; round < 50; round++) {
                    guest.run(20);
                    assertThat(client.read(VFIO_PCI_CONFIG_REGION_INDEX, 0, 4)).isNotNegative();
                }

                fixture.await(() -> greedy.moves > moves + 1000);
            } finally {
                greedy.isOver = true;
                thread.join();
            }
            assertThat(fixture.loop.counts().finds()).isPositive();
            assertThat(fixture.loop.failures()).isZero();
            assertThat(server.hasSession()).isTrue();
        }
    }

    @Test
    void guestThatStandsStillWhileItIsLookedAtIsNotWaitedForAndGoesOn() throws Exception {
        try (ServerFixture<VirtioPciFunction> fixture = fixture(IdlePolicy.ADAPTIVE.lookNanos());
                VfioUserServer server = fixture.another(made -> echo(made, Runnable::run));
                Fd ram = Memfd.create("ioasis-ram", RAM);
                Mapping memory = Mapping.map(ram, 0, RAM, true);
                Fd otherRam = Memfd.create("ioasis-ram", RAM);
                Mapping otherMemory = Mapping.map(otherRam, 0, RAM, true);
                MockVfioUserClient client = fixture.ready();
                MockVfioUserClient otherClient = MockVfioUserClient.ready(server.path())) {
            assertThat(client.map(0, RAM, 0, RW, ram).isError()).isFalse();
            assertThat(otherClient.map(0, RAM, 0, RW, otherRam).isError()).isFalse();
            Guest guest = new Guest(client, memory.segment(), true);
            Guest other = new Guest(otherClient, otherMemory.segment(), true);

            for (int round = 0; round < 10; round++) {
                warmUp(fixture, guest);
                guest.offer(); // as it is stopped by SIGSTOP, right after that
                other.run(200);
                fixture.await(() -> isIdle(fixture));
                guest.await();
                guest.run(20);
            }

            assertThat(fixture.loop.failures()).isZero();
        }
    }

    @Test
    void sessionThatIsIdleWakesNobodyAndOneThatWaitsForMemoryIsToldTheTime() throws Exception {
        AtomicLong ahead = new AtomicLong();
        try (ServerFixture<VirtioPciFunction> fixture =
                        fixture(
                                IdlePolicy.ADAPTIVE.lookNanos(),
                                () -> System.nanoTime() + ahead.get());
                Fd ram = Memfd.create("ioasis-ram", RAM);
                Mapping memory = Mapping.map(ram, 0, RAM, true);
                MockVfioUserClient client = fixture.ready()) {
            assertThat(client.map(0, RAM, 0, RW, ram).isError()).isFalse();
            Guest guest = new Guest(client, memory.segment(), true);
            guest.run(100);

            long timers = fixture.loop.counts().timers();
            for (int i = 0; i < 10; i++) {
                ahead.addAndGet(3_600_000_000_000L);
                assertThat(fixture.loop.executeAndWait(() -> {}, PATIENCE_NANOS)).isTrue();
            }
            assertThat(fixture.loop.dump()).contains("timers " + timers + " run and 0 waiting");

            assertThat(client.unmap(0, RAM).isError()).isFalse();
            guest.driver.kick(1);
            fixture.await(() -> fixture.loop.dump().contains(" run and 1 waiting\n"));
            AtomicReference<@Nullable String> broken = new AtomicReference<>();
            for (int i = 0; broken.get() == null; i++) {
                assertThat(i).as(fixture.loop.dump()).isLessThan(1000);
                ahead.addAndGet(500_000_000);
                assertThat(
                                fixture.loop.executeAndWait(
                                        () -> broken.set(fixture.function.device().brokenReason()),
                                        PATIENCE_NANOS))
                        .isTrue();
            }
            assertThat(fixture.loop.counts().timers()).isGreaterThan(timers + 1);
            assertThat(fixture.loop.executeAndWait(() -> {}, PATIENCE_NANOS)).isTrue();
            assertThat(fixture.loop.dump()).contains("run and 0 waiting\n  waits");
        }
    }

    @Test
    void memoryThatIsTruncatedWhileItIsLookedAtEndsThatSessionAlone() throws Exception {
        try (ServerFixture<VirtioPciFunction> fixture = fixture(1_000_000_000);
                Fd ram = Memfd.create("ioasis-ram", RAM);
                Mapping memory = Mapping.map(ram, 0, RAM, true);
                MockVfioUserClient client = fixture.ready()) {
            assertThat(client.map(0, RAM, 0, RW, ram).isError()).isFalse();
            Guest guest = new Guest(client, memory.segment(), true);
            warmUp(fixture, guest);

            try (FileChannel file =
                    FileChannel.open(
                            Path.of("/proc/self/fd/" + ram.number()), StandardOpenOption.WRITE)) {
                boolean _ = file.truncate(0).isOpen();
            }
            try {
                guest.driver.kick(1);
            } catch (IllegalStateException gone) {
                assertThat(gone)
                        .as("the loop has looked")
                        .hasMessageMatching(".*(EPIPE|ECONNRESET).*");
            }
            fixture.awaitNoSession();

            assertThat(fixture.server.lastReason()).startsWith(SharedMemory.GONE);
            assertThat(fixture.loop.executeAndWait(() -> {}, PATIENCE_NANOS)).isTrue();
            assertThat(fixture.loop.hasFailed()).isFalse();
        }
    }
}
