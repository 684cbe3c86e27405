// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static org.ioasis.spec.VirtioIommu.ATTACH_DOMAIN;
import static org.ioasis.spec.VirtioIommu.ATTACH_ENDPOINT;
import static org.ioasis.spec.VirtioIommu.ATTACH_FLAGS;
import static org.ioasis.spec.VirtioIommu.DETACH_DOMAIN;
import static org.ioasis.spec.VirtioIommu.DETACH_ENDPOINT;
import static org.ioasis.spec.VirtioIommu.MAP_DOMAIN;
import static org.ioasis.spec.VirtioIommu.MAP_FLAGS;
import static org.ioasis.spec.VirtioIommu.MAP_PHYS_START;
import static org.ioasis.spec.VirtioIommu.MAP_VIRT_END;
import static org.ioasis.spec.VirtioIommu.MAP_VIRT_START;
import static org.ioasis.spec.VirtioIommu.UNMAP_DOMAIN;
import static org.ioasis.spec.VirtioIommu.UNMAP_VIRT_END;
import static org.ioasis.spec.VirtioIommu.UNMAP_VIRT_START;
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

        /** What the answer will be is known, and nothing of it is to be done any more. */
        default void decided(RequestSlot slot, Status answer) {}

        /** An ATTACH, which will be refused, has taken its endpoint out of a domain. */
        default void detached(RequestSlot slot, int domain) {}
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

    /** By which an ATTACH_TABLE is read; null: there is none. */
    @Nullable Profile profile;

    /** Null: the buffer goes back unwritten. */
    @Nullable Status status;

    /** What the answer will be: only running accesses are waited for. Null while that is open. */
    @Nullable Status settled;

    /** Whom to PROBE. */
    int endpoint;

    /** Since which reset of the device: the engine has forgotten those before it. */
    int epoch;

    /** What the observer said when it was taken from its ring; 0 if there was none. */
    long taken;

    /** Of the batch that is being carried out, whose answers are given in its order. */
    boolean isInBatch;

    /** Of such a batch, and nobody is to hear of an answer that is OK. */
    boolean isQuiet;

    /** The answer is there, given or not. */
    boolean isComplete;

    /** It was carried out before this process. */
    boolean isAgain;

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
        taken = 0;
        isComplete = false;
        isTimed = false;
        isAgain = false;
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

    /** True if all from one word of four bytes to another, which is not looked at, is zero. */
    boolean isZero(int from, int to) {
        int any = 0;
        for (int at = from; at < to; at += Integer.BYTES) {
            any |= le32(at);
        }
        return any == 0;
    }

    @Override
    public void complete(Status answer) {
        status = answer;
        isComplete = true;
        if (settled == null) {
            answered.decided(this, answer);
        }
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
        // A planted delay says so a second time, when others may have changed the same.
        if (settled == null) {
            answered.decided(this, answer);
        }
        settled = answer;
    }

    @Override
    public void detached(int domain) {
        answered.detached(this, domain);
    }

    /** Tells of a DETACH in the place of the ATTACH that it is. */
    void tellDetached(StateObserver watcher, int domain) {
        watcher.decided(
                RequestType.DETACH, le32(ATTACH_ENDPOINT), domain, 0, 0, 0, 0, Status.OK, null);
    }

    /** Tells of it if it changes what endpoints reach, or would have done so. */
    void tell(StateObserver watcher, Status answer) {
        switch (type) {
            case ATTACH, ATTACH_TABLE ->
                    watcher.decided(
                            type,
                            le32(ATTACH_ENDPOINT),
                            le32(ATTACH_DOMAIN),
                            0,
                            0,
                            0,
                            profile == Profile.TABLES_2021 && type == RequestType.ATTACH_TABLE
                                    ? 0
                                    : le32(ATTACH_FLAGS),
                            answer,
                            refusal);
            case DETACH ->
                    watcher.decided(
                            type,
                            le32(DETACH_ENDPOINT),
                            le32(DETACH_DOMAIN),
                            0,
                            0,
                            0,
                            0,
                            answer,
                            refusal);
            case MAP ->
                    watcher.decided(
                            type,
                            0,
                            le32(MAP_DOMAIN),
                            le64(MAP_VIRT_START),
                            le64(MAP_VIRT_END),
                            le64(MAP_PHYS_START),
                            le32(MAP_FLAGS),
                            answer,
                            refusal);
            case UNMAP ->
                    watcher.decided(
                            type,
                            0,
                            le32(UNMAP_DOMAIN),
                            le64(UNMAP_VIRT_START),
                            le64(UNMAP_VIRT_END),
                            0,
                            0,
                            answer,
                            refusal);
            case PROBE, INVALIDATE, PAGE_RESPONSE, UNKNOWN -> {
                // Changes nothing that endpoints reach.
            }
        }
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

    /** It was carried out before, and only its answer was not given back. */
    void answerAgain(Status answer) {
        isAgain = true;
        settled = answer;
        complete(answer);
    }

    /** To be given back unwritten, with used length 0. */
    void giveBack() {
        status = null;
        isComplete = true;
        answered.answered(this);
    }
}
