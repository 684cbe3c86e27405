// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import org.ioasis.loop.EventLoop;
import org.jspecify.annotations.Nullable;

/**
 * The loop as one device sees it: its tasks run there in order, inside the {@linkplain
 * SessionBoundary error boundary} of its session.
 *
 * <p>{@link #execute} for any thread, the rest for the loop's. A task costs no allocation.
 */
public final class SessionTasks implements Executor {
    /**
     * Tasks that may wait at a time: well above the requests that any device has in flight, each of
     * which comes back as one task.
     */
    private static final int LIMIT = 8192;

    private final EventLoop loop;
    private final ArrayBlockingQueue<Runnable> tasks = new ArrayBlockingQueue<>(LIMIT);
    private final Runnable runWaiting = this::runWaiting;
    private @Nullable SessionBoundary boundary;

    public SessionTasks(EventLoop loop) {
        this.loop = loop;
    }

    /** Whose session a failing task ends. Before the loop starts, or on it. */
    public void of(Served owner) {
        boundary = new SessionBoundary(owner);
    }

    /**
     * Runs {@code task} on the loop thread, after those posted before it.
     *
     * @throws RejectedExecutionException the loop has ended, or too many tasks wait
     */
    @Override
    public void execute(Runnable task) {
        if (!tasks.offer(task)) {
            throw new RejectedExecutionException(LIMIT + " tasks of one device wait");
        }
        try {
            loop.execute(runWaiting);
        } catch (RejectedExecutionException e) {
            // Taken back, or it would wait for the next one; unless one before has run it.
            if (tasks.remove(task)) {
                throw e;
            }
        }
    }

    /** Runs {@code task} on the loop thread when {@code nanos} have passed. Loop thread. */
    public void schedule(long nanos, Runnable task) {
        EventLoop.Timer _ = loop.schedule(loop.nanoTime() + nanos, () -> run(task));
    }

    /**
     * Runs what waits now, and not what that posts: more than one where the loop has refused to run
     * another.
     */
    private void runWaiting() {
        for (int i = tasks.size(); i > 0; i--) {
            Runnable task = tasks.poll();
            if (task == null) {
                return;
            }
            run(task);
        }
    }

    private void run(Runnable task) {
        SessionBoundary around = boundary;
        if (around == null) {
            task.run();
        } else {
            around.run(task);
        }
    }
}
