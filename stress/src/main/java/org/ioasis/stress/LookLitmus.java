// SPDX-License-Identifier: Apache-2.0
package org.ioasis.stress;

import java.lang.foreign.MemorySegment;
import java.util.concurrent.RejectedExecutionException;
import org.ioasis.memory.DirectDma;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Region;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.DeviceType;
import org.ioasis.virtio.DeviceWork;
import org.ioasis.virtio.Interrupts;
import org.ioasis.virtio.Job;
import org.ioasis.virtio.Step;
import org.ioasis.virtio.VirtioDevice;
import org.ioasis.virtqueue.DriverQueue;
import org.ioasis.virtqueue.RingFormat;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressMeta;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.ZZ_Result;

/**
 * The end of looking at a ring (virtio 1.4, 2.7.7, 2.7.10 and 2.8.10), in a whole device: the
 * driver is not asked for kicks while its ring is looked at, and offers a chain just when the
 * device's thread looks no more. Either the device finds it, or the driver is asked for a kick.
 */
public abstract class LookLitmus {
    private static final int SIZE = 2;

    // On the heap: many of these are made. Of longs, because rings must be aligned.
    private final MemorySegment ring;
    private final DriverQueue driver;
    private final Taker taker = new Taker();
    private final VirtioDevice device;
    private volatile boolean isLookedAt;

    LookLitmus(RingFormat format, boolean eventIdx) {
        ring = MemorySegment.ofArray(new long[(int) format.driverBytes(SIZE) / Long.BYTES + 1]);
        driver = format.newDriver(ring, 0, SIZE, eventIdx);
        driver.suppressInterrupts();
        Guards guards = new Guards(() -> 0, lease -> {});
        GuestMemory memory = new GuestMemory(guards, 1);
        memory.add(new Region(0, ring.byteSize() - 1, ring, true, null));
        long features =
                Virtio.F_VERSION_1
                        | (eventIdx ? Virtio.F_EVENT_IDX : 0)
                        | (format == RingFormat.PACKED ? Virtio.F_RING_PACKED : 0);
        device =
                new VirtioDevice(
                        taker, new DirectDma(memory, guards.open()), features, new NoInterrupts());
        device.writeStatus(Virtio.STATUS_ACKNOWLEDGE | Virtio.STATUS_DRIVER);
        device.writeDriverFeatures(features);
        device.writeStatus(Virtio.STATUS_FEATURES_OK);
        device.writeQueueDesc(0, driver.descAddress());
        device.writeQueueDriver(0, driver.driverAddress());
        device.writeQueueDevice(0, driver.deviceAddress());
        device.enableQueue(0);
    }

    private void makeAvailable() {
        int _ = driver.begin();
        driver.readable(0, 1);
        driver.offer();
        driver.expose();
    }

    /** Looks at the ring after a first chain, and then no more. True if it has found the second. */
    final boolean looksAndRests() {
        device.writeStatus(Virtio.STATUS_DRIVER_OK);
        device.watch().begin(0);
        makeAvailable();
        boolean _ = driver.shouldKick();
        device.kick(0);
        if (taker.taken() != 1) {
            throw new IllegalStateException("not taken");
        }
        isLookedAt = true;
        boolean _ = device.watch().rest();
        return taker.taken() == 2;
    }

    /** Offers the second chain. True if the device has asked for a kick. */
    final boolean offers() {
        while (!isLookedAt) {
            Thread.onSpinWait();
        }
        makeAvailable();
        return driver.shouldKick();
    }

    /** Nobody is interrupted: the driver looks. */
    private static final class NoInterrupts implements Interrupts {
        @Override
        public void queue(int queue) {}

        @Override
        public void config() {}
    }

    /** A device that gives back what it takes. */
    private static final class Taker implements DeviceType {
        private final Work work = new Work();

        int taken() {
            return work.taken;
        }

        @Override
        public int id() {
            return Virtio.DEVICE_ID_ENTROPY;
        }

        @Override
        public long features() {
            return 0;
        }

        @Override
        public int queueCount() {
            return 1;
        }

        @Override
        public int queueSizeMax() {
            return SIZE;
        }

        @Override
        public int configSize() {
            return 0;
        }

        @Override
        public long readConfig(int offset, int size) {
            return 0;
        }

        @Override
        public void writeConfig(int offset, int size, long value) {}

        @Override
        public DeviceWork<?> work() {
            return work;
        }
    }

    private static final class Taken extends Job<Taken> {
        Taken() {
            super(SIZE);
        }

        @Override
        protected void begin() {}
    }

    private static final class Work extends DeviceWork<Taken> {
        private final Taken only = new Taken();
        int taken;

        Work() {
            super(
                    1,
                    task -> {
                        throw new RejectedExecutionException("two chains are no more than a turn");
                    });
        }

        @Override
        protected Taken room(int queue) {
            return only;
        }

        @Override
        protected void release(Taken job) {}

        @Override
        protected Step advance(Taken job) {
            taken++;
            return job.finish(0);
        }

        @Override
        protected void outside() {}
    }

    @Outcome(
            id = "false, false",
            expect = Expect.FORBIDDEN,
            desc = "no kick, and the device rests beside a chain")
    @Outcome(expect = Expect.ACCEPTABLE, desc = "kicked, or seen")
    private static final class Ends {}

    /** {@code avail_event}, left behind while it is looked at. */
    @JCStressTest
    @JCStressMeta(Ends.class)
    @State
    public static class EndByIndex extends LookLitmus {
        public EndByIndex() {
            super(RingFormat.SPLIT, true);
        }

        @Actor
        public void device(ZZ_Result result) {
            result.r1 = looksAndRests();
        }

        @Actor
        public void driver(ZZ_Result result) {
            result.r2 = offers();
        }
    }

    /** NO_NOTIFY, set while it is looked at: the driver may see the old flag. */
    @JCStressTest
    @JCStressMeta(Ends.class)
    @State
    public static class EndByFlag extends LookLitmus {
        public EndByFlag() {
            super(RingFormat.SPLIT, false);
        }

        @Actor
        public void device(ZZ_Result result) {
            result.r1 = looksAndRests();
        }

        @Actor
        public void driver(ZZ_Result result) {
            result.r2 = offers();
        }
    }

    /** DISABLE of a packed ring, set while it is looked at: the driver may see the old flags. */
    @JCStressTest
    @JCStressMeta(Ends.class)
    @State
    public static class PackedEnd extends LookLitmus {
        public PackedEnd() {
            super(RingFormat.PACKED, true);
        }

        @Actor
        public void device(ZZ_Result result) {
            result.r1 = looksAndRests();
        }

        @Actor
        public void driver(ZZ_Result result) {
            result.r2 = offers();
        }
    }
}
