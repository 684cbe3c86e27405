// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.ioasis.spec.VirtioIommu.*;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * One request, both answers, and the state that both devices had before it.
 *
 * <p>What QEMU's device answers follows from fewer checks than ours: the {@code lenient} methods
 * say it, so that a rule explains one pair of answers and no other. One thread: the state goes on
 * with the next request.
 */
record Case(Setup setup, CommonState before, Request request, Answer ours, Answer theirs) {
    private static final long MSI_FIRST = 0xfee0_0000L;
    private static final long MSI_LAST = 0xfeef_ffffL;

    /** Each answer is a tail with this status and nothing else. */
    boolean are(int oursStatus, int theirsStatus) {
        return ours.equals(tail(oursStatus)) && theirs.equals(tail(theirsStatus));
    }

    Answer tail(int status) {
        return Answer.tail(request, status, 0);
    }

    /** The answer to a PROBE that finds nothing: properties of zero, then the tail. */
    Answer probeTail(int status) {
        return Answer.tail(request, status, Request.PROPERTIES);
    }

    boolean isOursUnwritten() {
        return ours.equals(Answer.unwritten(request));
    }

    /** A device that carries the request out is another one then. */
    boolean mayChangeState() {
        return request.type() >= T_ATTACH
                && request.type() <= T_UNMAP
                && request.length() >= request.typeSize();
    }

    // --- endpoints

    /** QEMU takes it for an endpoint: by its low 16 bits, and the IOMMU's own function is one. */
    boolean isThereLeniently(int endpoint) {
        int low = endpoint & 0xffff;
        return Requests.isThere(low) || low == Requests.OWN;
    }

    /** An id of more than 16 bits that QEMU takes for an endpoint. */
    boolean isFolded(int endpoint) {
        return (endpoint >>> 16) != 0 && isThereLeniently(endpoint);
    }

    // --- ATTACH

    int attachFlags() {
        return request.le32(ATTACH_FLAGS);
    }

    /** The domain is there and is of the other kind than the flag says. */
    boolean isOtherKind() {
        CommonState.Domain domain = before.domain(request.domain());
        return domain != null && domain.isBypass() != ((attachFlags() & ATTACH_F_BYPASS) != 0);
    }

    /** The endpoint is the only one in the domain that it is to be attached to. */
    boolean isAloneThere() {
        Integer old = before.domainOf(request.endpoint());
        return old != null && old == request.domain() && before.isAlone(request.endpoint());
    }

    /** Known flags, an id of 16 bits that is there, and the domain's kind once it was left. */
    int lenientAttach() {
        if ((attachFlags() & ~ATTACH_F_BYPASS) != 0) {
            return S_INVAL;
        }
        if (!isThereLeniently(request.endpoint())) {
            return S_NOENT;
        }
        return isOtherKind() && !isAloneThere() ? S_INVAL : S_OK;
    }

    // --- MAP and UNMAP

    boolean isBackwards() {
        return Long.compareUnsigned(request.first(), request.last()) > 0;
    }

    boolean isMisaligned() {
        long within = Requests.PAGE - 1;
        return ((request.first() | (request.last() + 1) | request.le64(MAP_PHYS_START)) & within)
                != 0;
    }

    /** The physical range goes on behind 2^64-1. */
    boolean isWrapping() {
        long output = request.le64(MAP_PHYS_START);
        long outputLast = output + (request.last() - request.first());
        return Long.compareUnsigned(outputLast, output) < 0;
    }

    boolean isOutside() {
        return Long.compareUnsigned(request.last(), setup.inputLast()) > 0;
    }

    /** Some of it is the doorbell of interrupts, and the domain has an endpoint. */
    boolean isReserved() {
        return Long.compareUnsigned(request.first(), MSI_LAST) <= 0
                && Long.compareUnsigned(MSI_FIRST, request.last()) <= 0;
    }

    int mapFlags() {
        return request.le32(MAP_FLAGS);
    }

    /** Flags that any version knows, order, domain, kind, overlap. */
    int lenientMap() {
        if ((mapFlags() & ~(MAP_F_READ | MAP_F_WRITE | MAP_F_MMIO)) != 0 || isBackwards()) {
            return S_INVAL;
        }
        CommonState.Domain domain = before.domain(request.domain());
        if (domain == null) {
            return S_NOENT;
        }
        return domain.isBypass() || domain.overlaps(request.first(), request.last())
                ? S_INVAL
                : S_OK;
    }

    /** Order, domain, kind, split. */
    int lenientUnmap() {
        if (isBackwards()) {
            return S_INVAL;
        }
        CommonState.Domain domain = before.domain(request.domain());
        if (domain == null) {
            return S_NOENT;
        }
        if (domain.isBypass()) {
            return S_INVAL;
        }
        return domain.splits(request.first(), request.last()) ? S_RANGE : S_OK;
    }

    // --- PROBE

    /**
     * QEMU's answer to a PROBE. Into a buffer that is too small it writes as much of the answer as
     * fits, then a tail over the first bytes, and tells of that tail.
     */
    Answer lenientProbe() {
        ByteBuffer bytes =
                ByteBuffer.allocate(Request.PROPERTIES + TAIL_SIZE).order(ByteOrder.LITTLE_ENDIAN);
        boolean isWhole = request.is(T_PROBE);
        boolean hasProperties = isWhole && isThereLeniently(request.le32(PROBE_ENDPOINT));
        if (hasProperties) {
            bytes.putShort((short) PROBE_T_RESV_MEM)
                    .putShort((short) (RESV_MEM_SIZE - PROPERTY_HEAD_SIZE))
                    .putInt(RESV_MEM_T_MSI)
                    .putLong(MSI_FIRST)
                    .putLong(MSI_LAST);
        }
        bytes.put(Request.PROPERTIES, (byte) (hasProperties ? S_OK : isWhole ? S_NOENT : S_INVAL));
        int room = request.writable();
        if (room >= bytes.capacity()) {
            byte[] written = new byte[room];
            Arrays.fill(written, Answer.UNTOUCHED);
            bytes.get(0, written, 0, bytes.capacity());
            return new Answer(bytes.capacity(), written);
        }
        byte[] written = new byte[room];
        bytes.putInt(0, S_DEVERR);
        bytes.get(0, written);
        return new Answer(TAIL_SIZE, written);
    }
}
