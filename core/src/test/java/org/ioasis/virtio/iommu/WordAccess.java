// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;

/** Single accesses of a device, each in a section of its own. One thread. */
final class WordAccess {
    private final MemorySegment word = MemorySegment.ofArray(new byte[8]);

    /** Writes eight bytes of that value. */
    Outcome write(Dma way, long iova, int value) {
        word.fill((byte) value);
        way.enter();
        try {
            return way.write(iova, word, 0, 8);
        } finally {
            way.leave();
        }
    }

    /** The byte that is read, or -1. */
    int read(Dma way, long iova) {
        way.enter();
        try {
            Outcome outcome = way.read(iova, word, 0, 1);
            return outcome == Outcome.OK ? word.get(ValueLayout.JAVA_BYTE, 0) : -1;
        } finally {
            way.leave();
        }
    }
}
