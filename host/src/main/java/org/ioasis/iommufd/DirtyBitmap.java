// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import java.lang.foreign.MemorySegment;
import org.ioasis.iommu.pagetable.DirtyVisitor;

/**
 * The bitmap in which a program wants to be told what was written: a bit for each page of its size,
 * set beside those that it has set itself. Worked on in pieces, and a leaf that reaches over many
 * is told in all of them. Valid during one call, under its context's lock.
 */
final class DirtyBitmap implements DirtyVisitor {
    private static final long NONE = -1;

    private final Caller caller;
    private final long address;
    private final long first;
    private final long pageSize;
    private final long bytes;
    private final MemorySegment piece;

    /** The byte of the bitmap that the piece begins with. */
    private long pieceAt = NONE;

    private boolean isLost;

    /**
     * @param first IOVA of the first bit
     * @param last IOVA that the last bit is for
     */
    DirtyBitmap(UserCommand command, long address, long first, long last, long pageSize) {
        caller = command.caller();
        piece = command.scratch(UserCommand.PIECE);
        this.address = address;
        this.first = first;
        this.pageSize = pageSize;
        bytes = (Long.divideUnsigned(last - first, pageSize) >>> 3) + 1;
    }

    /** Refuses memory that cannot be read and written, before anything is forgotten for it. */
    void check() throws IommufdException {
        for (long at = 0; at < bytes && !isLost; at += UserCommand.PIECE) {
            turnTo(at);
        }
        finish();
    }

    @Override
    public void dirty(long dirtyFirst, long dirtyLast) {
        long bit = Long.divideUnsigned(dirtyFirst - first, pageSize);
        long lastBit = Long.divideUnsigned(dirtyLast - first, pageSize);
        while (!isLost) {
            long at = (bit >>> 3) & -UserCommand.PIECE;
            turnTo(at);
            long end = (at + UserCommand.PIECE) * Byte.SIZE - 1;
            end = Long.compareUnsigned(end, lastBit) < 0 ? end : lastBit;
            set(bit - at * Byte.SIZE, end - at * Byte.SIZE);
            if (end == lastBit) {
                return;
            }
            bit = end + 1;
        }
    }

    private void set(long from, long to) {
        for (long bit = from; bit <= to; ) {
            if ((bit & 7) == 0 && to - bit >= 7) {
                piece.set(JAVA_BYTE, bit >>> 3, (byte) -1);
                bit += Byte.SIZE;
            } else {
                byte old = piece.get(JAVA_BYTE, bit >>> 3);
                piece.set(JAVA_BYTE, bit >>> 3, (byte) (old | 1 << (bit & 7)));
                bit++;
            }
        }
    }

    /** Writes the piece back and takes another. */
    private void turnTo(long at) {
        if (at != pieceAt) {
            writeBack();
            pieceAt = at;
            isLost |= caller.read(address + at, piece, 0, length()) != 0;
        }
    }

    private void writeBack() {
        if (pieceAt != NONE && !isLost) {
            isLost = caller.write(address + pieceAt, piece, 0, length()) != 0;
        }
    }

    private long length() {
        return Math.min(UserCommand.PIECE, bytes - pieceAt);
    }

    /** Writes back what is not yet. */
    void finish() throws IommufdException {
        writeBack();
        pieceAt = NONE;
        if (isLost) {
            throw new IommufdException(Errno.EFAULT, "the bitmap cannot be read and written");
        }
    }
}
