// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.ioasid.IoasidAllocator.INVALID;
import static org.ioasis.ioasid.IoasidAllocator.LAST;

import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
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

    /** Bytes that this thread has allocated. */
    private static long allocated() {
        try {
            Object threads =
                    Class.forName("java.lang.management.ManagementFactory")
                            .getMethod("getThreadMXBean")
                            .invoke(null);
            Method bytes =
                    Class.forName("com.sun.management.ThreadMXBean")
                            .getMethod("getCurrentThreadAllocatedBytes");
            return (long) bytes.invoke(threads);
        } catch (ReflectiveOperationException e) {
            throw new LinkageError("no allocation counter in this JVM", e);
        }
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
        long least = Long.MAX_VALUE;
        long counting = Long.MAX_VALUE;
        int answers = 0;
        try (IoasidReader reader = ids.openReader()) {
            for (int round = 0; round < 60; round++) {
                long before = allocated();
                for (int i = 0; i < 400; i++) {
                    answers += reader.find(set, id, getter) == IoasidFind.FOUND ? 1 : 0;
                    answers += reader.find(id, getter) == IoasidFind.FOUND ? 1 : 0;
                    answers += reader.find(set, theirs, getter) == IoasidFind.OTHER_SET ? 1 : 0;
                    answers += reader.find(set, i + 100, getter) == IoasidFind.MISSING ? 1 : 0;
                    answers += reader.findBySpid(quota, 77, getter) == IoasidFind.FOUND ? 1 : 0;
                    answers += quota.findBySpid(77) == theirs ? 1 : 0;
                }
                long after = allocated();
                least = Math.min(least, after - before);
                counting = Math.min(counting, allocated() - after);
            }
        }
        assertThat(answers).isEqualTo(60 * 400 * 6);
        assertThat(least).as("beside what counting itself allocates").isEqualTo(counting);
    }
}
