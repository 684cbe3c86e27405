// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static org.ioasis.spec.PackedRing.DESC_FLAGS;
import static org.ioasis.spec.PackedRing.DESC_LEN;
import static org.ioasis.spec.PackedRing.DESC_SIZE;
import static org.ioasis.spec.PackedRing.VIRTQ_DESC_F_INDIRECT;
import static org.ioasis.spec.PackedRing.VIRTQ_DESC_F_NEXT;

import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.memory.ReadRange;
import org.jspecify.annotations.Nullable;

/**
 * The descriptor ring of a packed queue and the tables it refers to, as the device reads them
 * (virtio 1.4, 2.8.5 to 2.8.7): follows a list from its first descriptor, each copied once. The
 * queue's thread, inside a guarded section. Nothing is allocated after construction.
 */
final class DescriptorRing extends DescriptorReader {
    DescriptorRing(Dma dma, int sizeMax) {
        super(dma, sizeMax);
    }

    /** Where the flags of the descriptor at a position lie in the ring. */
    long flags(int at) {
        return place(RingPosition.slot(at, size())) + DESC_FLAGS;
    }

    /**
     * Length, id and flags of the descriptor at a position in one access; later ones stay behind
     * it. Only where the ring {@linkplain ReadRange#isInWords is in words}.
     */
    long fieldsAcquire(int at) {
        return ring().u64Acquire(place(RingPosition.slot(at, size())) + DESC_LEN);
    }

    /** Copies the descriptor at a position, of which {@link #fieldsAcquire} has read the fields. */
    void copyRest(int at, long read) {
        fetchRest(RingPosition.slot(at, size()), read);
    }

    /** Copies the descriptor at a position. */
    Outcome copy(int at) {
        return fetch(RingPosition.slot(at, size()), ring().isFound());
    }

    /**
     * Reads a list that was written down earlier.
     *
     * @param entry where it begins in the log
     * @return as the other one
     */
    Outcome read(Chain chain, PackedLog log, int entry) {
        begin(chain);
        int count = log.descriptors(entry);
        int at = entry;
        for (int seen = 1; ; seen++) {
            take(log.address(at), log.fields(at));
            int flags = PackedFields.flags(fields());
            if ((flags & VIRTQ_DESC_F_INDIRECT) != 0) {
                // A table is all of its chain: what the log has beyond it the ring would not count.
                return count == 1
                        ? readIndirect(chain, flags, seen)
                        : broken(BrokenReason.LOG_UNFIT);
            }
            String rule = add(chain, flags);
            if (rule != null) {
                return broken(rule);
            }
            if (seen == count) {
                chain.name(PackedFields.id(fields()), seen);
                return Outcome.OK;
            }
            at = log.following(at);
        }
    }

    /**
     * Reads the list whose first descriptor is available at {@code first}, has been seen to be, and
     * was copied last.
     *
     * @param room descriptors that the driver can have made available, at least 1
     * @param log gets a copy of each
     * @return OK, or why memory could not be read; REFUSED also if a rule is broken
     */
    Outcome read(Chain chain, int first, int room, @Nullable PackedLog log) {
        begin(chain);
        if (log != null) {
            log.beginCopy();
        }
        boolean isFound = ring().isFound();
        int at = first;
        for (int seen = 1; ; seen++) {
            int flags = PackedFields.flags(fields());
            // Of the first one, too: it is this copy that counts.
            if (!RingPosition.isAvailable(flags, at, size())) {
                return broken(BrokenReason.LIST_NOT_AVAILABLE);
            }
            if (log != null) {
                log.copy(buffer(), fields());
            }
            if ((flags & VIRTQ_DESC_F_INDIRECT) != 0) {
                return readIndirect(chain, flags, seen);
            }
            String rule = add(chain, flags);
            if (rule != null) {
                return broken(rule);
            }
            if ((flags & VIRTQ_DESC_F_NEXT) == 0) {
                // The id is that of the last descriptor (2.8.6).
                chain.name(PackedFields.id(fields()), seen);
                return Outcome.OK;
            }
            if (seen == room) {
                return broken(
                        room == size() ? BrokenReason.CHAIN_TOO_LONG : BrokenReason.NOT_USED_YET);
            }
            at = RingPosition.after(at, 1, size());
            Outcome outcome = fetch(RingPosition.slot(at, size()), isFound);
            if (outcome != Outcome.OK) {
                return outcome;
            }
        }
    }

    private Outcome readIndirect(Chain chain, int flags, int seen) {
        if (!indirect()) {
            return broken(BrokenReason.INDIRECT_NOT_NEGOTIATED);
        }
        if ((flags & VIRTQ_DESC_F_NEXT) != 0) {
            return broken(BrokenReason.INDIRECT_WITH_NEXT);
        }
        if (seen > 1) {
            return broken(BrokenReason.INDIRECT_IN_LIST);
        }
        int id = PackedFields.id(fields());
        int entries = (int) (PackedFields.length(fields()) / DESC_SIZE);
        Outcome outcome = fetchTable();
        if (outcome != Outcome.OK) {
            return outcome;
        }
        for (int index = 0; index < entries; index++) {
            take(index);
            // All flags but WRITE are ignored here, and the id (2.8.7).
            String rule = add(chain, PackedFields.flags(fields()));
            if (rule != null) {
                return broken(rule);
            }
        }
        chain.name(id, 1);
        return Outcome.OK;
    }
}
