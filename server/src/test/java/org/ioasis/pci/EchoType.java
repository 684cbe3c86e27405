// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.Executor;
import org.ioasis.memory.Outcome;
import org.ioasis.virtio.DeviceType;
import org.ioasis.virtio.DeviceWork;
import org.ioasis.virtio.Job;
import org.ioasis.virtio.Step;
import org.ioasis.virtqueue.Chain;

/** A device with two queues that writes into each chain what it reads from it, plus one. */
public final class EchoType implements DeviceType {
    static final int CONFIG_SIZE = 12;

    private final MemorySegment config = Arena.ofAuto().allocate(CONFIG_SIZE);
    private final EchoWork work;
    int resets;
    int queueResets;
    int systemResets;
    int kicks;

    /** What it puts off it does at once, recursively. */
    public EchoType() {
        this(Runnable::run);
    }

    public EchoType(Executor deviceThread) {
        work = new EchoWork(deviceThread);
    }

    /** How often it was reset by its driver. Any thread, once that is answered. */
    public int resets() {
        return resets;
    }

    /** How often it was made as new. */
    public int systemResets() {
        return systemResets;
    }

    @Override
    public int id() {
        return 0x3f;
    }

    @Override
    public long features() {
        return 5;
    }

    @Override
    public int queueCount() {
        return 2;
    }

    @Override
    public int queueSizeMax() {
        return 8;
    }

    @Override
    public int configSize() {
        return CONFIG_SIZE;
    }

    @Override
    public long readConfig(int offset, int size) {
        long value = 0;
        for (int i = size - 1; i >= 0; i--) {
            value = (value << 8) | (config.get(ValueLayout.JAVA_BYTE, offset + i) & 0xffL);
        }
        return value;
    }

    @Override
    public void writeConfig(int offset, int size, long value) {
        for (int i = 0; i < size; i++) {
            config.set(ValueLayout.JAVA_BYTE, offset + i, (byte) (value >>> (8 * i)));
        }
    }

    @Override
    public DeviceWork<?> work() {
        return work;
    }

    @Override
    public void resetQueue(int queue) {
        queueResets++;
    }

    @Override
    public void reset() {
        resets++;
    }

    @Override
    public void systemReset() {
        systemResets++;
        config.fill((byte) 0);
    }

    private static final class Echo extends Job<Echo> {
        Echo() {
            super(8);
        }

        @Override
        protected void begin() {}
    }

    private final class EchoWork extends DeviceWork<Echo> {
        private final MemorySegment bounce = Arena.ofAuto().allocate(64);
        private final Echo echo = new Echo();

        EchoWork(Executor deviceThread) {
            super(2, deviceThread);
        }

        @Override
        protected void kicked(int queue) {
            kicks++;
        }

        @Override
        protected Echo room(int queue) {
            return echo;
        }

        @Override
        protected void release(Echo job) {}

        @Override
        protected Step advance(Echo job) {
            Chain chain = job.chain();
            long n = Math.min(chain.readableLength(), chain.writableLength());
            Outcome outcome = chain.copyIn(0, bounce, 0, n);
            if (outcome == Outcome.OK) {
                for (long i = 0; i < n; i++) {
                    byte b = bounce.get(ValueLayout.JAVA_BYTE, i);
                    bounce.set(ValueLayout.JAVA_BYTE, i, (byte) (b + 1));
                }
                outcome = chain.copyOut(0, bounce, 0, n);
            }
            return switch (outcome) {
                case OK -> job.finish(n);
                case ABSENT -> Step.PUT_BACK;
                case FAULT, REFUSED -> job.finish(0);
            };
        }

        @Override
        protected void outside() {}
    }
}
