// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.net;

import static org.ioasis.spec.VirtioNet.ETHERNET_HEADER;
import static org.ioasis.spec.VirtioNet.HEADER_SIZE;
import static org.ioasis.spec.VirtioNet.RECEIVEQ;

import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.concurrent.Executor;
import org.ioasis.memory.Count;
import org.ioasis.memory.Outcome;
import org.ioasis.virtio.DeviceWork;
import org.ioasis.virtio.Step;
import org.jspecify.annotations.Nullable;

/**
 * What a network device does with a buffer (virtio 1.4, 5.1.6). A frame of the guest's is copied in
 * a guarded section and given to the link outside of it; if the link has no room it waits with its
 * chain, in order, and so does the guest when all of them do. A frame for the guest waits for a
 * buffer, in a queue that drops what comes when it is full. Device's thread.
 */
final class NetRequests extends DeviceWork<Transfer> {
    private final Link link;
    private final int frameBytes;
    private final FrameQueue arrived;
    private final ArrayDeque<Transfer> free = new ArrayDeque<>(VirtioNet.FRAME_LIMIT);

    /** Outside, because the link is full. */
    private final ArrayDeque<Transfer> held = new ArrayDeque<>(VirtioNet.FRAME_LIMIT);

    /** The one that takes buffers for received frames, while it is not in use. */
    private @Nullable Transfer taker;

    private final Count sent = new Count();
    private final Count sentBytes = new Count();
    private final Count lost = new Count();
    private final Count malformed = new Count();
    private final Count sentTooLong = new Count();
    private final Count received = new Count();
    private final Count receivedBytes = new Count();
    private final Count receivedTooLong = new Count();
    private final Count overrun = new Count();
    private final Count buffersTooSmall = new Count();

    NetRequests(Link link, int frameBytes, Executor deviceThread) {
        super(VirtioNet.QUEUES, deviceThread);
        this.link = link;
        this.frameBytes = frameBytes;
        arrived = new FrameQueue(VirtioNet.FRAME_LIMIT, frameBytes);
        taker = new Transfer(VirtioNet.QUEUE_SIZE, 0);
        for (int i = 0; i < VirtioNet.FRAME_LIMIT; i++) {
            free.add(new Transfer(VirtioNet.QUEUE_SIZE, frameBytes));
        }
    }

    /** Any thread. */
    NetCounters read() {
        return new NetCounters(
                sent.read(),
                sentBytes.read(),
                lost.read(),
                malformed.read(),
                sentTooLong.read(),
                received.read(),
                receivedBytes.read(),
                receivedTooLong.read(),
                overrun.read(),
                buffersTooSmall.read(),
                counters());
    }

    /** A frame has come and nobody is there; counted. */
    void miss() {
        overrun.increment();
    }

    /** A frame has come; false if it was dropped. */
    boolean arrive(MemorySegment from, long offset, int length) {
        if (length < ETHERNET_HEADER || length > frameBytes) {
            // 5.1.4.1: nothing longer once the driver knows the MTU.
            receivedTooLong.increment();
            return false;
        }
        if (!arrived.offer(from, offset, length)) {
            overrun.increment();
            return false;
        }
        return true;
    }

    /** The link has room again. */
    void sendHeld() {
        while (!held.isEmpty()) {
            Transfer frame = held.getFirst();
            if (!isStale(frame) && !send(frame)) {
                return;
            }
            held.removeFirst();
            resume(frame);
        }
    }

    /** Nobody is there any more who could take what has come. */
    void forgetArrived() {
        arrived.clear();
    }

    /** After a reset of the queue: what waits for the link is not sent. */
    void forgetHeld() {
        while (!held.isEmpty()) {
            resume(held.removeFirst());
        }
    }

    @Override
    protected @Nullable Transfer room(int queue) {
        if (queue != RECEIVEQ) {
            return free.poll();
        }
        if (arrived.isEmpty()) {
            return null;
        }
        Transfer job = taker;
        taker = null;
        return job;
    }

    @Override
    protected void release(Transfer job) {
        if (job.frame.byteSize() < frameBytes) {
            taker = job;
        } else {
            free.add(job);
        }
    }

    @Override
    protected Step advance(Transfer job) {
        return job.queue() == RECEIVEQ ? fill(job) : take(job);
    }

    /** Puts the oldest frame into a buffer (5.1.6.4). */
    private Step fill(Transfer job) {
        int length = arrived.length();
        int whole = HEADER_SIZE + length;
        if (job.chain().writableLength() < whole) {
            // 5.1.6.3.1 asks the driver for room; without merging there is no second buffer.
            buffersTooSmall.increment();
            arrived.drop();
            return job.finish(0);
        }
        spend(whole);
        Outcome outcome = job.chain().copyOut(0, arrived.frame(), 0, whole);
        if (outcome == Outcome.ABSENT) {
            return Step.PUT_BACK;
        }
        arrived.drop();
        if (outcome != Outcome.OK) {
            count(outcome);
            return job.finish(0);
        }
        received.increment();
        receivedBytes.add(length);
        return job.finish(whole);
    }

    /** Copies a frame out of the guest's memory (5.1.6.2), or ends with one that was sent. */
    private Step take(Transfer job) {
        if (job.isOver) {
            return job.finish(0);
        }
        // No offload is offered, so that the header says nothing (5.1.6.2.2).
        long length = job.chain().readableLength() - HEADER_SIZE;
        if (length < ETHERNET_HEADER) {
            malformed.increment();
            return job.finish(0);
        }
        if (length > frameBytes) {
            sentTooLong.increment();
            return job.finish(0);
        }
        job.length = (int) length;
        spend(length);
        Outcome outcome = job.chain().copyIn(HEADER_SIZE, job.frame, 0, length);
        return switch (outcome) {
            case OK -> Step.OUTSIDE;
            case ABSENT -> Step.PUT_BACK;
            case FAULT, REFUSED -> {
                count(outcome);
                yield job.finish(0);
            }
        };
    }

    @Override
    protected void outside() {
        for (Transfer job = takeOutside(); job != null; job = takeOutside()) {
            if (held.isEmpty() && send(job)) {
                resume(job);
            } else {
                held.add(job);
            }
        }
    }

    /** Gives it to the link; false if that has no room. */
    private boolean send(Transfer job) {
        switch (link.send(job.frame, job.length)) {
            case TAKEN -> {
                sent.increment();
                sentBytes.add(job.length);
            }
            case LOST -> lost.increment();
            case FULL -> {
                return false;
            }
        }
        job.isOver = true;
        return true;
    }
}
