// SPDX-License-Identifier: Apache-2.0
package org.ioasis.web;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.atomic.AtomicBoolean;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.util.Callback;

/**
 * A client that is sent events (HTML standard, 9.2). One is on its way at a time and nothing waits
 * behind it: a client that does not read costs one event. Any thread.
 */
public final class WebStream {
    private final Response response;
    private final Callback whole;
    private final Runnable skipped;
    private final Runnable ended;
    private final AtomicBoolean isBusy = new AtomicBoolean();
    private final AtomicBoolean isOver = new AtomicBoolean();

    WebStream(Response response, Callback whole, Runnable skipped, Runnable ended) {
        this.response = response;
        this.whole = whole;
        this.skipped = skipped;
        this.ended = ended;
    }

    /**
     * Sends an event, unless the client has not taken the one before.
     *
     * @param name of the event, without line breaks
     * @param data without line breaks
     * @return false if it was not sent and never will be
     */
    public boolean offer(String name, String data) {
        if (isOver.get()) {
            return false;
        }
        if (!isBusy.compareAndSet(false, true)) {
            skipped.run();
            return false;
        }
        byte[] event =
                "event: %s\ndata: %s\n\n".formatted(name, data).getBytes(StandardCharsets.UTF_8);
        response.write(
                false,
                ByteBuffer.wrap(event),
                Callback.from(() -> isBusy.set(false), this::failed));
        return true;
    }

    /** False when the client has gone, or was too slow for too long. */
    public boolean isOpen() {
        return !isOver.get();
    }

    /** True if an event can be sent at once. */
    public boolean isReady() {
        return isOpen() && !isBusy.get();
    }

    void failed(Throwable cause) {
        if (isOver.compareAndSet(false, true)) {
            ended.run();
            whole.failed(cause);
        }
    }
}
