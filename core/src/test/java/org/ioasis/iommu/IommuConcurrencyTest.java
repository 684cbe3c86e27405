// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommu.Machine.FOREVER;
import static org.ioasis.iommu.Machine.RAM;
import static org.ioasis.iommu.mapping.MapFlags.READ;

import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.MappingStores;
import org.ioasis.iommu.mapping.SegmentTables;
import org.ioasis.iommu.mapping.TablePool;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.HandClock;
import org.ioasis.memory.Lease;
import org.ioasis.memory.Outcome;
import org.ioasis.memory.Ram;
import org.ioasis.virtio.iommu.DomainTable;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Devices on threads of their own while the loop thread changes what they see. */
class IommuConcurrencyTest {
    private static final int PAGES = 8;

    @Test
    @Tag("D-31")
    @DisplayName("D-31, invariant 3: after UNMAP or DETACH is answered no access uses the old page")
    void noAccessUsesAPageAfterItsUnmapWasAnswered() throws InterruptedException {
        int rounds = 20_000;
        Machine m = new Machine(Machine.STRICT);
        Endpoint one = m.plug(1);
        m.plug(2);
        Dma dma = m.iommu.dma(one, m.memory, m.guards.open());
        MemorySegment ram = requireNonNull(m.ram.segment());
        AtomicBoolean isOver = new AtomicBoolean();
        AtomicLong wrong = new AtomicLong();
        AtomicLong good = new AtomicLong();
        Thread device =
                new Thread(() -> {
                    byte[] bytes = new byte[256];
                    MemorySegment buffer = MemorySegment.ofArray(bytes);
                    while (!isOver.get()) {
                        dma.enter();
                        Outcome outcome = dma.read(0x5000, buffer, 0, bytes.length);
                        dma.leave();
                        if (outcome == Outcome.OK) {
                            boolean isWhole = bytes[0] > 0;
                            for (byte b : bytes) {
                                isWhole &= b == bytes[0];
                            }
                            (isWhole ? good : wrong).incrementAndGet();
                        } else if (outcome != Outcome.FAULT) {
                            wrong.incrementAndGet();
                        }
                    }
                });
        m.attach(2, 7); // keeps the domain alive
        device.start();
        for (int i = 0; i < rounds || (good.get() == 0 && i < 50 * rounds); i++) {
            long offset = (i % PAGES) * 0x1000L;
            MemorySegment page = ram.asSlice(offset, 0x1000);
            page.fill((byte) (1 + i % 100));
            await(m, done -> m.requests.attach(1, 7, false, done));
            await(m, done -> m.requests.map(7, 0x5000, 0x5fff, RAM + offset, READ, done));
            if (i % 2 == 0) {
                await(m, done -> m.requests.unmap(7, 0x5000, 0x5fff, done));
                page.fill((byte) -1);
            } else {
                await(m, done -> m.requests.detach(1, 7, done));
                page.fill((byte) -1);
                await(m, done -> m.requests.unmap(7, 0x5000, 0x5fff, done));
            }
        }
        isOver.set(true);
        device.join();

        assertThat(wrong.get()).isZero();
        assertThat(good.get()).isPositive();
    }

    private interface Request {
        void to(Completion completion);
    }

    private static void await(Machine m, Request request) {
        Replies.One reply = new Replies.One();
        request.to(reply);
        while (!reply.isThere()) {
            m.guards.poll();
            Thread.onSpinWait();
        }
        assertThat(reply.status()).isEqualTo(Status.OK);
    }

    /** Tables in which something happens on the loop thread when they are next looked into. */
    private static final class Interrupted extends SegmentTables {
        private static final int SIZE = 4 << 12;

        private Runnable atNextLook = () -> {};

        Interrupted() {
            super(SIZE);
        }

        @Override
        public long getAcquire(long word) {
            Runnable task = atNextLook;
            atNextLook = () -> {};
            task.run();
            return super.getAcquire(word);
        }
    }

    @Test
    void aLeaseIsHeldAgainstTheDomainThatItsAddressWasResolvedIn() {
        HandClock clock = new HandClock();
        Guards guards = new Guards(clock, lease -> {});
        GuestMemory memory = new GuestMemory(guards, 4);
        memory.add(Ram.ram(RAM, 0x1000));
        Interrupted tables = new Interrupted();
        Iommu iommu =
                new Iommu(
                        Machine.STRICT,
                        guards,
                        new FaultQueue(4, 4, clock),
                        MappingStores.forPageSizes(
                                0x1000, new TablePool(tables, Interrupted.SIZE, guards)));
        DomainTable requests = new DomainTable(iommu);
        Endpoint one = iommu.plug(1, EndpointProperties.UNLIMITED);
        iommu.plug(2, EndpointProperties.UNLIMITED);
        Replies replies = new Replies();
        requests.attach(1, 7, false, replies.as("attach1"));
        requests.attach(2, 7, false, replies.as("attach2"));
        requests.map(7, 0, 0xfff, RAM, READ, replies.as("map"));
        Dma dma = iommu.dma(one, memory, guards.open());
        tables.atNextLook = () -> requests.attach(1, 8, true, replies.as("move"));

        Lease lease = requireNonNull(dma.pin(0, 1, Access.READ, FOREVER));
        requests.unmap(7, 0, 0xfff, replies.as("unmap"));
        guards.poll();

        assertThat(replies.all()).containsExactly("attach1=OK", "attach2=OK", "map=OK");
        lease.close();
        guards.poll();
        assertThat(replies.all()).contains("move=OK", "unmap=OK");
    }
}
