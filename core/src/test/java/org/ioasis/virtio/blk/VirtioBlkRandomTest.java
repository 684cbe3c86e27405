// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VirtioBlk.F_MQ;
import static org.ioasis.spec.VirtioBlk.S_IOERR;
import static org.ioasis.spec.VirtioBlk.S_OK;
import static org.ioasis.spec.VirtioBlk.T_DISCARD;
import static org.ioasis.spec.VirtioBlk.T_FLUSH;
import static org.ioasis.spec.VirtioBlk.T_IN;
import static org.ioasis.spec.VirtioBlk.T_OUT;
import static org.ioasis.spec.VirtioBlk.T_WRITE_ZEROES;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.locks.LockSupport;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.Virtio;
import org.ioasis.virtqueue.MockDriver.Buffer;
import org.ioasis.virtqueue.MockDriver.Layout;
import org.ioasis.virtqueue.MockDriver.Used;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/**
 * Random requests in random layouts against a plain array, while memory comes and goes and the
 * device is reset: the data is right, each answer is the expected one, nothing gets lost.
 */
class VirtioBlkRandomTest {
    private static final int SECTORS = 96;
    private static final int QUEUES = 3;
    private static final List<Layout> LAYOUTS = List.of(Layout.values());

    private static final class Sent {
        final int slot;
        final int type;
        final int sector;
        final int length;
        final int expected;

        /** What a read has to give; the array may change before the answer comes. */
        final byte[] data;

        Sent(int slot, int type, int sector, int length, int expected, byte[] data) {
            this.slot = slot;
            this.type = type;
            this.sector = sector;
            this.length = length;
            this.expected = expected;
            this.data = data;
        }

        boolean changes() {
            return type == T_OUT || type == T_DISCARD || type == T_WRITE_ZEROES;
        }

        boolean overlaps(int first, int last) {
            return sector <= last && sector + length / 512 - 1 >= first;
        }
    }

    @Test
    void randomRequestsGiveTheDataOfTheModel() {
        for (int i = 0; i < 40; i++) {
            Run run = new Run(System.nanoTime() + i, null);
            try {
                run.run(600, false);
            } catch (RuntimeException e) {
                throw new AssertionError(run.at, e);
            }
        }
    }

    @Test
    void randomRequestsOnRealThreadsGiveTheDataOfTheModel() {
        ExecutorService executor = Executors.newFixedThreadPool(3);
        try {
            for (int i = 0; i < 5; i++) {
                Run run = new Run(System.nanoTime() + i, executor);
                try {
                    run.run(400, true);
                } catch (RuntimeException e) {
                    throw new AssertionError(run.at, e);
                }
            }
        } finally {
            executor.shutdown();
        }
    }

    private static final class Run {
        private final SplittableRandom random;
        private final String at;
        private final BlkRig rig;
        private final byte[] model;

        /** By queue and head. */
        private final Map<Integer, Sent> out = new HashMap<>();

        private int queues;

        /** Where the next request goes. */
        private int queue;

        Run(long seed, @Nullable ExecutorService executor) {
            random = new SplittableRandom(seed);
            at = "seed " + seed;
            int requests = random.nextInt(1, 12);
            int chunk = 512 * random.nextInt(1, 10);
            rig =
                    new BlkRig(
                            BlkSettings.builder()
                                    .serial("random")
                                    .queueSizeMax(64)
                                    .requestLimit(requests)
                                    .chunkBytes(chunk)
                                    .queueCount(QUEUES)
                                    .build(),
                            SECTORS * 512,
                            false,
                            executor,
                            BlkRig.FEATURES | Virtio.F_RING_PACKED);
            model = rig.store.content.clone();
        }

        private void run(int steps, boolean threads) {
            start();
            for (int step = 0; step < steps; step++) {
                switch (random.nextInt(12)) {
                    case 0, 1, 2, 3, 4 -> {
                        for (int i = random.nextInt(1, 5); i > 0; i--) {
                            send();
                        }
                        rig.expose();
                    }
                    case 5, 6 -> {
                        if (threads) {
                            LockSupport.parkNanos(20_000);
                        } else {
                            for (int i = random.nextInt(4); i > 0 && !rig.io.isEmpty(); i--) {
                                rig.io.remove().run();
                            }
                        }
                    }
                    case 7, 8 -> turn();
                    case 9 -> {
                        // Some of the memory goes away; which, is a matter of luck.
                        long first =
                                random.nextBoolean()
                                        ? BlkRig.slot(random.nextInt(BlkRig.SLOTS))
                                        : BlkRig.BASE + random.nextInt(0x2000);
                        // Even borders: memory comes and goes in pages and tears no ring index.
                        rig.dma.trap(
                                first & -2, (first + random.nextInt(0x4000)) | 1, Outcome.ABSENT);
                    }
                    case 10 -> {
                        rig.dma.clearTraps();
                        rig.device.memoryChanged();
                    }
                    default -> {
                        if (random.nextInt(20) == 0) {
                            reset(threads);
                        }
                    }
                }
                collect();
            }
            rig.dma.clearTraps();
            finish(threads);
            assertThat(out).as(at).isEmpty();
            assertThat(rig.store.content).as(at).isEqualTo(model);
            BlkCounters c = rig.blk.counters();
            assertThat(
                            c.work().faults()
                                    + c.work().refusals()
                                    + c.malformed()
                                    + c.work().ringFaults())
                    .as(at)
                    .isZero();
            assertThat(rig.device.brokenReason()).as(at).isNull();
        }

        private void start() {
            long features = rig.device.deviceFeatures();
            if (random.nextBoolean()) {
                features &= ~Virtio.F_EVENT_IDX;
            }
            if (random.nextBoolean()) {
                features &= ~Virtio.F_RING_PACKED;
            }
            queue = 0;
            queues = QUEUES;
            if (random.nextInt(4) == 0) {
                features &= ~F_MQ;
                queues = 1;
            }
            rig.start(features);
        }

        /** The device's turn of the loop. */
        private void turn() {
            while (true) {
                Runnable task;
                synchronized (rig.loop) {
                    task = rig.loop.poll();
                }
                if (task == null) {
                    return;
                }
                task.run();
            }
        }

        private void finish(boolean threads) {
            rig.device.memoryChanged();
            for (int round = 0; !out.isEmpty(); round++) {
                assertThat(round).as(at + ": everything is answered").isLessThan(1_000_000);
                rig.runIo();
                turn();
                collect();
                if (threads) {
                    LockSupport.parkNanos(20_000);
                }
            }
        }

        /** A reset in the middle: writes that were not answered may have happened or not. */
        private void reset(boolean threads) {
            rig.dma.clearTraps();
            rig.device.writeStatus(0);
            List<Sent> lost = new ArrayList<>(out.values());
            out.clear();
            start();
            // A write makes each sector of the lost ones certain again, and must not be overtaken.
            for (Sent s : lost) {
                if (s.changes() && s.expected == S_OK) {
                    for (int sector = s.sector; sector < s.sector + s.length / 512; sector++) {
                        write(sector, 512);
                        rig.expose();
                        finish(threads);
                    }
                }
            }
        }

        private int freeSlot() {
            for (int slot = 0; slot < BlkRig.SLOTS; slot++) {
                int wanted = slot;
                if (out.values().stream().noneMatch(s -> s.slot == wanted)) {
                    return slot;
                }
            }
            return -1;
        }

        private void send() {
            int slot = freeSlot();
            queue = random.nextInt(queues);
            if (slot < 0 || !rig.driver(queue).hasRoom(8)) {
                return;
            }
            int kind = random.nextInt(12);
            int sector = random.nextInt(SECTORS + 2);
            int length = random.nextInt(24) * 512 + (random.nextInt(20) == 0 ? 1 : 0);
            if (kind == 0) {
                put(new Sent(slot, T_FLUSH, 0, 0, S_OK, new byte[0]));
                return;
            }
            int type =
                    kind < 5 ? T_IN : kind < 10 ? T_OUT : kind == 10 ? T_DISCARD : T_WRITE_ZEROES;
            if (type == T_DISCARD || type == T_WRITE_ZEROES) {
                length -= length % 512;
            }
            boolean legal = length % 512 == 0 && sector + length / 512 <= SECTORS;
            int last = sector + length / 512 - 1;
            // The device may reorder, so what overlaps a write that is out has no certain result.
            if (legal
                    && out.values().stream()
                            .anyMatch(s ->
                                    (s.changes() || type != T_IN)
                                            && s.expected == S_OK
                                            && s.overlaps(sector, last))) {
                return;
            }
            if (type == T_OUT && legal) {
                write(sector, length);
                return;
            }
            if (type == T_DISCARD || type == T_WRITE_ZEROES) {
                // The store of this test reads as zeroes what was discarded.
                if (legal) {
                    Arrays.fill(model, sector * 512, sector * 512 + length, (byte) 0);
                }
                int flags = type == T_WRITE_ZEROES ? random.nextInt(2) : 0;
                rig.segment(slot, 0, sector, length / 512, flags);
                put(new Sent(slot, type, sector, length, legal ? S_OK : S_IOERR, new byte[0]));
                return;
            }
            byte[] data =
                    type == T_IN && legal
                            ? Arrays.copyOfRange(model, sector * 512, sector * 512 + length)
                            : new byte[0];
            put(new Sent(slot, type, sector, length, legal ? S_OK : S_IOERR, data));
        }

        private void write(int sector, int length) {
            int slot = freeSlot();
            byte[] data = new byte[length];
            random.nextBytes(data);
            MemorySegment.copy(data, 0, rig.data(slot, length), ValueLayout.JAVA_BYTE, 0, length);
            System.arraycopy(data, 0, model, sector * 512, length);
            put(new Sent(slot, T_OUT, sector, length, S_OK, data));
        }

        private void put(Sent sent) {
            rig.header(sent.slot, sent.type, sent.sector);
            long s = BlkRig.slot(sent.slot);
            List<Buffer> buffers = new ArrayList<>();
            split(buffers, s, 16, false, 2);
            boolean isErasing = sent.changes() && sent.type != T_OUT;
            split(buffers, s + 512, isErasing ? 16 : sent.length, !sent.changes(), 3);
            buffers.add(new Buffer(s + 32, 1, true));
            Layout layout = LAYOUTS.get(random.nextInt(LAYOUTS.size()));
            out.put(queue << 16 | rig.driver(queue).add(layout, buffers), sent);
        }

        private void split(
                List<Buffer> to, long address, long length, boolean writable, int pieces) {
            long first = address;
            long left = length;
            for (int i = 1; i < pieces; i++) {
                long piece = random.nextLong(left + 1);
                to.add(new Buffer(first, piece, writable));
                first += piece;
                left -= piece;
            }
            to.add(new Buffer(first, left, writable));
        }

        private void collect() {
            for (int q = 0; q < queues; q++) {
                for (Used u = rig.driver(q).poll(); u != null; u = rig.driver(q).poll()) {
                    check(requireNonNull(out.remove(q << 16 | u.head()), at));
                }
            }
        }

        private void check(Sent sent) {
            assertThat(rig.status(sent.slot)).as(at).isEqualTo(sent.expected);
            if (sent.type == T_IN && sent.expected == S_OK) {
                assertThat(rig.dataBytes(sent.slot, sent.length)).as(at).isEqualTo(sent.data);
            }
        }
    }
}
