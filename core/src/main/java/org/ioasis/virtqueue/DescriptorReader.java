// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static org.ioasis.spec.SplitRing.DESC_ADDR;
import static org.ioasis.spec.SplitRing.DESC_LEN;
import static org.ioasis.spec.SplitRing.DESC_SIZE;
import static org.ioasis.spec.SplitRing.VIRTQ_DESC_F_WRITE;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.memory.ReadRange;
import org.ioasis.spec.SplitRing;
import org.jspecify.annotations.Nullable;

/**
 * What reading descriptors is in either format: size, address, length and the WRITE flag of a
 * descriptor are the same in both (virtio 1.4, 2.7.5 and 2.8.13), and an indirect table is as long
 * as one (2.7.5.3, 2.8.7). The queue's thread, inside a guarded section. Nothing is allocated after
 * construction.
 */
abstract sealed class DescriptorReader permits DescriptorRing, DescriptorTable {
    private static final ValueLayout.OfLong LE64 = JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);

    private final Dma dma;

    /** Copy of a whole indirect table. */
    private final MemorySegment scratch;

    /** Copy of one descriptor that the ring is not found for. */
    private final long[] words = new long[DESC_SIZE / Long.BYTES];

    private final ReadRange ring;
    private int size;
    private boolean indirect;
    private @Nullable String brokenRule;

    // The descriptor that was copied last: the address of its buffer, and the other fields.
    private long buffer;
    private long fields;

    DescriptorReader(Dma dma, int sizeMax) {
        this.dma = dma;
        ring = new ReadRange(dma);
        scratch = Arena.ofAuto().allocate(SplitRing.descBytes(sizeMax), DESC_SIZE);
    }

    /** Lies at {@code address} from now on; indirect tables are allowed or not. */
    final void begin(long address, int size, boolean indirect) {
        ring.begin(address, SplitRing.descBytes(size));
        this.size = size;
        this.indirect = indirect;
    }

    final int size() {
        return size;
    }

    final boolean indirect() {
        return indirect;
    }

    /** Where descriptors lie. */
    final ReadRange ring() {
        return ring;
    }

    /** Where the descriptor of a slot lies in the {@link #ring}. */
    static long place(int slot) {
        return (long) DESC_SIZE * slot;
    }

    /** The rule that the driver has broken in the chain that was read last, or null. */
    final @Nullable String brokenRule() {
        return brokenRule;
    }

    /** Another chain begins. */
    final void begin(Chain chain) {
        brokenRule = null;
        chain.begin(dma);
    }

    final Outcome broken(String rule) {
        brokenRule = rule;
        return Outcome.REFUSED;
    }

    /**
     * Copies the descriptor of a slot.
     *
     * @param isFound of the {@link #ring}
     */
    final Outcome fetch(int slot, boolean isFound) {
        long at = place(slot);
        if (isFound) {
            // Each byte once: the driver may write there meanwhile.
            fields = ring.u64(at + DESC_LEN);
            buffer = ring.u64(at + DESC_ADDR);
            return Outcome.OK;
        }
        return fetchAt(ring.address(at));
    }

    /**
     * Copies the descriptor of a slot, whose fields are those that were read.
     *
     * @param read {@link #fields} of the descriptor, where the {@link #ring} is found
     */
    final void fetchRest(int slot, long read) {
        fields = read;
        buffer = ring.u64(place(slot) + DESC_ADDR);
    }

    /** One that has to be looked for. */
    private Outcome fetchAt(long at) {
        Outcome outcome = dma.readWords(at, words, 0, DESC_SIZE);
        fields = words[DESC_LEN / Long.BYTES];
        buffer = words[DESC_ADDR / Long.BYTES];
        return outcome;
    }

    /**
     * Copies the table that the last descriptor refers to. OK, or why memory could not be read;
     * REFUSED also if a rule is broken.
     */
    final Outcome fetchTable() {
        long table = buffer;
        long bytes = DescriptorFields.length(fields);
        if (bytes == 0 || bytes % DESC_SIZE != 0 || bytes > SplitRing.descBytes(size)) {
            return broken(BrokenReason.INDIRECT_LENGTH);
        }
        if (Chain.wraps(table, bytes)) {
            return broken(BrokenReason.BUFFER_WRAPS);
        }
        return dma.read(table, scratch, 0, bytes);
    }

    /** The next to be looked at is this one of the table that was copied. */
    final void take(int index) {
        long at = (long) DESC_SIZE * index;
        buffer = scratch.get(LE64, at + DESC_ADDR);
        fields = scratch.get(LE64, at + DESC_LEN);
    }

    /** The next to be looked at is one that was copied earlier. */
    final void take(long address, long read) {
        buffer = address;
        fields = read;
    }

    /** The address in the descriptor that was copied last. */
    final long buffer() {
        return buffer;
    }

    /** Length and what else the format has there, of the descriptor that was copied last. */
    final long fields() {
        return fields;
    }

    /** Adds the descriptor that was copied last; returns which rule it breaks. */
    final @Nullable String add(Chain chain, int flags) {
        boolean writable = (flags & VIRTQ_DESC_F_WRITE) != 0;
        return chain.append(buffer, DescriptorFields.length(fields), writable);
    }
}
