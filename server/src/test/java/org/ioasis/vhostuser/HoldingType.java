// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;
import org.ioasis.memory.Outcome;
import org.ioasis.virtio.DeviceType;
import org.ioasis.virtio.DeviceWork;
import org.ioasis.virtio.Job;
import org.ioasis.virtio.Step;
import org.ioasis.virtqueue.Chain;
import org.jspecify.annotations.Nullable;

/**
 * A device with two queues that keeps the chains that it takes until it is told to give one back:
 * then it adds one to the number in it. Loop thread.
 */
final class HoldingType implements DeviceType {
    private static final int SIZE_MAX = 8;
    private static final int JOBS = 2 * SIZE_MAX;

    private final HoldingWork work;

    HoldingType(Executor deviceThread) {
        work = new HoldingWork(deviceThread);
    }

    /** How many chains it has. */
    int held() {
        return work.held.size();
    }

    /** Gives one of them back. */
    void giveBack(int which) {
        work.giveBack(which);
    }

    @Override
    public int id() {
        return 0x3f;
    }

    @Override
    public long features() {
        return 0;
    }

    @Override
    public int queueCount() {
        return 2;
    }

    @Override
    public int queueSizeMax() {
        return SIZE_MAX;
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

    @Override
    public void resetQueue(int queue) {
        work.forget(queue);
    }

    @Override
    public void reset() {
        work.forget(0);
        work.forget(1);
    }

    @Override
    public void systemReset() {
        reset();
    }

    private static final class Held extends Job<Held> {
        private boolean isBack;

        Held() {
            super(SIZE_MAX);
        }

        @Override
        protected void begin() {
            isBack = false;
        }
    }

    private static final class HoldingWork extends DeviceWork<Held> {
        private final List<Held> held = new ArrayList<>();
        private final ArrayDeque<Held> free = new ArrayDeque<>();
        private final int[] word = new int[1];

        HoldingWork(Executor deviceThread) {
            super(2, deviceThread);
            for (int i = 0; i < JOBS; i++) {
                free.add(new Held());
            }
        }

        void giveBack(int which) {
            Held job = held.remove(which);
            job.isBack = true;
            resume(job);
        }

        /** Those of the queue are nobody's any more, and come back as such. */
        void forget(int queue) {
            for (Held job : List.copyOf(held)) {
                if (job.queue() == queue) {
                    held.remove(job);
                    resume(job);
                }
            }
        }

        @Override
        protected @Nullable Held room(int queue) {
            return free.poll();
        }

        @Override
        protected void release(Held job) {
            free.add(job);
        }

        @Override
        protected Step advance(Held job) {
            if (!job.isBack) {
                return Step.OUTSIDE;
            }
            Chain chain = job.chain();
            MemorySegment bytes = MemorySegment.ofArray(word);
            Outcome outcome = chain.copyIn(0, bytes, 0, Integer.BYTES);
            if (outcome == Outcome.OK) {
                word[0]++;
                outcome = chain.copyOut(0, bytes, 0, Integer.BYTES);
            }
            return outcome == Outcome.ABSENT
                    ? Step.ABSENT
                    : job.finish(outcome == Outcome.OK ? Integer.BYTES : 0);
        }

        @Override
        protected void outside() {
            for (Held job = takeOutside(); job != null; job = takeOutside()) {
                held.add(job);
            }
        }
    }
}
