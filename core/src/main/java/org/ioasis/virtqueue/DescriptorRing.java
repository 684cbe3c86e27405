// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static org.ioasis.spec.PackedRing.DESC_ADDR;
import static org.ioasis.spec.PackedRing.DESC_LEN;
import static org.ioasis.spec.PackedRing.DESC_SIZE;
import static org.ioasis.spec.PackedRing.VIRTQ_DESC_F_INDIRECT;
import static org.ioasis.spec.PackedRing.VIRTQ_DESC_F_NEXT;
import static org.ioasis.spec.PackedRing.VIRTQ_DESC_F_WRITE;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.PackedRing;
import org.jspecify.annotations.Nullable;

/**
 * The descriptor ring of a packed queue and the tables it refers to, as the device reads them
 * (virtio 1.4, 2.8.5 to 2.8.7): follows a list from its first descriptor, each copied once. The
 * queue's thread, inside a guarded section. Nothing is allocated after construction.
 */
final class DescriptorRing {
    private static final ValueLayout.OfLong LE64 = JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);

    private final Dma dma;

    /** Copy of a whole indirect table, or of a descriptor whose memory is in pieces. */
    private final MemorySegment scratch;

    private long address;
    private int size;
    private boolean indirect;
    private @Nullable String brokenRule;

    // The descriptor that was copied last: the address of its buffer, and the other fields.
    private long buffer;
    private long fields;

    DescriptorRing(Dma dma, int sizeMax) {
        this.dma = dma;
        scratch = Arena.ofAuto().allocate(PackedRing.descBytes(sizeMax), DESC_SIZE);
    }

    /** Lies at {@code address} from now on; indirect tables are allowed or not. */
    void begin(long address, int size, boolean indirect) {
        this.address = address;
        this.size = size;
        this.indirect = indirect;
    }

    /** Where the descriptor at a position lies. */
    long place(int at) {
        return address + (long) DESC_SIZE * RingPosition.slot(at, size);
    }

    /** The rule that the driver has broken in the list that was read last, or null. */
    @Nullable String brokenRule() {
        return brokenRule;
    }

    /**
     * Reads the list whose first descriptor is available at {@code first}, and has been seen to be.
     *
     * @param room descriptors that the driver can have made available, at least 1
     * @return OK, or why memory could not be read; REFUSED also if a rule is broken
     */
    Outcome read(Chain chain, int first, int room) {
        brokenRule = null;
        chain.begin(dma);
        int at = first;
        for (int seen = 1; ; seen++) {
            Outcome outcome = fetch(place(at));
            if (outcome != Outcome.OK) {
                return outcome;
            }
            int flags = PackedFields.flags(fields);
            // Of the first one, too: it is this copy that counts.
            if (!RingPosition.isAvailable(flags, at, size)) {
                return broken(BrokenReason.LIST_NOT_AVAILABLE);
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
                chain.name(PackedFields.id(fields), seen);
                return Outcome.OK;
            }
            if (seen == room) {
                return broken(
                        room == size ? BrokenReason.CHAIN_TOO_LONG : BrokenReason.NOT_USED_YET);
            }
            at = RingPosition.after(at, 1, size);
        }
    }

    /** Copies the descriptor at {@code at}: small, and mostly in one piece. */
    private Outcome fetch(long at) {
        Outcome outcome = dma.resolve(at, DESC_SIZE, Access.READ);
        if (outcome != Outcome.OK) {
            return outcome;
        }
        if (dma.reach() == DESC_SIZE) {
            // Each byte once: the driver may write there meanwhile.
            fields = dma.loadLong(DESC_LEN);
            buffer = dma.loadLong(DESC_ADDR);
            return Outcome.OK;
        }
        outcome = dma.read(at, scratch, 0, DESC_SIZE);
        take(scratch, 0);
        return outcome;
    }

    private void take(MemorySegment from, long at) {
        buffer = from.get(LE64, at + DESC_ADDR);
        fields = from.get(LE64, at + DESC_LEN);
    }

    private Outcome readIndirect(Chain chain, int flags, int seen) {
        if (!indirect) {
            return broken(BrokenReason.INDIRECT_NOT_NEGOTIATED);
        }
        if ((flags & VIRTQ_DESC_F_NEXT) != 0) {
            return broken(BrokenReason.INDIRECT_WITH_NEXT);
        }
        if (seen > 1) {
            return broken(BrokenReason.INDIRECT_IN_LIST);
        }
        int id = PackedFields.id(fields);
        long table = buffer;
        long bytes = PackedFields.length(fields);
        if (bytes == 0 || bytes % DESC_SIZE != 0 || bytes > PackedRing.descBytes(size)) {
            return broken(BrokenReason.INDIRECT_LENGTH);
        }
        if (Chain.wraps(table, bytes)) {
            return broken(BrokenReason.BUFFER_WRAPS);
        }
        Outcome outcome = dma.read(table, scratch, 0, bytes);
        if (outcome != Outcome.OK) {
            return outcome;
        }
        for (long at = 0; at < bytes; at += DESC_SIZE) {
            take(scratch, at);
            // All flags but WRITE are ignored here, and the id (2.8.7).
            String rule = add(chain, PackedFields.flags(fields));
            if (rule != null) {
                return broken(rule);
            }
        }
        chain.name(id, 1);
        return Outcome.OK;
    }

    private Outcome broken(String rule) {
        brokenRule = rule;
        return Outcome.REFUSED;
    }

    /** Adds the descriptor that was copied; returns which rule it breaks. */
    private @Nullable String add(Chain chain, int flags) {
        boolean writable = (flags & VIRTQ_DESC_F_WRITE) != 0;
        return chain.append(buffer, PackedFields.length(fields), writable);
    }
}
