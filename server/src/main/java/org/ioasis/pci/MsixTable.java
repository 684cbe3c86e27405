// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

import java.util.Arrays;
import org.ioasis.spec.Pci;

/**
 * MSI-X of one function (PCI 3.0, 6.8.2): the table, the masks, and the pending bits of what could
 * not be sent yet. Loop thread only.
 *
 * <p>A vector is sent when the function may send at all (6.2.2), neither it nor the vector is
 * masked, and somebody has set the vector up; until then it is pending, and sent once.
 *
 * <p>Some VMMs hold the table themselves and never write to ours, which after reset masks every
 * vector. So a vector's mask counts from the first write to it.
 */
final class MsixTable {
    /** Where the pending bits lie, in the BAR of the table. */
    static final int PENDING_OFFSET = 0x800;

    /** As many as fit before the pending bits. */
    static final int VECTORS_MAX = PENDING_OFFSET / Pci.MSIX_ENTRY_SIZE;

    private static final int ENTRY_WORDS = Pci.MSIX_ENTRY_SIZE / 4;
    private static final int CONTROL_WORD = Pci.MSIX_ENTRY_VECTOR_CTRL / 4;

    private final int[] words;
    private final boolean[] isMasked;
    private final long[] pending;
    private VectorSink sink = VectorSink.NONE;
    private boolean isFunctionMasked;
    private boolean maySend;

    MsixTable(int vectors) {
        if (vectors < 1 || vectors > VECTORS_MAX) {
            throw new IllegalArgumentException(vectors + " vectors");
        }
        words = new int[vectors * ENTRY_WORDS];
        isMasked = new boolean[vectors];
        pending = new long[(vectors + 63) / 64];
        reset();
    }

    int vectorCount() {
        return isMasked.length;
    }

    void reset() {
        Arrays.fill(words, 0);
        for (int vector = 0; vector < isMasked.length; vector++) {
            words[vector * ENTRY_WORDS + CONTROL_WORD] = Pci.MSIX_ENTRY_CTRL_MASKBIT;
        }
        Arrays.fill(isMasked, false);
        isFunctionMasked = false;
        forgetPending();
    }

    /** Whoever a pending vector was for is gone. */
    void forgetPending() {
        Arrays.fill(pending, 0);
    }

    void sendTo(VectorSink to) {
        sink = to;
    }

    /** The function may send, or no longer may. */
    void permit(boolean maySend) {
        this.maySend = maySend;
        sendPending();
    }

    /** The mask of all vectors. */
    void maskFunction(boolean isMasked) {
        isFunctionMasked = isMasked;
        sendPending();
    }

    void raise(int vector) {
        if (!send(vector)) {
            pending[vector / 64] |= 1L << vector;
        }
    }

    private boolean send(int vector) {
        return maySend && !isFunctionMasked && !isMasked[vector] && sink.trigger(vector);
    }

    /** Something that kept vectors back may be gone. */
    void sendPending() {
        for (int i = 0; i < pending.length; i++) {
            for (long left = pending[i]; left != 0; left &= left - 1) {
                int bit = Long.numberOfTrailingZeros(left);
                if (send(i * 64 + bit)) {
                    pending[i] &= ~(1L << bit);
                }
            }
        }
    }

    /** Reads of table and pending bits, naturally aligned. */
    long read(int offset, int size) {
        if (offset >= PENDING_OFFSET) {
            int at = offset - PENDING_OFFSET;
            long bits = at / 8 < pending.length ? pending[at / 8] : 0;
            return low(bits >>> (at % 8 * 8), size);
        }
        if (size == 8) {
            return low(word(offset / 4), 4) | (long) word(offset / 4 + 1) << 32;
        }
        return low(word(offset / 4) >>> (offset % 4 * 8), size);
    }

    private int word(int index) {
        return index < words.length ? words[index] : 0;
    }

    private static long low(long value, int size) {
        return size == 8 ? value : value & ((1L << (8 * size)) - 1);
    }

    /** Writes of the table, naturally aligned; those of other than 4 and 8 bytes are undefined. */
    void write(int offset, int size, long value) {
        if (size == 8) {
            write(offset / 4, (int) value);
            write(offset / 4 + 1, (int) (value >>> 32));
        } else if (size == 4) {
            write(offset / 4, (int) value);
        }
    }

    private void write(int index, int value) {
        if (index >= words.length) {
            return;
        }
        words[index] = value;
        if (index % ENTRY_WORDS == CONTROL_WORD) {
            isMasked[index / ENTRY_WORDS] = (value & Pci.MSIX_ENTRY_CTRL_MASKBIT) != 0;
            sendPending();
        }
    }
}
