// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import org.ioasis.loop.EventLoop;
import org.jspecify.annotations.Nullable;

/**
 * Connects to a device server while the loop does other work: one connection at a time is being
 * made, however often VMMs come and go meanwhile. Loop thread, but for what waits.
 */
final class DeviceDialer {
    /** Hears of what {@link #dial} has come to, once, unless it was given up. Loop thread. */
    interface Caller {
        void connected(DeviceConnection made);

        void failed(String why);
    }

    /** Between one try to tell a loop that is full and the next. */
    private static final long AGAIN_NANOS = 10_000_000;

    private final EventLoop loop;
    private final Path server;
    private final ProxySettings settings;
    private final Executor waiting;
    private final Caller caller;
    private final AtomicBoolean isOpening = new AtomicBoolean();

    /** Tells what was made for one call from the next. */
    private long calls;

    private boolean isDialing;

    /** The server that is called has been there, and is waited for. */
    private volatile boolean isReturning;

    /**
     * @param waiting for the server's answers, as long as it likes
     */
    DeviceDialer(
            EventLoop loop, Path server, ProxySettings settings, Executor waiting, Caller caller) {
        this.loop = loop;
        this.server = server;
        this.settings = settings;
        this.waiting = waiting;
        this.caller = caller;
    }

    /**
     * Begins to connect.
     *
     * @param isReturn the server may take its time to come again
     */
    void dial(boolean isReturn) {
        calls++;
        isDialing = true;
        isReturning = isReturn;
        open();
    }

    boolean isDialing() {
        return isDialing;
    }

    /** Nobody needs the connection any more. */
    void giveUp() {
        isDialing = false;
        isReturning = false;
    }

    /** Has a connection made, unless that is under way. */
    private void open() {
        if (!isOpening.compareAndSet(false, true)) {
            return;
        }
        long mine = calls;
        try {
            waiting.execute(() -> connect(mine));
        } catch (RejectedExecutionException e) {
            isOpening.set(false);
            giveUp();
            caller.failed("no more connections are made");
        }
    }

    /** Waits for the server's answers. Any thread but the loop's. */
    private void connect(long mine) {
        DeviceConnection made = null;
        boolean isPosted = false;
        try {
            String failure = "";
            try {
                made =
                        isReturning
                                ? DeviceConnection.await(server, settings, () -> isReturning)
                                : DeviceConnection.open(server, settings.answerMillis());
            } catch (IOException e) {
                failure = String.valueOf(e.getMessage());
            }
            isPosted = post(mine, made, failure);
        } finally {
            if (!isPosted) {
                isOpening.set(false);
                if (made != null) {
                    made.close();
                }
            }
        }
    }

    /** False if the loop has ended, and all sessions with it. One that is full gets it later. */
    private boolean post(long mine, @Nullable DeviceConnection made, String failure) {
        while (!loop.isOver()) {
            try {
                loop.execute(() -> connected(mine, made, failure));
                return true;
            } catch (RejectedExecutionException e) {
                LockSupport.parkNanos(AGAIN_NANOS);
            }
        }
        return false;
    }

    private void connected(long mine, @Nullable DeviceConnection made, String failure) {
        isOpening.set(false);
        if (!isDialing) {
            if (made != null) {
                made.close();
            }
        } else if (made != null) {
            giveUp();
            caller.connected(made);
        } else if (mine == calls) {
            giveUp();
            caller.failed(failure);
        } else {
            open(); // for whoever calls now the server may be there
        }
    }
}
