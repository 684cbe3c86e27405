// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static org.ioasis.spec.VirtioIommu.TAIL_SIZE;
import static org.ioasis.virtio.iommu.VirtioIommuDevice.PROPERTIES_SIZE;
import static org.ioasis.virtio.iommu.Wire.LE32;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.Status;
import org.ioasis.memory.Outcome;
import org.jspecify.annotations.Nullable;

/**
 * Writes the answer to a request into its buffer (virtio 1.4, 5.13.6.1). Device's thread, inside a
 * guarded section.
 */
final class AnswerWriter {
    /** Answer of {@link #write}: the buffer is absent. */
    static final long ABSENT = -1;

    private final Iommu iommu;
    private final MemorySegment answer =
            Arena.ofAuto().allocate(PROPERTIES_SIZE + TAIL_SIZE, Long.BYTES);

    private final @Nullable Profile profile;

    /**
     * @param profile of whose tables PROBE tells, too; null: of none
     */
    AnswerWriter(Iommu iommu, @Nullable Profile profile) {
        this.iommu = iommu;
        this.profile = profile;
    }

    /** Writes properties and tail; returns the used length, or {@link #ABSENT}. */
    long write(RequestSlot slot) {
        Status status = slot.status;
        if (status == null) {
            return 0;
        }
        int tail = 0;
        if (slot.type == RequestType.PROBE) {
            // The tail follows probe_size bytes of properties; in a buffer too small for them it is
            // the end.
            tail = (int) Math.min(slot.chain().writableLength() - TAIL_SIZE, PROPERTIES_SIZE);
            Endpoint endpoint = iommu.endpoint(slot.endpoint);
            if (status == Status.OK && endpoint != null) {
                PropertyList.write(
                        endpoint.properties(),
                        iommu.options(),
                        profile == null ? null : TableProperties.of(profile, endpoint),
                        answer,
                        tail);
            } else {
                answer.fill((byte) 0);
            }
        }
        long length = (long) tail + TAIL_SIZE;
        if (slot.truncatedTo >= 0) {
            length = Math.min(length, slot.truncatedTo);
        }
        int code = Wire.status(status); // the reserved bytes above it are zero (D-14)
        Outcome outcome;
        if (tail == 0 && length == TAIL_SIZE && slot.chain().isWhole(TAIL_SIZE)) {
            outcome = slot.chain().copyOut(code);
        } else {
            answer.set(LE32, tail, code);
            outcome = slot.chain().copyOut(0, answer, 0, length);
        }
        return switch (outcome) {
            case OK -> length;
            case ABSENT -> ABSENT;
            case FAULT, REFUSED -> 0;
        };
    }
}
