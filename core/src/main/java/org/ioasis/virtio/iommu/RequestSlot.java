// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static org.ioasis.spec.VirtioIommuTables.ATTACH_SIZE;
import static org.ioasis.spec.VirtioIommuTables.ATTACH_TAIL;

import org.ioasis.iommu.Completion;
import org.ioasis.iommu.Refusal;
import org.ioasis.iommu.Status;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.VirtioIommu;
import org.ioasis.virtio.Job;
import org.jspecify.annotations.Nullable;

/**
 * One request in flight: its copy, its buffers and, later, its answer. Pooled, so that a request
 * allocates nothing. Device's thread.
 */
final class RequestSlot extends Job<RequestSlot> implements Completion {
    /** Takes slots whose answer is there. */
    interface Answered {
        void answered(RequestSlot slot);
    }

    /** The largest of all requests, those of profiles included. */
    private static final int SIZE = ATTACH_TAIL;

    private final Answered answered;

    /**
     * The device-readable part, copied once and only then looked at. In words, since that is what
     * it is looked at in.
     */
    private final long[] request = new long[ATTACH_SIZE / Long.BYTES];

    private int copied;

    RequestType type = RequestType.UNKNOWN;

    /** Null: the buffer goes back unwritten. */
    @Nullable Status status;

    /** What the answer will be: only running accesses are waited for. Null while that is open. */
    @Nullable Status settled;

    /** Whom to PROBE. */
    int endpoint;

    /** Since which reset of the device: the engine has forgotten those before it. */
    int epoch;

    /** Of the batch that is being carried out, whose answers are given in its order. */
    boolean isInBatch;

    /** Of such a batch, and nobody is to hear of an answer that is OK. */
    boolean isQuiet;

    /** The answer is there, given or not. */
    boolean isComplete;

    /** Why a check has refused it, if one has. */
    @Nullable Refusal refusal;

    /** Bytes after which the answer ends by a planted failure, or -1. */
    int truncatedTo = -1;

    /** What a flight recording is told of it: used again, and made when one first wants it. */
    @Nullable RequestEvent event;

    /** The event has begun. */
    boolean isTimed;

    RequestSlot(int descriptorLimit, Answered answered) {
        super(descriptorLimit);
        this.answered = answered;
    }

    @Override
    protected void begin() {
        isComplete = false;
        isTimed = false;
        settled = null;
        refusal = null;
        truncatedTo = -1;
    }

    /** Copies the request. Inside a guarded section. */
    Outcome copyIn() {
        copied = (int) Math.min(chain().readableLength(), SIZE);
        return copied == 0 ? Outcome.OK : chain().copyIn(request, copied);
    }

    /** True if the readable part has {@code size} bytes. */
    boolean holds(int size) {
        return copied >= size;
    }

    /** What its first byte says, as far as it was copied. */
    RequestType typeOfHead(boolean hasTables) {
        return holds(VirtioIommu.HEAD_SIZE)
                ? RequestType.of(u8(0), hasTables)
                : RequestType.UNKNOWN;
    }

    int u8(int offset) {
        return le32(offset) & 0xff;
    }

    /** Four bytes of one word. */
    int le32(int offset) {
        return (int) (request[offset / Long.BYTES] >>> (Byte.SIZE * (offset % Long.BYTES)));
    }

    /** A word. */
    long le64(int offset) {
        return request[offset / Long.BYTES];
    }

    @Override
    public void complete(Status answer) {
        status = answer;
        isComplete = true;
        if (!isQuiet || answer != Status.OK) {
            answered.answered(this);
        }
    }

    @Override
    public void refused(Refusal why) {
        refusal = why;
        complete(why.status());
    }

    @Override
    public void settled(Status answer) {
        settled = answer;
    }

    /** What is to be saved of it, when all that is open is when it is answered. */
    RequestState save() {
        int whom = type == RequestType.PROBE ? endpoint : 0;
        return new RequestState(type, isComplete ? status : settled, whom, chain().save());
    }

    /** Becomes a request that was saved, with its answer. */
    void restore(RequestState saved, Dma dma) {
        chain().restore(saved.chain(), dma);
        type = saved.type();
        status = saved.status();
        endpoint = saved.endpoint();
        isComplete = true;
    }

    /** To be given back unwritten, with used length 0. */
    void giveBack() {
        status = null;
        isComplete = true;
        answered.answered(this);
    }
}
