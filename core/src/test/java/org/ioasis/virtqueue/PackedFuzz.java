// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.PackedRing;
import org.ioasis.virtqueue.DeviceQueue.State;

/**
 * A packed ring whose driver is any bytes: it writes what it likes where it likes, and the device's
 * side takes, gives back, looks, is saved and goes on. Whatever comes, the device holds no more
 * than the ring has, touches memory no oftener than there are descriptors, and is in a state that
 * it would take back. Public for the fuzz targets. One thread.
 */
public final class PackedFuzz {
    private static final long BASE = 0x10000;
    private static final long DRIVER_AREA = BASE + 0x1000;
    private static final long DEVICE_AREA = BASE + 0x1004;
    private static final long TABLE = BASE + 0x2000;
    private static final int SIZE_MAX = 9;
    private static final int[] LENGTHS = {
        0, 1, 16, 32, 16 * SIZE_MAX, 16 * (SIZE_MAX + 1), -16, -1
    };

    private final byte[] bytes;
    private int at;

    private final FlatDma dma = new FlatDma(BASE, 0x4000);
    private final MockDriver memory =
            new MockDriver(RingFormat.PACKED, dma.memory(BASE, 0x4000), BASE, SIZE_MAX, false);
    private final DeviceQueue queue = RingFormat.PACKED.newQueue(dma, SIZE_MAX);
    private final List<Chain> chains = new ArrayList<>();
    private int accesses;
    private int size;
    private boolean indirect;
    private boolean eventIdx;

    private PackedFuzz(byte[] bytes) {
        this.bytes = bytes;
        dma.watch(_ -> accesses++);
    }

    /** How often something happened, so that a corpus can be asked whether it reaches it. */
    public static final class Seen {
        public int popped;
        public int published;
        public int broken;
    }

    /** Runs the input to its end. */
    public static Seen run(byte[] bytes) {
        PackedFuzz fuzz = new PackedFuzz(bytes);
        Seen seen = new Seen();
        fuzz.start();
        while (fuzz.at < bytes.length) {
            fuzz.step(seen);
        }
        return seen;
    }

    private int next(int bound) {
        return at < bytes.length ? (bytes[at++] & 0xff) % bound : 0;
    }

    private void start() {
        size = 1 + next(SIZE_MAX);
        int features = next(4);
        indirect = (features & 1) != 0;
        eventIdx = (features & 2) != 0;
        chains.clear();
        queue.start(size, BASE, DRIVER_AREA, DEVICE_AREA, indirect, eventIdx);
        if (next(2) != 0) {
            queue.restore(PackedState.at(next(size), next(2) != 0));
        }
    }

    private void step(Seen seen) {
        switch (next(10)) {
            case 0, 1, 2, 3 -> describe(BASE + 16L * next(size));
            case 4 -> describe(TABLE + 16L * next(SIZE_MAX));
            case 5 -> {
                memory.poke(DRIVER_AREA, (next(256) << 8) | next(256));
                memory.poke(DRIVER_AREA + PackedRing.EVENT_FLAGS, next(256));
            }
            case 6 -> pop(seen);
            case 7 -> push();
            case 8 -> publish(seen);
            default -> other();
        }
        check();
        if (!queue.isRunning()) {
            assertThat(queue.brokenReason()).isNotNull();
            seen.broken++;
            queue.stop();
            start();
        }
    }

    private void describe(long where) {
        long address =
                switch (next(4)) {
                    case 0 -> TABLE;
                    case 1 -> -1L - next(64);
                    default -> BASE + 0x3000;
                };
        memory.packedAt(
                where,
                address,
                LENGTHS[next(LENGTHS.length)],
                next(256),
                next(256) | (next(2) << 15));
    }

    private void pop(Seen seen) {
        Chain chain = new Chain(SIZE_MAX);
        dma.enter();
        accesses = 0;
        Pop pop = queue.pop(chain);
        // The flags, each descriptor of the ring, a table.
        assertThat(accesses).isLessThanOrEqualTo(size + 2);
        dma.leave();
        if (pop == Pop.GOT) {
            seen.popped++;
            assertThat(chain.save().isPossible(RingFormat.PACKED, size)).isTrue();
            assertThat(indirect || chain.descriptorCount() == chain.descriptors()).isTrue();
            if (next(8) == 0) {
                queue.unpop(chain);
            } else {
                chains.add(chain);
            }
        } else {
            assertThat(pop).isNotEqualTo(Pop.ABSENT);
        }
    }

    private void push() {
        if (!chains.isEmpty()) {
            Chain chain = chains.remove(next(chains.size()));
            queue.push(chain, chain.writableLength());
        }
    }

    private void publish(Seen seen) {
        int waiting = queue.unpublished();
        dma.enter();
        assertThat(queue.publish()).isEqualTo(Outcome.OK);
        boolean isTold = queue.shouldInterrupt();
        dma.leave();
        assertThat(queue.unpublished()).isZero();
        assertThat(isTold && waiting == 0).as("told of nothing").isFalse();
        seen.published += waiting;
    }

    private void other() {
        dma.enter();
        switch (next(3)) {
            case 0 -> queue.suppressKicks();
            case 1 -> assertThat(queue.resumeKicks()).isIn(Pop.EMPTY, Pop.GOT);
            default -> {
                RingState before = queue.save();
                assertThat(queue.available()).isBetween(DeviceQueue.UNCLEAR, 0xffff);
                assertThat(queue.save()).as("a look has no consequence").isEqualTo(before);
            }
        }
        dma.leave();
        RingState saved = queue.save();
        if (next(4) == 0) {
            queue.restore(saved);
            assertThat(queue.save()).isEqualTo(saved);
        }
    }

    private void check() {
        RingState state = queue.save();
        assertThat(state.isPossible(size)).isTrue();
        if (state.state() == State.RUNNING) {
            assertThat(state.canHold(chains.stream().map(Chain::save).toList(), size)).isTrue();
        }
        assertThat(queue.inFlight() + queue.unpublished()).isLessThanOrEqualTo(size);
    }
}
