// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static java.util.Objects.requireNonNull;
import static org.ioasis.spec.SplitRing.CHAIN_BYTES_MAX;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.jspecify.annotations.Nullable;

/**
 * A descriptor chain as it was when it was popped: its descriptors were copied once, so the driver
 * cannot change them under the device. The readable bytes of all descriptors are one sequence from
 * 0 to {@link #readableLength()}, the writable ones another: a device cannot see where one
 * descriptor ends (virtio 1.4, 2.7.4.1).
 *
 * <p>Meant to be reused; filled by {@link DeviceQueue#pop}. Contents are addresses, not memory, so
 * a chain may be kept over sections. One thread.
 */
public final class Chain {
    private static final long[] NONE = {};

    private final int limit;

    // A request and its answer are two descriptors: here, and not in an array, they are in the same
    // cache line as what else is asked of the chain.
    private long firstAddress;
    private long firstLength;
    private long secondAddress;
    private long secondLength;

    /**
     * Address and length of each descriptor from the third one on, at twice its index: for the
     * longest chain, made when one is longer than two for the first time.
     */
    private long[] others = NONE;

    private int count;
    private int readableCount;
    private int head;
    private int descriptors;

    // Where a log has it, and its number there; for the queue.
    int entry;
    long number;

    private long readableLength;
    private long writableLength;
    private @Nullable Dma dma;

    /** A chain with room for {@code descriptorLimit >= 1} descriptors. */
    public Chain(int descriptorLimit) {
        limit = descriptorLimit;
    }

    /**
     * The name under which the chain goes back to the driver: the index of its first descriptor in
     * a split ring, its id in a packed one.
     */
    public int head() {
        return head;
    }

    /** Its entry in the log of its queue, if {@link #number} says that there is one. */
    public int entry() {
        return entry;
    }

    /**
     * Its number in the log of its queue, which it keeps over the end of a process, and which no
     * other chain has; 0 if there is no log.
     */
    public long number() {
        return number;
    }

    /** Descriptors of a packed ring that the chain has; nothing in a split one needs to know. */
    int descriptors() {
        return descriptors;
    }

    /** Number of descriptors that describe buffers (the one that refers to a table is none). */
    public int descriptorCount() {
        return count;
    }

    /** Total bytes that the device may read, at most 2^32. */
    public long readableLength() {
        return readableLength;
    }

    /** Total bytes that the device may write, at most 2^32. */
    public long writableLength() {
        return writableLength;
    }

    /**
     * Copies {@code n} bytes from the readable part, starting at its byte {@code from}. Inside a
     * guarded section of the queue's {@link Dma}.
     *
     * @throws IndexOutOfBoundsException if the readable part does not have these bytes
     */
    public Outcome copyIn(long from, MemorySegment to, long toOffset, long n) {
        Objects.checkFromIndexSize(from, n, readableLength);
        return copy(0, from, to, toOffset, n, false);
    }

    /**
     * Copies the first {@code n >= 1} bytes of the readable part into words, of which byte 0 is the
     * least significant of the first. As {@link #copyIn} otherwise.
     */
    public Outcome copyIn(long[] words, int n) {
        Objects.checkFromIndexSize(0, n, readableLength);
        Dma memory = requireNonNull(dma);
        if (length(0) >= n) {
            return memory.readWords(address(0), words, 0, n);
        }
        int done = 0;
        for (int i = 0; done < n; i++) {
            int piece = (int) Math.min(n - done, length(i));
            Outcome outcome =
                    piece == 0 ? Outcome.OK : memory.readWords(address(i), words, done, piece);
            if (outcome != Outcome.OK) {
                return outcome;
            }
            done += piece;
        }
        return Outcome.OK;
    }

    /**
     * True if the first {@code n} bytes of the writable part are in one descriptor, for {@link
     * #copyOut(int)}.
     */
    public boolean isWhole(int n) {
        return writableLength >= n && length(readableCount) >= n;
    }

    /**
     * Writes four bytes, least significant first, to the beginning of the writable part. Only where
     * they are {@linkplain #isWhole in one descriptor}; as {@link #copyOut} otherwise.
     */
    public Outcome copyOut(int value) {
        return requireNonNull(dma).writeInt(address(readableCount), value);
    }

    /**
     * Copies {@code n} bytes to the writable part, starting at its byte {@code to}. Inside a
     * guarded section of the queue's {@link Dma}. On anything but OK a part may have been written.
     *
     * @throws IndexOutOfBoundsException if the writable part does not have these bytes
     */
    public Outcome copyOut(long to, MemorySegment from, long fromOffset, long n) {
        Objects.checkFromIndexSize(to, n, writableLength);
        return copy(readableCount, to, from, fromOffset, n, true);
    }

    /**
     * Between {@code local} and the bytes that begin {@code skip} into descriptor {@code first}.
     */
    private Outcome copy(
            int first, long skip, MemorySegment local, long offset, long n, boolean isWrite) {
        Dma memory = requireNonNull(dma);
        long left = n;
        long at = offset;
        for (int i = first; left > 0; i++) {
            if (skip >= length(i)) {
                skip -= length(i);
                continue;
            }
            long address = address(i) + skip;
            long piece = Math.min(left, length(i) - skip);
            Outcome outcome =
                    isWrite
                            ? memory.write(address, local, at, piece)
                            : memory.read(address, local, at, piece);
            if (outcome != Outcome.OK) {
                return outcome;
            }
            skip = 0;
            at += piece;
            left -= piece;
        }
        return Outcome.OK;
    }

    /** What is to be saved of the chain. */
    public ChainState save() {
        List<ChainState.Piece> pieces = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            pieces.add(new ChainState.Piece(address(i), length(i)));
        }
        return new ChainState(head, descriptors, readableCount, pieces);
    }

    /**
     * Becomes a chain that was saved.
     *
     * @param saved {@linkplain ChainState#isPossible possible}, with no more descriptors than there
     *     is room for
     */
    public void restore(ChainState saved, Dma way) {
        begin(way);
        name(saved.head(), saved.descriptors());
        for (ChainState.Piece piece : saved.pieces()) {
            add(piece.address(), piece.length(), count >= saved.readableCount());
        }
    }

    void begin(Dma memory) {
        dma = memory;
        number = 0;
        count = 0;
        readableCount = 0;
        readableLength = 0;
        writableLength = 0;
    }

    void name(int newHead, int ringDescriptors) {
        head = newHead;
        descriptors = ringDescriptors;
    }

    int limit() {
        return limit;
    }

    /** Appends a descriptor that the driver has written; returns which rule it breaks, or null. */
    @Nullable String append(long address, long length, boolean writable) {
        if (!writable && count > readableCount) {
            return BrokenReason.READABLE_AFTER_WRITABLE;
        }
        if (wraps(address, length)) {
            return BrokenReason.BUFFER_WRAPS;
        }
        // No overflow: at most 32768 lengths below 2^32 each.
        if (readableLength + writableLength + length > CHAIN_BYTES_MAX) {
            return BrokenReason.TOTAL_TOO_LONG;
        }
        add(address, length, writable);
        return null;
    }

    /** True if a buffer runs over the end of the address space. */
    static boolean wraps(long address, long length) {
        return length > 0 && Long.compareUnsigned(address, address + length - 1) > 0;
    }

    private long address(int descriptor) {
        return switch (descriptor) {
            case 0 -> firstAddress;
            case 1 -> secondAddress;
            default -> others[2 * descriptor];
        };
    }

    private long length(int descriptor) {
        return switch (descriptor) {
            case 0 -> firstLength;
            case 1 -> secondLength;
            default -> others[2 * descriptor + 1];
        };
    }

    private void add(long address, long length, boolean writable) {
        switch (count) {
            case 0 -> {
                firstAddress = address;
                firstLength = length;
            }
            case 1 -> {
                secondAddress = address;
                secondLength = length;
            }
            default -> addOther(address, length);
        }
        count++;
        if (writable) {
            writableLength += length;
        } else {
            readableCount = count;
            readableLength += length;
        }
    }

    private void addOther(long address, long length) {
        if (others.length == 0) {
            others = new long[2 * limit];
        }
        others[2 * count] = address;
        others[2 * count + 1] = length;
    }
}
