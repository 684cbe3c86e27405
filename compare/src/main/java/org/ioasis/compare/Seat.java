// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.io.IOException;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Where somebody sits who asks a device whatever he likes: what a driver can send, right or wrong,
 * and all that it can see of the answers. One thread.
 */
interface Seat {
    /** Requests in the queue at a time. */
    int BATCH = 64;

    /** Resets the device and starts it with these features. */
    void start(long features) throws IOException;

    long offered() throws IOException;

    byte[] config() throws IOException;

    /** Returns whether the device asks for a reset now. */
    boolean configure(Step.Configure step) throws IOException;

    /** Puts up to {@link #BATCH} requests into the queue and tells the device. */
    void send(List<Request> batch) throws IOException;

    /**
     * Waits for the answers to what was sent, in its order. If the device asks for a reset instead
     * of an answer, that is the last one, and there may be fewer.
     */
    List<Answer> collect() throws IOException;

    /** The next thing that the device tells of, or null. */
    Effect.@Nullable Event event() throws IOException;
}
