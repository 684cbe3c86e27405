// SPDX-License-Identifier: Apache-2.0
package org.ioasis.stress;

import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static org.ioasis.memory.Outcome.OK;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import org.ioasis.memory.DirectDma;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Region;
import org.ioasis.spec.SplitRing;
import org.ioasis.virtqueue.Chain;
import org.ioasis.virtqueue.DeviceQueue;
import org.ioasis.virtqueue.DriverQueue;
import org.ioasis.virtqueue.Pop;
import org.ioasis.virtqueue.RingFormat;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressMeta;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.ZZ_Result;

/**
 * The notifications of a ring (virtio 1.4, 2.7.7, 2.7.10 and 2.8.10), both sides ours: before both
 * sides rest, one has told the other. Each side stores, fences and loads; where a fence is missing,
 * both can find nothing and wait for ever.
 */
public abstract class RingLitmus {
    private static final VarHandle U16 = JAVA_SHORT.withOrder(LITTLE_ENDIAN).varHandle();
    private static final int SIZE = 2;

    /** An index that is not reached in a test. */
    private static final int NEVER = 0x4000;

    // On the heap: millions of these are made. Of longs, because rings must be aligned.
    private final MemorySegment ring;
    final DriverQueue driver;
    final Dma dma;
    private final Chain chain = new Chain(SIZE);
    final DeviceQueue queue;

    RingLitmus(RingFormat format, boolean eventIdx) {
        ring = MemorySegment.ofArray(new long[(int) format.driverBytes(SIZE) / Long.BYTES + 1]);
        driver = format.newDriver(ring, 0, SIZE, eventIdx);
        driver.suppressInterrupts();
        if (format == RingFormat.SPLIT) {
            long availEvent = driver.deviceAddress() + SplitRing.availEvent(SIZE);
            U16.setOpaque(ring, availEvent, (short) NEVER);
        }
        Guards guards = new Guards(() -> 0, lease -> {});
        GuestMemory memory = new GuestMemory(guards, 1);
        memory.add(new Region(0, ring.byteSize() - 1, ring, true, null));
        dma = new DirectDma(memory, guards.open());
        queue = format.newQueue(dma, SIZE);
        queue.start(
                SIZE,
                driver.descAddress(),
                driver.driverAddress(),
                driver.deviceAddress(),
                false,
                eventIdx);
        // With indices in a split ring that is what they are.
        dma.enter();
        queue.suppressKicks();
        dma.leave();
    }

    /** The driver gives the device a chain of one byte. */
    final void makeAvailable() {
        int _ = driver.begin();
        driver.readable(0, 1);
        driver.offer();
        driver.expose();
    }

    /** The device has taken the chain and not yet handed it back. */
    final void takeChain() {
        makeAvailable();
        dma.enter();
        if (queue.pop(chain) != Pop.GOT) {
            throw new IllegalStateException("no chain");
        }
        dma.leave();
    }

    /** The device hands the chain back. True if it interrupts. */
    final boolean handBack() {
        dma.enter();
        queue.push(chain, 0);
        if (queue.publish() != OK) {
            throw new IllegalStateException("not published");
        }
        boolean interrupts = queue.shouldInterrupt();
        dma.leave();
        return interrupts;
    }

    /** The device found nothing and wants to rest. True if it has to go on. */
    final boolean looksAgain() {
        dma.enter();
        Pop found = queue.resumeKicks();
        dma.leave();
        return found == Pop.GOT;
    }

    /** The driver adds a chain. True if the device has asked for a kick. */
    final boolean offer() {
        makeAvailable();
        return driver.shouldKick();
    }

    @Outcome(
            id = "false, false",
            expect = Expect.FORBIDDEN,
            desc = "no interrupt, and the driver rests without its chain")
    @Outcome(expect = Expect.ACCEPTABLE, desc = "interrupted, or seen")
    private static final class Interrupts {}

    @Outcome(
            id = "false, false",
            expect = Expect.FORBIDDEN,
            desc = "no kick, and the device rests beside a chain")
    @Outcome(expect = Expect.ACCEPTABLE, desc = "kicked, or seen")
    private static final class Kicks {}

    /** {@code used_event} against {@code used.idx}. */
    @JCStressTest
    @JCStressMeta(Interrupts.class)
    @State
    public static class InterruptByIndex extends RingLitmus {
        public InterruptByIndex() {
            super(RingFormat.SPLIT, true);
            takeChain();
        }

        @Actor
        public void device(ZZ_Result result) {
            result.r1 = handBack();
        }

        @Actor
        public void driver(ZZ_Result result) {
            result.r2 = driver.resumeInterrupts();
        }
    }

    /** NO_INTERRUPT against {@code used.idx}. */
    @JCStressTest
    @JCStressMeta(Interrupts.class)
    @State
    public static class InterruptByFlag extends RingLitmus {
        public InterruptByFlag() {
            super(RingFormat.SPLIT, false);
            takeChain();
        }

        @Actor
        public void device(ZZ_Result result) {
            result.r1 = handBack();
        }

        @Actor
        public void driver(ZZ_Result result) {
            result.r2 = driver.resumeInterrupts();
        }
    }

    /** {@code avail_event} against {@code avail.idx}. */
    @JCStressTest
    @JCStressMeta(Kicks.class)
    @State
    public static class KickByIndex extends RingLitmus {
        public KickByIndex() {
            super(RingFormat.SPLIT, true);
        }

        @Actor
        public void device(ZZ_Result result) {
            result.r1 = looksAgain();
        }

        @Actor
        public void driver(ZZ_Result result) {
            result.r2 = offer();
        }
    }

    /** NO_NOTIFY against {@code avail.idx}. */
    @JCStressTest
    @JCStressMeta(Kicks.class)
    @State
    public static class KickByFlag extends RingLitmus {
        public KickByFlag() {
            super(RingFormat.SPLIT, false);
        }

        @Actor
        public void device(ZZ_Result result) {
            result.r1 = looksAgain();
        }

        @Actor
        public void driver(ZZ_Result result) {
            result.r2 = offer();
        }
    }

    /** The driver's event and its flags against a descriptor that is used. */
    @JCStressTest
    @JCStressMeta(Interrupts.class)
    @State
    public static class PackedInterruptByDescriptor extends RingLitmus {
        public PackedInterruptByDescriptor() {
            super(RingFormat.PACKED, true);
            takeChain();
        }

        @Actor
        public void device(ZZ_Result result) {
            result.r1 = handBack();
        }

        @Actor
        public void driver(ZZ_Result result) {
            result.r2 = driver.resumeInterrupts();
        }
    }

    /** The driver's DISABLE against a descriptor that is used. */
    @JCStressTest
    @JCStressMeta(Interrupts.class)
    @State
    public static class PackedInterruptByFlag extends RingLitmus {
        public PackedInterruptByFlag() {
            super(RingFormat.PACKED, false);
            takeChain();
        }

        @Actor
        public void device(ZZ_Result result) {
            result.r1 = handBack();
        }

        @Actor
        public void driver(ZZ_Result result) {
            result.r2 = driver.resumeInterrupts();
        }
    }

    /** The device's event and its flags against a descriptor that is available. */
    @JCStressTest
    @JCStressMeta(Kicks.class)
    @State
    public static class PackedKickByDescriptor extends RingLitmus {
        public PackedKickByDescriptor() {
            super(RingFormat.PACKED, true);
        }

        @Actor
        public void device(ZZ_Result result) {
            result.r1 = looksAgain();
        }

        @Actor
        public void driver(ZZ_Result result) {
            result.r2 = offer();
        }
    }

    /** The device's DISABLE against a descriptor that is available. */
    @JCStressTest
    @JCStressMeta(Kicks.class)
    @State
    public static class PackedKickByFlag extends RingLitmus {
        public PackedKickByFlag() {
            super(RingFormat.PACKED, false);
        }

        @Actor
        public void device(ZZ_Result result) {
            result.r1 = looksAgain();
        }

        @Actor
        public void driver(ZZ_Result result) {
            result.r2 = offer();
        }
    }
}
