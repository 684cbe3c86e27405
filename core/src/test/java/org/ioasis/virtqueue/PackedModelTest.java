// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.PackedRing.DESC_ADDR;
import static org.ioasis.spec.PackedRing.DESC_FLAGS;
import static org.ioasis.spec.PackedRing.DESC_ID;
import static org.ioasis.spec.PackedRing.DESC_LEN;
import static org.ioasis.spec.PackedRing.EVENT_FLAGS;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import org.ioasis.memory.Outcome;
import org.junit.jupiter.api.Test;

/**
 * Each side of a packed ring beside a plain model of the other one: counters that are bits, flags
 * that are compared one by one, events that are looked up among the descriptors that were passed,
 * as virtio 1.4, 2.8 tells it.
 */
final class PackedModelTest {
    private static final long BASE = 0x10000;
    private static final long DATA = 0x10_0000;
    private static final int STEPS = 4000;
    private static final int ENABLE = 0;
    private static final int DISABLE = 1;
    private static final int DESC = 2;

    /** A descriptor of the ring in one of its rounds. */
    private record Where(int offset, boolean wrap) {
        Where next(int size) {
            return offset + 1 == size ? new Where(0, !wrap) : new Where(offset + 1, wrap);
        }

        int bits() {
            return offset | (wrap ? 0x8000 : 0);
        }
    }

    private static final Where START = new Where(0, true);

    /** What a chain is made of. */
    private record Sent(int id, int descriptors, List<Long> addresses, List<Long> lengths) {}

    /** The memory of both, and what both models share. */
    private abstract static class Ring {
        final SplittableRandom random;
        final String seed;
        final int size;
        final boolean eventIdx;
        final FlatDma dma = new FlatDma(BASE, 0x40000);
        final MemorySegment memory = dma.memory(BASE, 0x40000);
        final Map<Integer, Sent> out = new HashMap<>();
        long driverArea;
        long deviceArea;

        /** Passed since it was last decided whether to notify. */
        final Set<Where> passed = new HashSet<>();

        int notifications;

        Ring(long seed) {
            this.seed = "seed " + seed;
            random = new SplittableRandom(seed);
            size = random.nextInt(1, 40);
            eventIdx = random.nextBoolean();
        }

        int u16(long at) {
            return Short.toUnsignedInt(memory.get(ValueLayout.JAVA_SHORT, at - BASE));
        }

        void u16(long at, int value) {
            memory.set(ValueLayout.JAVA_SHORT, at - BASE, (short) value);
        }

        long at(Where where) {
            return BASE + 16L * where.offset;
        }

        boolean isAvailable(Where where) {
            int flags = u16(at(where) + DESC_FLAGS);
            boolean avail = (flags & 0x80) != 0;
            boolean used = (flags & 0x8000) != 0;
            return avail == where.wrap && used != where.wrap;
        }

        boolean isUsed(Where where) {
            int flags = u16(at(where) + DESC_FLAGS);
            boolean avail = (flags & 0x80) != 0;
            boolean used = (flags & 0x8000) != 0;
            return avail == where.wrap && used == where.wrap;
        }

        void describe(Where where, long address, long length, int id, int flags) {
            memory.set(ValueLayout.JAVA_LONG, at(where) + DESC_ADDR - BASE, address);
            memory.set(ValueLayout.JAVA_INT, at(where) + DESC_LEN - BASE, (int) length);
            u16(at(where) + DESC_ID, id);
            u16(at(where) + DESC_FLAGS, flags);
        }

        /** Something that can be wished for, written to an event structure. */
        void wish(long area, Where next) {
            Where event = next;
            for (int i = random.nextInt(size + 2); i > 0; i--) {
                event = event.next(size);
            }
            u16(area, event.bits());
            u16(area + EVENT_FLAGS, random.nextInt(eventIdx ? 3 : 2));
        }

        /** What the wish means for what was passed. */
        boolean isWished(long area) {
            int bits = u16(area);
            return switch (u16(area + EVENT_FLAGS)) {
                case ENABLE -> true;
                case DISABLE -> false;
                case DESC -> passed.contains(new Where(bits & 0x7fff, (bits & 0x8000) != 0));
                default -> throw new AssertionError(seed);
            };
        }

        void decided(boolean isNotified, long area) {
            assertThat(isNotified).as(seed).isEqualTo(!passed.isEmpty() && isWished(area));
            notifications += isNotified ? 1 : 0;
            passed.clear();
        }

        int length(long id) {
            return (int) (16 + id % 7);
        }
    }

    // --- our driver, and a device as the specification tells it

    private static final class DeviceModel extends Ring {
        private final DriverQueue driver;
        private final List<Sent> taken = new ArrayList<>();
        private Where available = START;
        private Where used = START;
        private Where offered = START;
        private int back;

        DeviceModel(long seed) {
            super(seed);
            driver = RingFormat.PACKED.newDriver(memory, BASE, size, eventIdx);
            driverArea = driver.driverAddress();
            deviceArea = driver.deviceAddress();
        }

        void step() {
            switch (random.nextInt(6)) {
                case 0, 1 -> send(random.nextInt(1, 4));
                case 2 -> {
                    while (isAvailable(available)) {
                        taken.add(takeList());
                    }
                    wish(deviceArea, available);
                }
                case 3 -> giveBack(random.nextInt(taken.size() + 1));
                case 4 -> decided(driver.shouldKick(), deviceArea);
                default -> collect();
            }
        }

        private void send(int chains) {
            for (int i = 0; i < chains; i++) {
                int pieces = random.nextInt(1, Math.min(size, 5) + 1);
                boolean isTable = random.nextInt(3) == 0;
                if (!driver.hasRoom(isTable ? 1 : pieces)) {
                    break;
                }
                int id = driver.begin();
                long table = BASE + 0x10000 + 0x100L * id;
                if (isTable) {
                    driver.intoTable(memory.asSlice(table - BASE, 16L * pieces), table);
                }
                List<Long> addresses = new ArrayList<>();
                List<Long> lengths = new ArrayList<>();
                int readable = random.nextInt(pieces + 1);
                for (int piece = 0; piece < pieces; piece++) {
                    long address = random.nextLong() >>> 1;
                    long length = random.nextInt(1, 100);
                    addresses.add(address);
                    lengths.add(piece < readable ? length : -length);
                    if (piece < readable) {
                        driver.readable(address, length);
                    } else {
                        driver.writable(address, length);
                    }
                }
                driver.offer();
                int descriptors = isTable ? 1 : pieces;
                assertThat(out.put(id, new Sent(id, descriptors, addresses, lengths)))
                        .as(seed)
                        .isNull();
                assertThat(isAvailable(offered)).as("%s: before it is exposed", seed).isFalse();
                for (int k = 0; k < descriptors; k++) {
                    passed.add(next());
                }
            }
            driver.expose();
            offered = end;
        }

        private Where end = START;

        private Where next() {
            Where here = end;
            end = end.next(size);
            return here;
        }

        /** The list at the position that the device looks at, as it stands in memory. */
        private Sent takeList() {
            List<Long> addresses = new ArrayList<>();
            List<Long> lengths = new ArrayList<>();
            int count = 0;
            int id;
            int flags;
            do {
                assertThat(isAvailable(available)).as(seed).isTrue();
                flags = u16(at(available) + DESC_FLAGS);
                id = u16(at(available) + DESC_ID);
                long address = memory.get(ValueLayout.JAVA_LONG, at(available) - BASE);
                int length = memory.get(ValueLayout.JAVA_INT, at(available) + DESC_LEN - BASE);
                if ((flags & 4) != 0) {
                    assertThat(count).as(seed).isZero();
                    for (int entry = 0; entry < length / 16; entry++) {
                        add(address + 16L * entry, addresses, lengths);
                    }
                } else {
                    add(at(available), addresses, lengths);
                }
                count++;
                available = available.next(size);
            } while ((flags & 1) != 0);
            Sent sent = new Sent(id, count, addresses, lengths);
            assertThat(sent).as(seed).isEqualTo(out.get(id));
            return sent;
        }

        private void add(long at, List<Long> addresses, List<Long> lengths) {
            addresses.add(memory.get(ValueLayout.JAVA_LONG, at - BASE));
            long length = memory.get(ValueLayout.JAVA_INT, at + DESC_LEN - BASE);
            lengths.add((u16(at + DESC_FLAGS) & 2) != 0 ? -length : length);
        }

        private void giveBack(int count) {
            for (int i = 0; i < count; i++) {
                Sent sent = taken.remove(random.nextInt(taken.size()));
                long room = sent.lengths.stream().mapToLong(l -> Math.max(0, -l)).sum();
                long written = random.nextLong(room + 1);
                int flags = (used.wrap ? 0x8080 : 0) | (written > 0 ? 2 : 0);
                describe(used, 0, written, sent.id, flags);
                done.add(new Done(sent.id, written));
                for (int k = 0; k < sent.descriptors; k++) {
                    used = used.next(size);
                }
            }
        }

        private record Done(int id, long written) {}

        private final Deque<Done> done = new ArrayDeque<>();

        private void collect() {
            assertThat(driver.resumeInterrupts()).as(seed).isEqualTo(!done.isEmpty());
            assertThat(driver.usedCount()).as(seed).isEqualTo(done.size());
            while (!done.isEmpty()) {
                Done next = done.remove();
                assertThat(driver.take()).as(seed).isEqualTo(next.id);
                assertThat(driver.written()).as(seed).isEqualTo(next.written);
                out.remove(next.id);
                back++;
            }
            assertThat(driver.take()).as(seed).isEqualTo(DriverQueue.NONE);
        }
    }

    @Test
    void aDeviceOfThePlainKindUnderstandsOurDriver() {
        int back = 0;
        int kicks = 0;
        for (int round = 0; round < 40; round++) {
            DeviceModel model = new DeviceModel(System.nanoTime() + round);
            for (int i = 0; i < STEPS; i++) {
                model.step();
            }
            back += model.back;
            kicks += model.notifications;
        }
        assertThat(back).isGreaterThan(10_000);
        assertThat(kicks).isGreaterThan(1000);
    }

    // --- our device, and a driver as the specification tells it

    private static final class DriverModel extends Ring {
        private final DeviceQueue queue;
        private final Deque<Sent> sent = new ArrayDeque<>();
        private final List<Chain> chains = new ArrayList<>();
        private final Deque<Chain> pushed = new ArrayDeque<>();
        private final List<Integer> freeIds = new ArrayList<>();
        private Where available = START;
        private Where used = START;
        private Where next = START;
        private int free;
        private int back;

        DriverModel(long seed) {
            super(seed);
            driverArea = BASE + 0x8000;
            deviceArea = BASE + 0x8004;
            free = size;
            for (int id = 0; id < size; id++) {
                freeIds.add((id * 997) & 0xffff); // what a driver calls a chain is its business
            }
            queue = RingFormat.PACKED.newQueue(dma, 64);
            queue.start(size, BASE, driverArea, deviceArea, true, eventIdx);
        }

        void step() {
            switch (random.nextInt(7)) {
                case 0, 1 -> send();
                case 2 -> pop(random.nextInt(1, 4));
                case 3 -> push(random.nextInt(chains.size() + 1));
                case 4 -> publish();
                case 5 -> save();
                default -> collect();
            }
        }

        private void send() {
            int pieces = random.nextInt(1, Math.min(size, 5) + 1);
            if (free < pieces) {
                return;
            }
            Collections.swap(freeIds, random.nextInt(freeIds.size()), freeIds.size() - 1);
            int id = freeIds.removeLast();
            Where first = available;
            int firstFlags = 0;
            List<Long> addresses = new ArrayList<>();
            List<Long> lengths = new ArrayList<>();
            int readable = random.nextInt(pieces + 1);
            for (int i = 0; i < pieces; i++) {
                long address = DATA + 64L * i;
                addresses.add(address);
                lengths.add((long) length(i));
                int flags =
                        (i + 1 < pieces ? 1 : 0)
                                | (i < readable ? 0 : 2)
                                | (available.wrap ? 0x80 : 0x8000);
                if (i == 0) {
                    firstFlags = flags;
                }
                int before = u16(at(available) + DESC_FLAGS);
                describe(available, address, length(i), id, i == 0 ? before : flags);
                available = available.next(size);
            }
            u16(at(first) + DESC_FLAGS, firstFlags);
            free -= pieces;
            sent.add(new Sent(id, pieces, addresses, lengths));
            assertThat(out.put(id, sent.getLast())).as(seed).isNull();
        }

        private void pop(int limit) {
            dma.enter();
            for (int i = 0; i < limit; i++) {
                Chain chain = new Chain(64);
                Pop pop = queue.pop(chain);
                assertThat(pop).as(seed).isEqualTo(sent.isEmpty() ? Pop.EMPTY : Pop.GOT);
                if (pop != Pop.GOT) {
                    assertThat(queue.resumeKicks()).as(seed).isEqualTo(Pop.EMPTY);
                    assertThat(u16(deviceArea + EVENT_FLAGS)).isEqualTo(eventIdx ? DESC : ENABLE);
                    if (eventIdx) {
                        assertThat(u16(deviceArea)).as(seed).isEqualTo(available.bits());
                    }
                    break;
                }
                if (random.nextInt(8) == 0) {
                    queue.unpop(chain);
                    continue;
                }
                Sent wanted = sent.remove();
                assertThat(chain.head()).as(seed).isEqualTo(wanted.id);
                assertThat(chain.descriptorCount()).as(seed).isEqualTo(wanted.descriptors);
                assertThat(chain.readableLength() + chain.writableLength())
                        .as(seed)
                        .isEqualTo(wanted.lengths.stream().mapToLong(l -> l).sum());
                chains.add(chain);
            }
            dma.leave();
        }

        private void push(int count) {
            for (int i = 0; i < count; i++) {
                Chain chain = chains.remove(random.nextInt(chains.size()));
                queue.push(chain, chain.writableLength());
                pushed.add(chain);
            }
            assertThat(queue.inFlight()).as(seed).isEqualTo(chains.size());
            assertThat(queue.unpublished()).as(seed).isEqualTo(pushed.size());
        }

        private final Deque<Chain> published = new ArrayDeque<>();

        private void publish() {
            wish(driverArea, next);
            dma.enter();
            assertThat(queue.publish()).as(seed).isEqualTo(Outcome.OK);
            while (!pushed.isEmpty()) {
                Chain chain = pushed.remove();
                published.add(chain);
                for (int i = requireNonNull(out.get(chain.head())).descriptors; i > 0; i--) {
                    passed.add(next);
                    next = next.next(size);
                }
            }
            decided(queue.shouldInterrupt(), driverArea);
            dma.leave();
        }

        /** The device goes on in another queue, or in the same. */
        private void save() {
            RingState state = queue.save();
            assertThat(state.isPossible(size)).as(seed).isTrue();
            assertThat(state.canHold(chains.stream().map(Chain::save).toList(), size))
                    .as(seed)
                    .isTrue();
            queue.stop();
            queue.start(size, BASE, driverArea, deviceArea, true, eventIdx);
            queue.restore(state);
            assertThat(queue.save()).as(seed).isEqualTo(state);
        }

        private void collect() {
            while (isUsed(used) && !out.isEmpty()) {
                int id = u16(at(used) + DESC_ID);
                int flags = u16(at(used) + DESC_FLAGS);
                long length = memory.get(ValueLayout.JAVA_INT, at(used) + DESC_LEN - BASE);
                Chain wanted = published.remove();
                assertThat(id).as(seed).isEqualTo(wanted.head());
                assertThat(length).as(seed).isEqualTo(wanted.writableLength());
                assertThat((flags & 2) != 0).as(seed).isEqualTo(length > 0);
                int descriptors = requireNonNull(out.remove(id)).descriptors;
                freeIds.add(id);
                free += descriptors;
                back++;
                for (int i = 0; i < descriptors; i++) {
                    used = used.next(size);
                }
            }
            assertThat(published).as("%s: the driver has seen all", seed).isEmpty();
        }
    }

    @Test
    void aDriverOfThePlainKindUnderstandsOurDevice() {
        int back = 0;
        int interrupts = 0;
        for (int round = 0; round < 40; round++) {
            DriverModel model = new DriverModel(System.nanoTime() + round);
            for (int i = 0; i < STEPS; i++) {
                model.step();
            }
            back += model.back;
            interrupts += model.notifications;
        }
        assertThat(back).isGreaterThan(10_000);
        assertThat(interrupts).isGreaterThan(1000);
    }
}
