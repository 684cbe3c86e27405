// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.ioasid.IoasidAllocator.INVALID;
import static org.ioasis.ioasid.IoasidAllocator.LAST;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import org.ioasis.host.Allocation;
import org.ioasis.iommufd.IommufdException;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Look-ups beside changes: what a getter has does not go before it is done. */
@Timeout(120)
class IoasidReaderTest {
    /** How often a getter looks whether what it has went away under it. */
    private static final int LOOKS = 2_000_000;

    private final IoasidAllocator ids = new IoasidAllocator();
    private final IoasidSet<Owned> set = new IoasidSet<>("shared", Owned.class);

    /** True if the data went while the getter had it. */
    private boolean goesUnderAGetter(
            int id, Owned old, Runnable change, BooleanSupplier isTakenAway)
            throws InterruptedException {
        Thread owner =
                new Thread(() -> {
                    change.run();
                    old.isDropped = true;
                });
        boolean[] went = {false};
        try (IoasidReader reader = ids.openReader()) {
            IoasidFind answer =
                    reader.find(
                            set,
                            id,
                            data -> {
                                assertThat(data).isSameAs(old);
                                owner.start();
                                while (!isTakenAway.getAsBoolean()) {
                                    Thread.onSpinWait();
                                }
                                for (int i = 0; i < LOOKS && !data.isDropped; i++) {
                                    Thread.onSpinWait();
                                }
                                went[0] = data.isDropped;
                                return true;
                            });
            assertThat(answer).isEqualTo(IoasidFind.FOUND);
        }
        owner.join();
        assertThat(old.isDropped).isTrue();
        return went[0];
    }

    private static Runnable always(Change change) {
        return () -> {
            try {
                change.run();
            } catch (IommufdException e) {
                throw new AssertionError(e);
            }
        };
    }

    /** What takes something away. */
    @FunctionalInterface
    private interface Change {
        void run() throws IommufdException;
    }

    @Test
    @Tag("S18")
    void oldDataIsNotDroppedBeforeEveryGetterHasLeft() throws InterruptedException {
        Owned old = new Owned("old");
        Owned fresh = new Owned("new");
        int id = ids.allocate(set, 1, 9, old);
        try (IoasidReader outside = ids.openReader()) {
            boolean went =
                    goesUnderAGetter(
                            id,
                            old,
                            always(() -> ids.setData(set, id, fresh)),
                            () -> {
                                boolean[] isNew = {false};
                                IoasidFind answer =
                                        outside.find(
                                                set,
                                                id,
                                                data -> {
                                                    isNew[0] = data.equals(fresh);
                                                    return true;
                                                });
                                return answer == IoasidFind.FOUND && isNew[0];
                            });
            assertThat(went).isFalse();
        }
    }

    @Test
    @Tag("S19")
    void dataOfAnIdThatGoesBackIsNotDroppedBeforeEveryGetterHasLeft() throws InterruptedException {
        Owned old = new Owned("old");
        int id = ids.allocate(set, 1, 9, old);
        try (IoasidReader outside = ids.openReader()) {
            boolean went =
                    goesUnderAGetter(
                            id,
                            old,
                            () -> assertThat(ids.put(id)).isTrue(),
                            () -> outside.find(set, id, _ -> true) == IoasidFind.MISSING);
            assertThat(went).isFalse();
        }
    }

    @Test
    @Tag("S19")
    void dataOfAFreedIdIsNotDroppedBeforeEveryGetterHasLeft() throws InterruptedException {
        Owned old = new Owned("old");
        int id = ids.allocate(set, 1, 9, old);
        assertThat(ids.get(id)).isTrue();
        try (IoasidReader outside = ids.openReader()) {
            boolean went =
                    goesUnderAGetter(
                            id,
                            old,
                            () -> assertThat(ids.free(id)).isFalse(),
                            () -> outside.find(set, id, _ -> true) == IoasidFind.MISSING);
            assertThat(went).isFalse();
        }
    }

    @Test
    @Tag("S19")
    void lookUpsBesideFreesNeverYieldADeadObject() throws InterruptedException {
        int rounds = 20_000;
        AtomicInteger current = new AtomicInteger(INVALID);
        AtomicInteger isOver = new AtomicInteger();
        List<String> dead = new ArrayList<>();
        int[] found = {0};
        Thread looking =
                new Thread(() -> {
                    try (IoasidReader reader = ids.openReader()) {
                        while (isOver.get() == 0) {
                            IoasidFind answer =
                                    reader.find(
                                            set,
                                            current.get(),
                                            data -> {
                                                if (data.isDropped) {
                                                    dead.add(data.name);
                                                }
                                                return true;
                                            });
                            found[0] += answer == IoasidFind.FOUND ? 1 : 0;
                        }
                    }
                });
        looking.start();
        for (int i = 0; i < rounds || found[0] == 0; i++) {
            Owned owner = new Owned("round " + i);
            int id = ids.allocate(set, 1, 4, owner);
            current.set(id);
            assertThat(ids.put(id)).isTrue();
            owner.isDropped = true;
        }
        isOver.set(1);
        looking.join();
        assertThat(dead).isEmpty();
        assertThat(found[0]).isPositive();
    }

    @Test
    @Tag("S19")
    @Tag("S20")
    void aLookUpAllocatesNothing() throws IommufdException {
        Owned owner = new Owned("mm");
        QuotaSet<Owned> quota = new IoasidSets(ids, 10).create(null, "vm", Owned.class, 10);
        int id = ids.allocate(set, 1, LAST, owner);
        int theirs = quota.allocate(1, LAST, owner);
        quota.attachSpid(theirs, 77);
        IoasidGetter<Object> getter = owner::equals;
        int rounds = 60;
        int calls = 400;
        int[] answers = {0};
        try (IoasidReader reader = ids.openReader()) {
            long least =
                    Allocation.leastOf(
                            rounds,
                            () -> {
                                for (int i = 0; i < calls; i++) {
                                    boolean isRight =
                                            reader.find(set, id, getter) == IoasidFind.FOUND
                                                    && reader.find(id, getter) == IoasidFind.FOUND
                                                    && reader.find(set, theirs, getter)
                                                            == IoasidFind.OTHER_SET
                                                    && reader.find(set, i + 100, getter)
                                                            == IoasidFind.MISSING
                                                    && reader.findBySpid(quota, 77, getter)
                                                            == IoasidFind.FOUND
                                                    && quota.findBySpid(77) == theirs;
                                    answers[0] += isRight ? 1 : 0;
                                }
                            });
            assertThat(least).isZero();
        }
        assertThat(answers[0]).isEqualTo(rounds * calls);
    }
}
