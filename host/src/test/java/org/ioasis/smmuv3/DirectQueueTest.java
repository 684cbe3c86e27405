// SPDX-License-Identifier: Apache-2.0
package org.ioasis.smmuv3;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.Smmuv3Command.*;
import static org.ioasis.spec.Tegra241.*;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import org.ioasis.host.Allocation;
import org.ioasis.iommufd.nesting.Recorder;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A queue that a guest fills without a call: what it rings is carried out, and nothing else. */
class DirectQueueTest {
    private static final int ENTRIES = 8;

    private final Recorder caches = new Recorder();
    private final AtomicInteger settled = new AtomicInteger();
    private final MemorySegment registers = Arena.ofAuto().allocate(QUEUE_STRIDE, 8);
    private final MemorySegment entries = Arena.ofAuto().allocate(ENTRIES * SIZE, 128);
    private final DirectQueue queue = queue(registers, entries);
    private int prod;

    private DirectQueue queue(MemorySegment page, MemorySegment memory) {
        return new DirectQueue(
                page,
                memory,
                new Smmuv3Commands(caches, caches, virtual -> virtual == 1 ? 5 : -1, 0x77),
                settled::incrementAndGet);
    }

    private void enable() {
        registers.set(JAVA_INT, CONFIG, ENABLED);
        queue.poll(ENTRIES);
        assertThat(registers.get(JAVA_INT, STATUS)).isEqualTo(ENABLED);
    }

    private void put(long word0, long word1) {
        long at = (long) (prod & (ENTRIES - 1)) * SIZE;
        entries.set(JAVA_LONG, at, word0);
        entries.set(JAVA_LONG, at + 8, word1);
        prod = (prod + 1) & (2 * ENTRIES - 1);
        registers.set(JAVA_INT, PROD, prod);
    }

    private static long asid(int asid) {
        return TLBI_NH_ASID | (long) asid << ASID_SHIFT;
    }

    private int cons() {
        return registers.get(JAVA_INT, CONS);
    }

    @Test
    @Tag("S32")
    void whatTheGuestRingsIsCarriedOutInOrderAroundTheEndAsOftenAsItLikes() {
        enable();
        for (int round = 0; round < 100; round++) {
            for (int i = 0; i < 5; i++) {
                put(i == 4 ? SYNC : asid(5 * round + i), 0);
            }
            assertThat(queue.poll(ENTRIES)).isEqualTo(5);
            assertThat(cons()).isEqualTo(prod);
        }
        assertThat(caches.said).hasSize(400).endsWith("space 77 1f2");
        assertThat(queue.poll(ENTRIES)).as("nothing more").isZero();
        assertThat(queue.takeFailure()).isFalse();
        assertThat(settled).as("before the guest sees it as consumed").hasValue(100);
    }

    @Test
    @Tag("S32")
    void aQueueThatIsFullIsCarriedOutWholeAndAsFarAsAsked() {
        enable();
        for (int i = 0; i < ENTRIES; i++) {
            put(asid(i), 0);
        }
        assertThat(queue.poll(3)).isEqualTo(3);
        assertThat(cons()).isEqualTo(3);
        assertThat(queue.poll(ENTRIES)).isEqualTo(ENTRIES - 3);
        assertThat(caches.said).hasSize(ENTRIES);
    }

    @Test
    void aQueueThatIsNotEnabledIsLeftAlone() {
        put(asid(1), 0);
        assertThat(queue.poll(ENTRIES)).isZero();
        assertThat(caches.said).isEmpty();
        registers.set(JAVA_INT, CONFIG, ENABLED);
        assertThat(queue.poll(ENTRIES)).isEqualTo(1);
        registers.set(JAVA_INT, CONFIG, 0);
        put(asid(2), 0);
        assertThat(queue.poll(ENTRIES)).isZero();
        assertThat(registers.get(JAVA_INT, STATUS)).isZero();
    }

    @ParameterizedTest
    @ValueSource(ints = {0, PREFETCH_CONFIG, CFGI_CD, CFGI_CD_ALL, TLBI_NH_ALL, TLBI_NH_VAA})
    @Tag("S32")
    void anIllegalCommandStopsItsQueueUntilTheGuestHasSkippedIt(int opcode) {
        MemorySegment otherRegisters = Arena.ofAuto().allocate(QUEUE_STRIDE, 8);
        MemorySegment otherEntries = Arena.ofAuto().allocate(ENTRIES * SIZE, 128);
        DirectQueue other = queue(otherRegisters, otherEntries);
        otherRegisters.set(JAVA_INT, CONFIG, ENABLED);
        enable();
        put(asid(1), 0);
        put(opcode, 0);
        put(asid(2), 0);

        assertThat(queue.poll(ENTRIES)).isEqualTo(1);

        assertThat(cons()).isEqualTo(1 | ERROR_ILLEGAL << CONS_ERROR_AT);
        assertThat(registers.get(JAVA_INT, GERROR)).isEqualTo(COMMAND_ERROR);
        assertThat(queue.takeFailure()).isTrue();
        assertThat(queue.takeFailure()).as("told once").isFalse();
        assertThat(queue.poll(ENTRIES)).as("it waits for the guest").isZero();
        otherEntries.set(JAVA_LONG, 0, asid(7));
        otherRegisters.set(JAVA_INT, PROD, 1);
        assertThat(other.poll(ENTRIES)).as("the other queue goes on").isEqualTo(1);
        assertThat(other.takeFailure()).isFalse();
        entries.set(JAVA_LONG, SIZE, SYNC);
        registers.set(JAVA_INT, GERRORN, COMMAND_ERROR);
        assertThat(queue.poll(ENTRIES)).isEqualTo(2);
        assertThat(cons()).isEqualTo(3);
        assertThat(caches.said).containsExactly("space 77 1", "space 77 7", "space 77 2");
    }

    @Test
    void aStreamThatTheGuestDoesNotHaveIsIllegalToo() {
        enable();
        put(ATC_INV | 1L << SID_SHIFT, 0x1000);
        put(ATC_INV | 2L << SID_SHIFT, 0x1000);
        assertThat(queue.poll(ENTRIES)).isEqualTo(1);
        assertThat(queue.takeFailure()).isTrue();
    }

    @Test
    void anIndexThatIsMoreThanTheQueueAheadIsIllegal() {
        enable();
        registers.set(JAVA_INT, PROD, ENTRIES + 1);
        assertThat(queue.poll(ENTRIES)).isZero();
        assertThat(queue.takeFailure()).isTrue();
        assertThat(cons()).isEqualTo(ERROR_ILLEGAL << CONS_ERROR_AT);
        assertThat(caches.said).isEmpty();
    }

    @Test
    void aTurnAllocatesNothing() {
        enable();
        caches.isQuiet = true;
        assertThat(
                        Allocation.ofCompiled(() -> {
                            put(asid(3), 0);
                            put(SYNC, 0);
                            queue.poll(ENTRIES);
                        }))
                .isZero();
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void whateverAGuestWritesATurnEndsAndNothingIsDoneTwice(long seed) {
        Random random = new Random(seed);
        caches.isQuiet = true;
        long done = 0;
        int failures = 0;
        for (int i = 0; i < 100_000; i++) {
            switch (random.nextInt(6)) {
                case 0 ->
                        registers.set(
                                JAVA_INT,
                                4L * random.nextInt((int) QUEUE_STRIDE / 4),
                                random.nextInt());
                case 1 ->
                        entries.set(JAVA_LONG, 8L * random.nextInt(2 * ENTRIES), random.nextLong());
                case 2 ->
                        entries.set(
                                JAVA_LONG, 16L * random.nextInt(ENTRIES), asid(random.nextInt()));
                case 3 -> registers.set(JAVA_INT, PROD, random.nextInt(2 * ENTRIES));
                case 4 -> {
                    registers.set(JAVA_INT, CONFIG, ENABLED);
                    registers.set(JAVA_INT, GERRORN, registers.get(JAVA_INT, GERROR));
                }
                default -> {
                    long before = caches.count;
                    int polled = queue.poll(ENTRIES);
                    assertThat(polled).isBetween(0, ENTRIES);
                    assertThat(caches.count - before).isLessThanOrEqualTo(polled);
                    done += polled;
                    failures += queue.takeFailure() ? 1 : 0;
                }
            }
        }
        assertThat(done).isGreaterThan(1000);
        assertThat(failures).isGreaterThan(100);
    }
}
