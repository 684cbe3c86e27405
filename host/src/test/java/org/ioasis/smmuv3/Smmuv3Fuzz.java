// SPDX-License-Identifier: Apache-2.0
package org.ioasis.smmuv3;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.host.KeptPages.unsigned;
import static org.ioasis.spec.Smmuv3Command.SIZE;
import static org.ioasis.spec.Tegra241.QUEUE_STRIDE;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.math.BigInteger;
import org.ioasis.host.ContextFuzz;
import org.ioasis.host.FuzzInput;
import org.ioasis.host.KeptPages;
import org.ioasis.iommu.pagetable.ContextAnswer;
import org.ioasis.iommu.pagetable.smmuv3.StreamEntry;
import org.ioasis.iommu.pagetable.smmuv3.StreamRefusal;
import org.ioasis.iommu.pagetable.smmuv3.StreamTable;
import org.ioasis.iommufd.DeviceCaches;
import org.ioasis.iommufd.nesting.EntryFuzz;

/**
 * What a guest writes for its SMMUv3 is any bytes: commands that a VMM brings, commands in a queue
 * of the guest's own, stream table entries and context descriptors. One thread.
 */
public final class Smmuv3Fuzz {
    private static final int VMID = 7;
    private static final int[] DOMAINS = {VMID, VMID, 1, 2};

    /** The guest's only stream, and what the host calls it. */
    private static final long STREAM = 1;

    private static final int DEVICE = 5;
    private static final int ENTRIES = 8;
    private static final BigInteger LAST = unsigned(-1);

    /** Devices of anybody else are never named, nor ranges that end before they begin. */
    private static final class OwnDevice implements DeviceCaches {
        @Override
        public void context(int device, int space) {
            assertThat(device).isEqualTo(DEVICE);
            assertThat(space).isBetween(0, (1 << 20) - 1);
        }

        @Override
        public void contexts(int device) {
            assertThat(device).isEqualTo(DEVICE);
        }

        @Override
        public void forget(int device, int space, long first, long last) {
            assertThat(space).isBetween(NO_SPACE, (1 << 20) - 1);
            forget(device, first, last);
        }

        @Override
        public void forget(int device, long first, long last) {
            assertThat(device).isEqualTo(DEVICE);
            assertThat(unsigned(first)).isLessThanOrEqualTo(unsigned(last));
        }
    }

    private final KeptPages pages;
    private final Smmuv3Commands decoder;

    private Smmuv3Fuzz(FuzzInput input) {
        pages = new KeptPages(input, DOMAINS);
        decoder =
                new Smmuv3Commands(
                        pages.tlb,
                        new OwnDevice(),
                        virtual -> virtual == STREAM ? DEVICE : Smmuv3Commands.Streams.NONE,
                        VMID);
    }

    public static void commands(FuzzInput input) {
        Smmuv3Fuzz fuzz = new Smmuv3Fuzz(input);
        EntryFuzz.run(input, fuzz.decoder, SIZE, fuzz.pages, fuzz::isCarriedOut);
    }

    /** Chapter 4 of the SMMU's specification, for what a guest may say. */
    private boolean isCarriedOut(long[] words) {
        int asid = (int) (words[0] >>> 48);
        switch ((int) words[0] & 0xff) {
            case 0x05, 0x06, 0x40 -> {
                return words[0] >>> 32 == STREAM;
            }
            case 0x10, 0x30 -> pages.take(page -> page.domain() == VMID && page.isOfFirst());
            case 0x11 -> pages.take(page -> page.isOf(VMID, asid));
            case 0x12 ->
                    pages.take(page ->
                            (page.isOf(VMID, asid) || page.isGlobalOf(VMID))
                                    && isNamed(page, words));
            case 0x13 ->
                    pages.take(page ->
                            page.domain() == VMID && page.isOfFirst() && isNamed(page, words));
            default -> {
                return false;
            }
        }
        return true;
    }

    /** Whether a page is in the command's range, and as large as it says. */
    private static boolean isNamed(KeptPages.Page page, long[] words) {
        int granule = (int) (words[1] >>> 10) & 3;
        BigInteger first = unsigned(words[1] & -4096);
        if (granule == 0) {
            return page.meets(first, first);
        }
        int granuleLg2 = 10 + 2 * granule;
        int level = (int) (words[1] >>> 8) & 3;
        if (level != 0) {
            // A leaf of that level, or as many of them as one page can be made of.
            int leafLg2 = granuleLg2 + (3 - level) * (granuleLg2 - 3);
            if (page.sizeLg2() < leafLg2 || page.sizeLg2() >= leafLg2 + 9) {
                return false;
            }
        }
        first = first.shiftRight(granuleLg2).shiftLeft(granuleLg2);
        long count = (words[0] >>> 12 & 31) + 1;
        int scale = (int) (words[0] >>> 20 & 31);
        BigInteger bytes = BigInteger.valueOf(count).shiftLeft(scale + granuleLg2);
        return page.meets(first, first.add(bytes).subtract(BigInteger.ONE).min(LAST));
    }

    // A queue that the guest fills itself

    public static void queue(FuzzInput input) {
        new Smmuv3Fuzz(input).runQueue(input);
    }

    private final MemorySegment registers = Arena.ofAuto().allocate(QUEUE_STRIDE, 8);
    private final MemorySegment entries = Arena.ofAuto().allocate((long) ENTRIES * SIZE, SIZE);
    private int settled;
    private boolean isEnabled;
    private int cons;
    private int error;

    private int register(int at) {
        return registers.get(ValueLayout.JAVA_INT, at);
    }

    private void runQueue(FuzzInput input) {
        DirectQueue queue = new DirectQueue(registers, entries, decoder, () -> settled++);
        while (!input.isOver()) {
            switch (input.next(6)) {
                case 0 -> {
                    // Anything in any register.
                    long at = 4L * input.next((int) QUEUE_STRIDE / 4);
                    registers.set(ValueLayout.JAVA_INT, at, (int) input.word());
                }
                case 1 -> entry(input, input.next(ENTRIES), input.word());
                case 2 ->
                        entry(
                                input,
                                input.next(ENTRIES),
                                0x11 + input.next(2) | (long) input.next(4) << 48);
                case 3 -> {
                    // As a driver does: on, and whatever was wrong is known.
                    registers.set(ValueLayout.JAVA_INT, 0x8, 1);
                    registers.set(ValueLayout.JAVA_INT, 0x14, register(0x10));
                }
                case 4 -> registers.set(ValueLayout.JAVA_INT, 0x4, input.next(2 * ENTRIES));
                default -> poll(queue, 1 + input.next(ENTRIES));
            }
        }
    }

    private void entry(FuzzInput input, int index, long word0) {
        entries.set(ValueLayout.JAVA_LONG, (long) index * SIZE, word0);
        entries.set(ValueLayout.JAVA_LONG, (long) index * SIZE + 8, input.word());
    }

    /** What a queue does when somebody comes by, said once more. */
    private void poll(DirectQueue queue, int most) {
        boolean wants = (register(0x8) & 1) != 0;
        if (wants != isEnabled) {
            isEnabled = wants;
            cons = register(0) & 2 * ENTRIES - 1;
        }
        boolean isRunning = isEnabled && ((error ^ register(0x14)) & 1) == 0;
        int waiting = isRunning ? register(0x4) - cons & 2 * ENTRIES - 1 : 0;
        boolean isLost = waiting > ENTRIES;
        int limit = isLost ? 0 : Math.min(waiting, most);
        int expected = 0;
        while (expected < limit && isTaken((cons + expected) % ENTRIES)) {
            expected++;
        }
        cons = cons + expected & 2 * ENTRIES - 1;
        boolean hasFailed = isLost || expected < limit;
        int before = settled;
        int consBefore = register(0);

        assertThat(queue.poll(most)).isEqualTo(expected);

        assertThat(queue.takeFailure()).isEqualTo(hasFailed);
        error ^= hasFailed ? 1 : 0;
        if (waiting > 0) {
            assertThat(register(0)).isEqualTo(cons | (hasFailed ? 1 << 24 : 0));
            assertThat(settled).as("before it is seen as consumed").isEqualTo(before + 1);
        } else {
            assertThat(register(0)).isEqualTo(consBefore);
        }
        if (hasFailed) {
            assertThat(register(0x10)).isEqualTo(error);
        }
        pages.check("queue");
    }

    private boolean isTaken(int index) {
        long word0 = entries.get(ValueLayout.JAVA_LONG, (long) index * SIZE);
        long word1 = entries.get(ValueLayout.JAVA_LONG, (long) index * SIZE + 8);
        return switch ((int) word0 & 0xff) {
            case 0x11, 0x12, 0x40 -> isCarriedOut(new long[] {word0, word1});
            case 0x46 -> true;
            default -> false;
        };
    }

    // Stream table entries and context descriptors

    public static void contexts(FuzzInput input) {
        int bits = ContextFuzz.bits(input);
        long base = input.word();
        long config = input.word();
        long[] given = {input.word(), input.word()};
        ContextFuzz memory = new ContextFuzz(input);
        while (!input.isOver()) {
            int sid = input.next(4) == 0 ? (int) input.word() : input.next(256);
            int ssid =
                    switch (input.next(3)) {
                        case 0 -> StreamTable.NO_SSID;
                        case 1 -> (int) input.word() & (1 << 20) - 1;
                        default -> input.next(256);
                    };
            memory.check(
                    bits,
                    () -> {
                        ContextAnswer<StreamRefusal> found =
                                StreamTable.of(memory, base, config, bits).find(sid, ssid);
                        return found;
                    },
                    input);
            StreamEntry entry = new StreamEntry(given[0], given[1], 0, 0);
            if (entry.isLegal() && entry.hasStage1()) {
                memory.check(bits, () -> StreamTable.findStage1(memory, entry, ssid, bits), input);
            }
        }
    }
}
