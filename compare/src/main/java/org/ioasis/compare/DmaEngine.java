// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.ioasis.machine.Machine;
import org.ioasis.memory.Access;
import org.ioasis.virtio.rogue.Aim;
import org.ioasis.virtio.rogue.Rogue;
import org.ioasis.virtio.rogue.Tally;
import org.ioasis.virtio.rogue.Volley;

/** An endpoint that accesses memory when it is told to. One thread. */
sealed interface DmaEngine {
    /**
     * Makes one access; when this returns it is over, and the driver has been told of it if it is
     * to be told.
     */
    void access(Step.Access access) throws IOException, InterruptedException;

    /** Of the machine after a reset. */
    void enable() throws IOException;

    /**
     * QEMU's device {@code edu} (its docs/specs/edu.rst): a buffer in the device, and registers for
     * one transfer between that and memory, which the machine's clock starts.
     */
    final class Edu implements DmaEngine {
        private static final int BAR = 0xe200_0000;
        private static final int SOURCE = 0x80;
        private static final int DESTINATION = 0x88;
        private static final int COUNT = 0x90;
        private static final int COMMAND = 0x98;
        private static final int RUN = 1;
        private static final int TO_MEMORY = 2;

        /** What is written comes from here, zeroes; what is read goes behind it. */
        private static final long BUFFER = 0x4_0000;

        private static final long READ_TO = BUFFER + 0x800;

        /** After this long, by the machine's clock, the device does what it was told. */
        private static final Duration DELAY = Duration.ofMillis(100);

        private final QtestClient qtest;
        private final PciDevice function;

        Edu(QtestClient qtest, int bdf) {
            this.qtest = qtest;
            function = new PciDevice(qtest, bdf);
        }

        /** As a value of {@code -device}. */
        static String option(int slot) {
            return "edu,addr=%x,dma_mask=0xffffffffffffffff".formatted(slot);
        }

        @Override
        public void enable() throws IOException {
            function.enable(BAR);
        }

        @Override
        public void access(Step.Access access) throws IOException {
            long base = function.bar(0);
            qtest.write(base + SOURCE, 8, access.isWrite() ? BUFFER : access.iova());
            qtest.write(base + DESTINATION, 8, access.isWrite() ? access.iova() : READ_TO);
            qtest.write(base + COUNT, 8, access.length());
            qtest.write(base + COMMAND, 8, access.isWrite() ? RUN | TO_MEMORY : RUN);
            qtest.clockStep(DELAY);
        }
    }

    /** One of our own endpoints, made to access what no driver asked for. */
    final class Ours implements DmaEngine {
        /** Faults that come faster are counted and not told to the driver. */
        private static final long NANOS_BETWEEN = 5_000_000;

        private static final long LIMIT_SECONDS = 10;

        private final Rogue rogue;
        private final Machine machine;
        private long last = System.nanoTime();

        Ours(Rogue rogue, Machine machine) {
            this.rogue = rogue;
            this.machine = machine;
        }

        @Override
        public void enable() {}

        @Override
        public void access(Step.Access access) throws IOException, InterruptedException {
            long wait = NANOS_BETWEEN - (System.nanoTime() - last);
            if (wait > 0) {
                TimeUnit.NANOSECONDS.sleep(wait);
            }
            Volley one =
                    new Volley(
                            access.isWrite() ? Access.WRITE : Access.READ,
                            new Aim.Stride(access.iova(), 0),
                            access.length(),
                            1);
            try {
                Tally _ = rogue.fire(one).get(LIMIT_SECONDS, TimeUnit.SECONDS);
            } catch (ExecutionException | TimeoutException e) {
                throw new IOException("our endpoint does not answer: " + e, e);
            } finally {
                last = System.nanoTime();
            }
            // The device tells the driver in a task of its loop that was posted before this one.
            if (!machine.onLoop(() -> {})) {
                throw new IOException("the loop of our machine does not answer");
            }
        }
    }
}
