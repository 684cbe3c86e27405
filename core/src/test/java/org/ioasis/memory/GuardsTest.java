// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.invoke.VarHandle;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** Waiting for guarded sections: never too early, never for a section that began later. */
class GuardsTest {
    private final Guards guards = new Guards(new HandClock(), lease -> {});
    private final List<String> over = new ArrayList<>();

    private final class Change extends Quiescence {
        private final String name;

        Change(String name) {
            this.name = name;
        }

        @Override
        protected boolean isHeldBy(PinnedLease lease) {
            return false;
        }

        @Override
        protected void quiescent() {
            over.add(name);
        }
    }

    @Test
    void withoutAnOpenSectionItIsOverAtOnce() {
        guards.open();
        guards.open();

        guards.await(new Change("a"));

        assertThat(over).containsExactly("a");
        assertThat(guards.hasPending()).isFalse();
        assertThat(guards.poll()).isZero();
    }

    @Test
    void aSectionOnAnotherThreadIsWaitedFor() throws InterruptedException, ExecutionException {
        Guard guard = guards.open();
        try (ExecutorService other = Executors.newSingleThreadExecutor()) {
            other.submit(guard::enter).get();

            guards.await(new Change("a"));

            assertThat(over).isEmpty();
            assertThat(guards.hasPending()).isTrue();
            for (int i = 0; i < 1000; i++) {
                assertThat(guards.poll()).isZero();
            }
            other.submit(guard::leave).get();
            assertThat(over).isEmpty();
            assertThat(guards.poll()).isEqualTo(1);
            assertThat(over).containsExactly("a");
            assertThat(guards.hasPending()).isFalse();
        }
    }

    @Test
    void aSectionThatBeganLaterIsNotWaitedFor() {
        Guard early = guards.open();
        Guard late = guards.open();
        early.enter();
        guards.await(new Change("a"));
        late.enter();

        early.leave();

        assertThat(guards.poll()).isEqualTo(1);
        assertThat(over).containsExactly("a");
    }

    @Test
    void theSameThreadComingBackAtOnceIsNotWaitedForAgain() {
        Guard guard = guards.open();
        guard.enter();
        guards.await(new Change("a"));
        guard.leave();
        guard.enter();

        assertThat(guards.poll()).isEqualTo(1);
    }

    @Test
    void changesAreOverInTheOrderOfTheirSections() {
        Guard one = guards.open();
        Guard two = guards.open();
        one.enter();
        guards.await(new Change("first"));
        two.enter();
        guards.await(new Change("second"));

        two.leave();
        assertThat(guards.poll()).isZero(); // the second one still waits for section one
        one.leave();

        assertThat(guards.poll()).isEqualTo(2);
        assertThat(over).containsExactly("first", "second");
    }

    @Test
    void changesOfOneEpochWaitForItsSectionsAndForNoneThatBeginsLater() {
        Guard one = guards.open();
        Guard two = guards.open();
        one.enter();
        long epoch = guards.nextEpoch();
        assertThat(guards.isQuiet(epoch)).isFalse();
        two.enter();
        guards.await(new Change("first"), epoch);
        guards.await(new Change("second"), epoch);
        assertThat(guards.poll()).isZero();

        one.leave();

        assertThat(guards.poll()).isEqualTo(2);
        assertThat(over).containsExactly("first", "second");
    }

    @Test
    void aChangeCanBeUsedAgainButNotWhileItWaits() {
        Guard guard = guards.open();
        Change change = new Change("a");
        guard.enter();
        guards.await(change);

        assertThatThrownBy(() -> guards.await(change)).isInstanceOf(IllegalStateException.class);

        guard.leave();
        guards.poll();
        guards.await(change);
        assertThat(over).containsExactly("a", "a");
    }

    @Test
    void whatIsOverMayStartAnotherWait() {
        Guard guard = guards.open();
        Guard later = guards.open();
        Change next = new Change("next");
        guard.enter();
        guards.await(
                new Quiescence() {
                    @Override
                    protected boolean isHeldBy(PinnedLease lease) {
                        return false;
                    }

                    @Override
                    protected void quiescent() {
                        over.add("first");
                        later.enter();
                        guards.await(next);
                    }
                });
        guard.leave();

        assertThat(guards.poll()).isEqualTo(1);
        assertThat(over).containsExactly("first");
        assertThat(guards.hasPending()).isTrue();
        later.leave();
        guards.poll();
        assertThat(over).containsExactly("first", "next");
    }

    @Test
    void awaitNowReturnsWhenTheSectionHasEnded() throws InterruptedException, ExecutionException {
        Guard guard = guards.open();
        AtomicLong left = new AtomicLong();
        try (ExecutorService other = Executors.newSingleThreadExecutor()) {
            other.submit(guard::enter).get();
            other.execute(() -> {
                while (guards.epoch() == 1) {
                    Thread.onSpinWait(); // until the waiting has begun
                }
                left.set(1);
                guard.leave();
            });

            guards.awaitNow(new Change("a"));

            assertThat(left).hasValue(1);
            assertThat(over).containsExactly("a");
        }
    }

    @Test
    void sectionsDoNotNest() {
        Guard guard = guards.open();
        guard.enter();

        assertThatThrownBy(guard::enter).isInstanceOf(IllegalStateException.class);

        assertThat(guard.isOpen()).isTrue();
        guard.leave();
        assertThat(guard.isOpen()).isFalse();
    }

    /** What one mapping leads to; poisoned when nobody may use it any more. */
    private static final class Target {
        private volatile boolean poisoned;
    }

    private static final class Round extends Quiescence {
        private int count;

        @Override
        protected boolean isHeldBy(PinnedLease lease) {
            return false;
        }

        @Override
        protected void quiescent() {
            count++;
        }
    }

    /**
     * The handshake itself: one thread enters, loads, uses, leaves; the other clears, waits,
     * poisons. Without the fence on either side this sees stale uses.
     */
    @Test
    void noSectionEverUsesWhatWasAnsweredToBeGone() throws InterruptedException {
        int rounds = 300_000;
        Guard guard = guards.open();
        AtomicReference<@Nullable Target> mapping = new AtomicReference<>();
        AtomicReference<String> end = new AtomicReference<>("");
        AtomicLong stale = new AtomicLong();
        AtomicLong uses = new AtomicLong();
        Thread reader =
                new Thread(() -> {
                    long seen = 0;
                    long bad = 0;
                    while (end.getPlain().isEmpty()) {
                        for (int i = 0; i < 64; i++) {
                            guard.enter();
                            Target target = mapping.getAcquire();
                            if (target != null) {
                                seen++;
                                if (target.poisoned) {
                                    bad++;
                                }
                            }
                            guard.leave();
                        }
                        VarHandle.fullFence();
                    }
                    stale.set(bad);
                    uses.set(seen);
                });
        reader.start();
        Round change = new Round();
        for (int i = 0; i < rounds; i++) {
            Target target = new Target();
            mapping.setRelease(target);
            for (int j = i & 15; j > 0; j--) {
                Thread.onSpinWait();
            }
            mapping.setRelease(null);
            guards.await(change);
            while (guards.hasPending()) {
                guards.poll();
                Thread.onSpinWait();
            }
            target.poisoned = true;
        }
        end.set("done");
        reader.join();

        assertThat(change.count).isEqualTo(rounds);
        assertThat(uses.get()).isPositive();
        assertThat(stale.get()).isZero();
    }

    /** The same through guest memory: a region taken away and poisoned while a device reads. */
    @Test
    void aReaderSeesARegionWholeOrNotAtAllWhileItComesAndGoes() throws InterruptedException {
        int rounds = 20_000;
        GuestMemory memory = new GuestMemory(guards, 4);
        DirectDma dma = new DirectDma(memory, guards.open());
        AtomicReference<String> end = new AtomicReference<>("");
        AtomicLong wrong = new AtomicLong();
        AtomicLong good = new AtomicLong();
        Thread reader =
                new Thread(() -> {
                    byte[] bytes = new byte[64];
                    var buffer = java.lang.foreign.MemorySegment.ofArray(bytes);
                    while (end.get().isEmpty()) {
                        dma.enter();
                        Outcome outcome = dma.read(0x10000, buffer, 0, 64);
                        dma.leave();
                        if (outcome == Outcome.OK) {
                            boolean ok = bytes[0] > 0;
                            for (byte b : bytes) {
                                ok &= b == bytes[0];
                            }
                            (ok ? good : wrong).incrementAndGet();
                        } else if (outcome != Outcome.ABSENT) {
                            wrong.incrementAndGet();
                        }
                    }
                });
        Region[] pool = {Ram.ram(0x10000, 64), Ram.ram(0x10000, 64)};
        reader.start();
        for (int i = 0; i < rounds; i++) {
            Region region = pool[i & 1];
            var segment = java.util.Objects.requireNonNull(region.segment());
            segment.fill((byte) (1 + i % 100));
            memory.add(region);
            memory.remove(0x10000, 0x1003f, () -> segment.fill((byte) -1));
            while (guards.hasPending()) {
                guards.poll();
                Thread.onSpinWait();
            }
        }
        java.util.Objects.requireNonNull(pool[0].segment()).fill((byte) 1);
        memory.add(pool[0]);
        end.set("done");
        reader.join();

        assertThat(wrong.get()).isZero();
    }
}
