// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.ioasis.memory.Outcome;
import org.ioasis.virtqueue.MockDriver.Buffer;
import org.ioasis.virtqueue.MockDriver.Layout;
import org.ioasis.virtqueue.MockDriver.Used;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Random work through a queue: nothing is lost, doubled, mixed up or forgotten asleep. */
class RingRandomTest {
    private static final long BASE = 0x10000;
    private static final long DATA = 0x200000;
    private static final int SLOT = 256;

    private static final List<Layout> LAYOUTS = List.of(Layout.values());

    private static final class Sent {
        final byte[] readable;
        final long writeAddress;
        final int writable;

        Sent(byte[] readable, long writeAddress, int writable) {
            this.readable = readable;
            this.writeAddress = writeAddress;
            this.writable = writable;
        }
    }

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void randomChainsInRandomBatchesComeBackRight(RingFormat format) {
        long checked = 0;
        for (int round = 0; round < 40; round++) {
            long seed = System.nanoTime() + round;
            try {
                checked += run(format, seed);
            } catch (RuntimeException e) {
                throw new AssertionError("seed " + seed, e);
            }
        }
        assertThat(checked).as("bytes that the device has written").isGreaterThan(100_000);
    }

    /** Returns how many written bytes it has looked at. */
    private static long run(RingFormat format, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        String at = "seed " + seed;
        int size = 1 << random.nextInt(0, 8);
        if (format == RingFormat.PACKED && random.nextBoolean()) {
            size = random.nextInt(1, 200);
        }
        boolean eventIdx = random.nextBoolean();
        long granule = random.nextBoolean() ? 64 : 4096;
        FlatDma dma = new FlatDma(BASE, 0x1f0000, granule);
        dma.addRegion(DATA, (long) SLOT * size);
        MockDriver driver =
                new MockDriver(
                        format, dma.memory(BASE, MockDriver.footprint(size)), BASE, size, eventIdx);
        DeviceQueue queue = format.newQueue(dma, 256);
        queue.start(
                size,
                driver.descAddress(),
                driver.driverAddress(),
                driver.deviceAddress(),
                true,
                eventIdx);

        Map<Integer, Sent> out = new HashMap<>();
        Deque<Chain> spare = new ArrayDeque<>();
        List<Chain> popped = new ArrayList<>();
        MemorySegment copy = MemorySegment.ofArray(new byte[SLOT]);
        long checked = 0;
        int back = 0;
        int sent = 0;
        boolean kicked = false;
        boolean interrupted = true;
        for (int step = 0; step < 4000 || back < sent; step++) {
            assertThat(step).as(at + ": everything comes back").isLessThan(100_000);
            // The driver.
            if (step < 4000 && random.nextInt(3) == 0) {
                int batch = random.nextInt(1, 4);
                for (int i = 0; i < batch; i++) {
                    sent += send(random, driver, dma, out);
                }
                kicked |= driver.expose();
            }
            if (interrupted) {
                interrupted = false;
                driver.wantInterrupt(false);
                do {
                    for (Used u = driver.poll(); u != null; u = driver.poll()) {
                        back++;
                        checked += check(at, dma, out, u);
                    }
                } while (driver.wantInterrupt(true));
            }
            // The device: looks only when it was kicked, or at what it has popped.
            dma.enter();
            if (kicked) {
                Pop pop = Pop.GOT;
                while (pop == Pop.GOT) {
                    queue.suppressKicks();
                    Chain chain = spare.isEmpty() ? new Chain(size) : spare.remove();
                    pop = queue.pop(chain);
                    if (pop == Pop.GOT) {
                        popped.add(chain);
                    } else {
                        spare.add(chain);
                        assertThat(pop).as(at).isEqualTo(Pop.EMPTY);
                        pop = queue.resumeKicks();
                    }
                }
                kicked = false;
            }
            int finish = random.nextInt(0, popped.size() + 1);
            for (int i = 0; i < finish; i++) {
                Chain chain = popped.remove(random.nextInt(popped.size()));
                long readable = chain.readableLength();
                assertThat(chain.copyIn(0, copy, 0, readable)).as(at).isEqualTo(Outcome.OK);
                assertThat(copy.asSlice(0, readable).toArray(ValueLayout.JAVA_BYTE))
                        .as(at)
                        .isEqualTo(requireNonNull(out.get(chain.head())).readable);
                long written = chain.writableLength();
                copy.asSlice(0, written).fill((byte) (chain.head() + 1));
                assertThat(chain.copyOut(0, copy, 0, written)).as(at).isEqualTo(Outcome.OK);
                queue.push(chain, written);
                spare.add(chain);
            }
            if (random.nextInt(2) == 0 || step >= 4000) {
                assertThat(queue.publish()).as(at).isEqualTo(Outcome.OK);
                interrupted |= queue.shouldInterrupt();
            }
            dma.leave();
        }
        assertThat(out).as(at).isEmpty();
        assertThat(queue.inFlight()).as(at).isZero();
        return checked;
    }

    private static int send(
            SplittableRandom random, MockDriver driver, FlatDma dma, Map<Integer, Sent> out) {
        Layout layout = LAYOUTS.get(random.nextInt(LAYOUTS.size()));
        int pieces = random.nextInt(1, Math.min(driver.size(), 6) + 1);
        if (!driver.hasRoom(pieces)) {
            return 0;
        }
        // Slot of the data memory: as many as chains can be out; found by trying.
        long slot = DATA;
        while (isTaken(out, slot)) {
            slot += SLOT;
        }
        int split = random.nextInt(0, pieces + 1);
        List<Buffer> buffers = new ArrayList<>();
        byte[] readable = new byte[0];
        long address = slot;
        long writeAddress = slot;
        int writable = 0;
        if (layout == Layout.MIXED && pieces > 1 && pieces == driver.size()) {
            layout = Layout.DIRECT;
        }
        for (int i = 0; i < pieces; i++) {
            int length = random.nextInt(0, 40);
            boolean isWritable = i >= split;
            buffers.add(new Buffer(address, length, isWritable));
            MemorySegment memory = dma.memory(address, length);
            if (isWritable) {
                writable += length;
            } else {
                byte[] bytes = new byte[length];
                random.nextBytes(bytes);
                MemorySegment.copy(bytes, 0, memory, ValueLayout.JAVA_BYTE, 0, length);
                byte[] all = new byte[readable.length + length];
                System.arraycopy(readable, 0, all, 0, readable.length);
                System.arraycopy(bytes, 0, all, readable.length, length);
                readable = all;
                writeAddress = address + length;
            }
            address += length;
        }
        int head = driver.add(layout, buffers);
        out.put(head, new Sent(readable, writeAddress, writable));
        return 1;
    }

    private static boolean isTaken(Map<Integer, Sent> out, long slot) {
        for (Sent s : out.values()) {
            if ((s.writeAddress - DATA) / SLOT == (slot - DATA) / SLOT) {
                return true;
            }
        }
        return false;
    }

    private static int check(String at, FlatDma dma, Map<Integer, Sent> out, Used used) {
        Sent sent = requireNonNull(out.remove(used.head()), at);
        assertThat(used.written()).as(at).isEqualTo(sent.writable);
        byte[] bytes = dma.memory(sent.writeAddress, sent.writable).toArray(ValueLayout.JAVA_BYTE);
        for (byte b : bytes) {
            assertThat(b).as(at).isEqualTo((byte) (used.head() + 1));
        }
        return bytes.length;
    }
}
