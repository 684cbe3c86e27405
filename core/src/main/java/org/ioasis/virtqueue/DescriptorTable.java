// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static org.ioasis.spec.SplitRing.DESC_ADDR;
import static org.ioasis.spec.SplitRing.DESC_LEN;
import static org.ioasis.spec.SplitRing.DESC_SIZE;
import static org.ioasis.spec.SplitRing.VIRTQ_DESC_F_INDIRECT;
import static org.ioasis.spec.SplitRing.VIRTQ_DESC_F_NEXT;
import static org.ioasis.spec.SplitRing.VIRTQ_DESC_F_WRITE;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.SplitRing;
import org.jspecify.annotations.Nullable;

/**
 * The descriptor table of a split queue and the tables it refers to, as the device reads them
 * (virtio 1.4, 2.7.5): follows a chain from its head, each descriptor copied once. The queue's
 * thread, inside a guarded section. Nothing is allocated after construction.
 */
final class DescriptorTable {
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

    DescriptorTable(Dma dma, int sizeMax) {
        this.dma = dma;
        scratch = Arena.ofAuto().allocate(SplitRing.descBytes(sizeMax), DESC_SIZE);
    }

    /** Lies at {@code address} from now on; indirect tables are allowed or not. */
    void begin(long address, int size, boolean indirect) {
        this.address = address;
        this.size = size;
        this.indirect = indirect;
    }

    /** The rule that the driver has broken in the chain that was read last, or null. */
    @Nullable String brokenRule() {
        return brokenRule;
    }

    /**
     * Reads the chain that begins at {@code head}, which is below the size.
     *
     * @return OK, or why memory could not be read; REFUSED also if a rule is broken
     */
    Outcome read(Chain chain, int head) {
        brokenRule = null;
        chain.begin(dma);
        chain.name(head, 0);
        int index = head;
        for (int seen = 1; ; seen++) {
            // Counts every descriptor of the ring, so that a loop ends here at the latest.
            if (seen > size) {
                return broken(BrokenReason.CHAIN_TOO_LONG);
            }
            Outcome outcome = fetch(address + (long) DESC_SIZE * index);
            if (outcome != Outcome.OK) {
                return outcome;
            }
            int flags = DescriptorFields.flags(fields);
            if ((flags & VIRTQ_DESC_F_INDIRECT) != 0) {
                if (!indirect) {
                    return broken(BrokenReason.INDIRECT_NOT_NEGOTIATED);
                }
                if ((flags & VIRTQ_DESC_F_NEXT) != 0) {
                    return broken(BrokenReason.INDIRECT_WITH_NEXT);
                }
                // WRITE is ignored here (2.7.5.3.2).
                return readIndirect(chain, buffer, DescriptorFields.length(fields));
            }
            String rule = add(chain, flags);
            if (rule != null) {
                return broken(rule);
            }
            if ((flags & VIRTQ_DESC_F_NEXT) == 0) {
                return Outcome.OK;
            }
            index = DescriptorFields.next(fields);
            if (index >= size) {
                return broken(BrokenReason.INDEX_OUT_OF_RANGE);
            }
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
            buffer = dma.loadLong(DESC_ADDR);
            fields = dma.loadLong(DESC_LEN);
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

    private Outcome readIndirect(Chain chain, long table, long bytes) {
        if (bytes == 0 || bytes % DESC_SIZE != 0 || bytes > SplitRing.descBytes(size)) {
            return broken(BrokenReason.INDIRECT_LENGTH);
        }
        if (Chain.wraps(table, bytes)) {
            return broken(BrokenReason.BUFFER_WRAPS);
        }
        Outcome outcome = dma.read(table, scratch, 0, bytes);
        if (outcome != Outcome.OK) {
            return outcome;
        }
        int entries = (int) (bytes / DESC_SIZE);
        int index = 0;
        while (true) {
            take(scratch, (long) DESC_SIZE * index);
            int flags = DescriptorFields.flags(fields);
            if ((flags & VIRTQ_DESC_F_INDIRECT) != 0) {
                return broken(BrokenReason.INDIRECT_IN_INDIRECT);
            }
            if (chain.descriptorCount() == size) {
                return broken(BrokenReason.CHAIN_TOO_LONG);
            }
            String rule = add(chain, flags);
            if (rule != null) {
                return broken(rule);
            }
            if ((flags & VIRTQ_DESC_F_NEXT) == 0) {
                return Outcome.OK;
            }
            index = DescriptorFields.next(fields);
            if (index >= entries) {
                return broken(BrokenReason.INDEX_OUT_OF_RANGE);
            }
        }
    }

    private Outcome broken(String rule) {
        brokenRule = rule;
        return Outcome.REFUSED;
    }

    /** Adds the descriptor that was copied; returns which rule it breaks. */
    private @Nullable String add(Chain chain, int flags) {
        boolean writable = (flags & VIRTQ_DESC_F_WRITE) != 0;
        return chain.append(buffer, DescriptorFields.length(fields), writable);
    }
}
