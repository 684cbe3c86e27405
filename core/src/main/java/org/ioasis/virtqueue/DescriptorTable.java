// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static org.ioasis.spec.SplitRing.DESC_SIZE;
import static org.ioasis.spec.SplitRing.VIRTQ_DESC_F_INDIRECT;
import static org.ioasis.spec.SplitRing.VIRTQ_DESC_F_NEXT;

import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;

/**
 * The descriptor table of a split queue and the tables it refers to, as the device reads them
 * (virtio 1.4, 2.7.5): follows a chain from its head, each descriptor copied once. The queue's
 * thread, inside a guarded section. Nothing is allocated after construction.
 */
final class DescriptorTable extends DescriptorReader {
    DescriptorTable(Dma dma, int sizeMax) {
        super(dma, sizeMax);
    }

    /**
     * Reads the chain that begins at {@code head}, which is below the size.
     *
     * @return OK, or why memory could not be read; REFUSED also if a rule is broken
     */
    Outcome read(Chain chain, int head) {
        begin(chain);
        chain.name(head, 0);
        boolean isFound = ring().isFound();
        int index = head;
        for (int seen = 1; ; seen++) {
            // Counts every descriptor of the ring, so that a loop ends here at the latest.
            if (seen > size()) {
                return broken(BrokenReason.CHAIN_TOO_LONG);
            }
            Outcome outcome = fetch(index, isFound);
            if (outcome != Outcome.OK) {
                return outcome;
            }
            int flags = DescriptorFields.flags(fields());
            if ((flags & VIRTQ_DESC_F_INDIRECT) != 0) {
                if (!indirect()) {
                    return broken(BrokenReason.INDIRECT_NOT_NEGOTIATED);
                }
                if ((flags & VIRTQ_DESC_F_NEXT) != 0) {
                    return broken(BrokenReason.INDIRECT_WITH_NEXT);
                }
                // WRITE is ignored here (2.7.5.3.2).
                return readIndirect(chain);
            }
            String rule = add(chain, flags);
            if (rule != null) {
                return broken(rule);
            }
            if ((flags & VIRTQ_DESC_F_NEXT) == 0) {
                return Outcome.OK;
            }
            index = DescriptorFields.next(fields());
            if (index >= size()) {
                return broken(BrokenReason.INDEX_OUT_OF_RANGE);
            }
        }
    }

    private Outcome readIndirect(Chain chain) {
        int entries = (int) (DescriptorFields.length(fields()) / DESC_SIZE);
        Outcome outcome = fetchTable();
        if (outcome != Outcome.OK) {
            return outcome;
        }
        int index = 0;
        while (true) {
            take(index);
            int flags = DescriptorFields.flags(fields());
            if ((flags & VIRTQ_DESC_F_INDIRECT) != 0) {
                return broken(BrokenReason.INDIRECT_IN_INDIRECT);
            }
            if (chain.descriptorCount() == size()) {
                return broken(BrokenReason.CHAIN_TOO_LONG);
            }
            String rule = add(chain, flags);
            if (rule != null) {
                return broken(rule);
            }
            if ((flags & VIRTQ_DESC_F_NEXT) == 0) {
                return Outcome.OK;
            }
            index = DescriptorFields.next(fields());
            if (index >= entries) {
                return broken(BrokenReason.INDEX_OUT_OF_RANGE);
            }
        }
    }
}
