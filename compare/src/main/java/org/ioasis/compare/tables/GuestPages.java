// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.tables;

import java.io.EOFException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.util.Collections;
import java.util.NavigableMap;
import java.util.TreeMap;
import org.ioasis.iommu.pagetable.Cell;
import org.ioasis.iommu.pagetable.TableAccess;
import org.ioasis.memory.Outcome;
import org.jspecify.annotations.Nullable;

/**
 * Pages of a guest that does not run, by their addresses: those that were written down, or all of
 * its memory, of which those that were looked at are kept. Read only. One thread.
 */
final class GuestPages implements TableAccess {
    static final int PAGE = 4096;
    private static final int WORDS = PAGE / Long.BYTES;

    private final NavigableMap<Long, long[]> pages = new TreeMap<>();
    private final @Nullable FileChannel memory;
    private final long base;

    private GuestPages(@Nullable FileChannel memory, long base) {
        this.memory = memory;
        this.base = base;
    }

    /** Those that {@link #put} adds, and no others. */
    static GuestPages written() {
        return new GuestPages(null, 0);
    }

    /**
     * All of a guest's memory.
     *
     * @param base address of its first byte
     */
    static GuestPages of(FileChannel memory, long base) {
        return new GuestPages(memory, base);
    }

    void put(long address, long[] words) {
        if (address % PAGE != 0 || words.length != WORDS || pages.containsKey(address)) {
            throw new IllegalArgumentException("no page at 0x%x".formatted(address));
        }
        pages.put(address, words.clone());
    }

    /** Those that are known. */
    NavigableMap<Long, long[]> pages() {
        return Collections.unmodifiableNavigableMap(pages);
    }

    private long @Nullable [] page(long address) {
        long[] known = pages.get(address);
        if (known != null || memory == null) {
            return known;
        }
        try {
            if (address < base || address - base > memory.size() - PAGE) {
                return null;
            }
            ByteBuffer bytes = ByteBuffer.allocate(PAGE).order(ByteOrder.LITTLE_ENDIAN);
            while (bytes.hasRemaining()) {
                if (memory.read(bytes, address - base + bytes.position()) < 0) {
                    throw new EOFException("the guest's memory is gone");
                }
            }
            long[] words = new long[WORDS];
            bytes.flip().asLongBuffer().get(words);
            pages.put(address, words);
            return words;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public Outcome load(long address, Cell into) {
        long[] words = page(address & -PAGE);
        if (words == null) {
            return Outcome.ABSENT;
        }
        into.set(words[(int) (address % PAGE) / Long.BYTES]);
        return Outcome.OK;
    }

    /** Nobody writes to what was written down. */
    @Override
    public Outcome exchange(long address, long expected, long word, Cell witness) {
        return Outcome.REFUSED;
    }

    /** A word of it that must be there. */
    long word(long address) throws IOException {
        Cell cell = new Cell();
        if (load(address, cell) != Outcome.OK) {
            throw new IOException("there is no memory at 0x%x".formatted(address));
        }
        return cell.word();
    }
}
