// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A task for the device's thread that waits once at most, however often it is posted. Without that
 * bound a driver that kicks all the time would have one more put into the loop's queue each time
 * that work is put off, until the queue is full. Any thread.
 */
final class PostedTask implements Runnable {
    private final Executor deviceThread;
    private final Runnable task;
    private final AtomicBoolean isWaiting = new AtomicBoolean();
    private final AtomicBoolean isOwed = new AtomicBoolean();
    private final AtomicLong refused = new AtomicLong();

    /**
     * @param deviceThread runs tasks later on the device's thread; never at once inside {@code
     *     execute}
     */
    PostedTask(Executor deviceThread, Runnable task) {
        this.deviceThread = deviceThread;
        this.task = task;
    }

    /**
     * Nothing is thrown if the loop takes no more: who posts may be an I/O thread or another
     * device. The task is owed then, and done at the next event or tick. Whether it is owed is
     * asked after each turn of the loop, and who was refused with that said already has such a turn
     * still to come: that of the tasks for which there was no room.
     */
    void post() {
        if (!isWaiting.compareAndSet(false, true)) {
            // In time: the flag goes down before the task looks at what there is to do.
            return;
        }
        if (isTaken()) {
            return;
        }
        // Owed before the flag goes down: for those who have just found it up, too.
        isOwed.set(true);
        refused.incrementAndGet();
        if (!isTaken()) {
            isWaiting.set(false);
        }
    }

    private boolean isTaken() {
        try {
            deviceThread.execute(this);
            return true;
        } catch (RejectedExecutionException _) {
            return false;
        }
    }

    /** True if the task was refused and nobody has made up for it. */
    boolean isOwed() {
        return isOwed.get();
    }

    /** True, once, if the task was refused and nobody has made up for it. */
    boolean takeOwed() {
        return isOwed.get() && isOwed.getAndSet(false);
    }

    /** How often it was refused. */
    long refused() {
        return refused.get();
    }

    @Override
    public void run() {
        isWaiting.set(false);
        task.run();
    }
}
