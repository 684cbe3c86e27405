// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** Pinned leases: what they hold up, for how long, and how they are taken back. */
class LeaseTest {
    private static final long FOREVER = Long.MAX_VALUE / 2;

    private final HandClock clock = new HandClock();
    private final List<PinnedLease> unrevocable = new ArrayList<>();
    private final Guards guards = new Guards(clock, unrevocable::add);
    private final GuestMemory memory = new GuestMemory(guards, 8);
    private final Guard guard = guards.open();
    private final DirectDma dma = new DirectDma(memory, guard);
    private final List<String> removed = new ArrayList<>();

    LeaseTest() {
        memory.add(Ram.ram(0x10000, 0x1000));
        memory.add(Ram.ram(0x20000, 0x1000));
    }

    private Lease pin(long address, long length, long deadline) {
        return requireNonNull(dma.pin(address, length, Access.WRITE, deadline));
    }

    private void remove(long gpa) {
        assertThat(memory.remove(gpa, gpa + 0xfff, () -> removed.add(Long.toHexString(gpa))))
                .isEqualTo(GuestMemory.Change.DONE);
    }

    private static boolean isAlive(Lease lease) {
        return lease.segment().scope().isAlive();
    }

    @Test
    void whatCannotBeResolvedCannotBePinned() {
        memory.add(Ram.readOnly(0x30000, 0x1000));
        memory.add(Ram.rom(0x40000, 0x1000));
        memory.add(new Region(0x50000, 0x50fff, Arena.ofAuto().allocate(0x1000), true, null));

        assertThat(dma.pin(0x60000, 1, Access.READ, FOREVER)).isNull();
        assertThat(dma.pin(0x30000, 1, Access.WRITE, FOREVER)).isNull();
        assertThat(dma.pin(0x40000, 1, Access.READ, FOREVER)).isNull();
        assertThat(dma.pin(0x50000, 1, Access.READ, FOREVER)).as("no lender").isNull();

        assertThat(guards.leaseCount()).isZero();
        assertThat(guard.isOpen()).isFalse();
    }

    @Test
    void pinInsideASectionIsRefusedAndTheSectionStaysOpen() {
        dma.enter();

        assertThatThrownBy(() -> dma.pin(0x10000, 1, Access.READ, FOREVER))
                .isInstanceOf(IllegalStateException.class);

        assertThat(guard.isOpen()).isTrue();
        dma.leave();
        assertThat(guards.leaseCount()).isZero();
    }

    @Test
    void aLeaseIsTheLongestPieceInOneRegion() {
        Lease lease = pin(0x10ff0, 0x1000, FOREVER);

        assertThat(lease.first()).isEqualTo(0x10ff0);
        assertThat(lease.last()).isEqualTo(0x10fff);
        assertThat(lease.segment().byteSize()).isEqualTo(0x10);
        assertThat(guard.isOpen()).isFalse();
        lease.close();
    }

    @Test
    void atTheLimitAPinIsRefusedUntilOneIsClosed() {
        List<Lease> leases = new ArrayList<>();
        for (int i = 0; i < Guards.LEASE_LIMIT; i++) {
            leases.add(pin(0x10000 + i, 1, FOREVER));
        }

        assertThat(dma.pin(0x20000, 1, Access.READ, FOREVER)).isNull();
        assertThat(guards.leaseCount()).isEqualTo(Guards.LEASE_LIMIT);
        leases.getFirst().close();
        leases.add(pin(0x20000, 1, FOREVER));

        leases.forEach(Lease::close);
        assertThat(guards.leaseCount()).isZero();
    }

    @Test
    void removalOfItsRegionWaitsUntilItIsClosed() {
        Lease lease = pin(0x10000, 0x10, FOREVER);

        remove(0x10000);
        remove(0x20000);

        assertThat(removed).as("only the other region is free").containsExactly("20000");
        guards.poll();
        assertThat(removed).hasSize(1);
        assertThat(isAlive(lease)).isTrue();
        lease.close();
        assertThat(isAlive(lease)).isFalse();
        assertThat(guards.poll()).isEqualTo(1);
        assertThat(removed).containsExactly("20000", "10000");
        assertThat(lease.isRevoked()).isFalse();
    }

    @Test
    void aLeaseInAnotherSessionsMemoryIsNotWaitedFor() {
        GuestMemory other = new GuestMemory(guards, 8);
        other.add(Ram.ram(0x10000, 0x1000));
        Lease lease =
                requireNonNull(new DirectDma(other, guard).pin(0x10000, 1, Access.READ, FOREVER));

        remove(0x10000);

        assertThat(removed).containsExactly("10000");
        lease.close();
    }

    @Test
    void aLeaseGivenAfterTheChangeDoesNotHoldItUp() {
        Lease old = pin(0x10000, 0x10, FOREVER);
        remove(0x10000);
        memory.add(Ram.ram(0x10000, 0x1000));
        Lease fresh = pin(0x10000, 0x10, FOREVER);

        guards.poll();
        assertThat(removed).isEmpty();
        old.close();
        guards.poll();

        assertThat(removed).containsExactly("10000");
        assertThat(isAlive(fresh)).isTrue();
        fresh.close();
    }

    @Test
    void atItsDeadlineALeaseIsTakenBackAndNotBefore() {
        Lease lease = pin(0x10000, 0x10, clock.getAsLong() + 1000);
        MemorySegment segment = lease.segment();
        remove(0x10000);

        clock.advance(999);
        guards.poll();
        assertThat(removed).isEmpty();
        assertThat(isAlive(lease)).isTrue();
        assertThat(lease.isRevoked()).isFalse();
        clock.advance(1);
        guards.poll();

        assertThat(removed).containsExactly("10000");
        assertThat(lease.isRevoked()).isTrue();
        assertThat(guards.leaseCount()).isZero();
        assertThatThrownBy(() -> segment.get(JAVA_BYTE, 0))
                .isInstanceOf(IllegalStateException.class);
        lease.close();
        assertThat(unrevocable).isEmpty();
    }

    @Test
    void closingTwiceIsAsGoodAsOnce() {
        Lease one = pin(0x10000, 1, FOREVER);
        Lease two = pin(0x10000, 1, FOREVER);

        one.close();
        one.close();

        assertThat(guards.leaseCount()).isEqualTo(1);
        two.close();
        assertThat(guards.leaseCount()).isZero();
    }

    @Test
    void anyThreadMayClose() throws InterruptedException, ExecutionException {
        Lease lease = pin(0x10000, 1, FOREVER);
        remove(0x10000);
        try (ExecutorService other = Executors.newSingleThreadExecutor()) {
            other.submit(lease::close).get();
        }

        assertThat(guards.poll()).isEqualTo(1);
        assertThat(removed).containsExactly("10000");
    }

    @Test
    void clearTakesLeasesBackWithoutWaitingForDeadlines() {
        Lease lease = pin(0x10000, 1, FOREVER);

        memory.clear(() -> removed.add("all"));

        assertThat(lease.isRevoked()).isTrue();
        assertThat(isAlive(lease)).isFalse();
        assertThat(removed).containsExactly("all");
    }

    @Test
    void clearAlsoTakesBackALeaseThatWasBeingMade() {
        Guard other = guards.open();
        other.enter(); // a pin on another thread is in its section
        memory.clear(() -> removed.add("all"));
        assertThat(removed).isEmpty();
        other.leave();

        guards.poll();

        assertThat(removed).containsExactly("all");
    }

    @Test
    void whatASystemCallHoldsIsToldOnceAndStaysUnansweredUntilItIsClosed() {
        Guards strict = new Guards(clock, unrevocable::add);
        GuestMemory held = new GuestMemory(strict, 8);
        held.add(Ram.ram(0x10000, 0x1000));
        StuckLease stuck = new StuckLease(strict, held, held, this, 0x10000, 0x1000f);
        held.remove(0x10000, 0x10fff, () -> removed.add("held"));

        clock.advance(10);
        strict.poll();
        strict.poll();
        strict.poll();

        assertThat(unrevocable).containsExactly(stuck.lease());
        assertThat(removed).isEmpty();
        assertThat(stuck.lease().isRevoked()).isFalse();
        assertThat(strict.hasPending()).isTrue();
        stuck.release();
        stuck.lease().close();
        strict.poll();
        assertThat(removed).containsExactly("held");
    }

    @Test
    void whatWasSaidToBeRevokedIsNotTakenBack() throws InterruptedException {
        StuckLease stuck = new StuckLease(guards, memory, memory, this, 0x10000, 0x1000f);
        AtomicBoolean isOver = new AtomicBoolean();
        AtomicInteger wasRevoked = new AtomicInteger();
        Thread borrower =
                Thread.ofPlatform()
                        .start(() -> {
                            while (!isOver.get()) {
                                if (stuck.lease().isRevoked()) {
                                    wasRevoked.incrementAndGet();
                                }
                            }
                        });

        for (int i = 0; i < 100_000; i++) {
            assertThat(stuck.lease().takeBack(false)).isFalse();
        }
        isOver.set(true);
        borrower.join();

        assertThat(wasRevoked).hasValue(0);
        stuck.release();
        assertThat(stuck.lease().takeBack(false)).isTrue();
        assertThat(stuck.lease().isRevoked()).isTrue();
    }

    @Test
    void aResetDoesNotWaitForWhatASystemCallHolds() {
        StuckLease stuck = new StuckLease(guards, memory, memory, this, 0x10000, 0x1000f);
        Lease other = pin(0x20000, 1, FOREVER);

        guards.awaitNow(
                new Quiescence() {
                    @Override
                    protected boolean isHeldBy(PinnedLease lease) {
                        return true;
                    }

                    @Override
                    protected void quiescent() {
                        removed.add("reset");
                    }
                });

        assertThat(removed).containsExactly("reset");
        assertThat(unrevocable).containsExactly(stuck.lease());
        assertThat(other.isRevoked()).isTrue();
        assertThat(guards.hasPending()).isFalse();
        stuck.release();
        stuck.lease().close();
        assertThat(guards.leaseCount()).isZero();
    }
}
