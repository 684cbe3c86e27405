// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The pages that are held, numbered: what stands in page tables as output address. Pages of one
 * source that lie side by side in it do so here, within blocks of 1 GiB, so that large leaves and
 * "physically contiguous" mean something. The address of a page is the same for all that hold it,
 * from the first to the last.
 *
 * <p>Holding is a counter: it keeps a page's number, and with {@link PageSource#hold} its contents
 * readable; no memory is locked. One for all contexts of a node; any thread, its own lock is the
 * last that is taken.
 */
final class PhysicalMemory {
    static final int PAGE_LG2 = 12;
    static final long PAGE = 1L << PAGE_LG2;

    private static final int BLOCK_LG2 = 30;
    private static final long BLOCK_MASK = (1L << BLOCK_LG2) - 1;
    private static final int LEAF_LG2 = 9;
    private static final int LEAVES = 1 << (BLOCK_LG2 - PAGE_LG2 - LEAF_LG2);

    /** Blocks at a time: what fits below 2^52, the widest output address of a page table. */
    private static final int BLOCKS_MAX = 1 << (52 - BLOCK_LG2);

    private record Key(PageSource source, long index) {}

    private static final class Block {
        private final Key key;
        private final int number;

        /** Bytes that listeners know of. */
        private long told;

        private final int[] @Nullable [] counts = new int[LEAVES][];
        private long held;

        Block(Key key, int number) {
            this.key = key;
            this.number = number;
        }
    }

    private final Map<Key, Block> byKey = new HashMap<>();
    private final Map<PageSource, int[]> blocksOf = new HashMap<>();

    private final List<HeldMemory> listeners = new ArrayList<>();

    // Block 0 is never given away: no page is at 0.
    private @Nullable Block[] byNumber = new @Nullable Block[16];
    private int[] freeNumbers = new int[0];
    private int freeCount;

    /** The block that was asked for last, if it is still there. */
    private @Nullable Block last;

    private int next = 1;
    private long held;

    /** Pages that are held, each once for each time. */
    synchronized long held() {
        return held;
    }

    /** Tells which memory lies behind; from the start. */
    synchronized void listen(HeldMemory listener) {
        if (held != 0) {
            throw new IllegalStateException(held + " pages are held already");
        }
        listeners.add(listener);
    }

    private static long addressOf(Block block) {
        return (long) block.number << BLOCK_LG2;
    }

    /**
     * Holds pages that lie side by side in a source, as many as share a block.
     *
     * @param offset of the first, a multiple of {@link #PAGE}
     * @return address of the first page, or -1: no block is free
     */
    synchronized long hold(PageSource source, long offset, long pages) {
        Block block = block(source, offset);
        if (block == null) {
            return -1;
        }
        long within = offset & BLOCK_MASK;
        int page = (int) (within >>> PAGE_LG2);
        for (int i = 0; i < pages; i++) {
            leaf(block, page + i)[(page + i) & ((1 << LEAF_LG2) - 1)]++;
        }
        block.held += pages;
        held += pages;
        return ((long) block.number << BLOCK_LG2) | within;
    }

    /** Pages from an offset to the end of its block: the most that {@link #hold} takes. */
    static long pagesInBlock(long offset) {
        return (BLOCK_MASK + 1 - (offset & BLOCK_MASK)) >>> PAGE_LG2;
    }

    /** Gives back pages that were held. */
    synchronized void release(long address, long pages) {
        Block block = at(address);
        int page = (int) ((address & BLOCK_MASK) >>> PAGE_LG2);
        for (int i = 0; i < pages; i++) {
            int[] leaf = leaf(block, page + i);
            int slot = (page + i) & ((1 << LEAF_LG2) - 1);
            if (leaf[slot] == 0) {
                throw new IllegalStateException(
                        "page 0x%x is given back and not held".formatted(address + i * PAGE));
            }
            leaf[slot]--;
        }
        block.held -= pages;
        held -= pages;
        if (block.held == 0) {
            drop(block);
        }
    }

    /** How many times a page is held. */
    synchronized int count(PageSource source, long offset) {
        Block block = byKey.get(new Key(source, offset >>> BLOCK_LG2));
        if (block == null) {
            return 0;
        }
        int page = (int) ((offset & BLOCK_MASK) >>> PAGE_LG2);
        int[] leaf = block.counts[page >>> LEAF_LG2];
        return leaf == null ? 0 : leaf[page & ((1 << LEAF_LG2) - 1)];
    }

    /** The address of a page that is held, or -1. */
    synchronized long find(PageSource source, long offset) {
        Block block = byKey.get(new Key(source, offset >>> BLOCK_LG2));
        return block == null || count(source, offset) == 0
                ? -1
                : ((long) block.number << BLOCK_LG2) | (offset & BLOCK_MASK);
    }

    /** Reads bytes of one page that is held: 0 or a negative errno. */
    int read(long address, MemorySegment to, long at, long length) {
        Key key = key(address);
        return key.source.read(offset(key, address), to, at, length);
    }

    /** As {@link #read}, the other way. */
    int write(long address, MemorySegment from, long at, long length) {
        Key key = key(address);
        return key.source.write(offset(key, address), from, at, length);
    }

    private synchronized Key key(long address) {
        return at(address).key;
    }

    private static long offset(Key key, long address) {
        return (key.index << BLOCK_LG2) | (address & BLOCK_MASK);
    }

    private Block at(long address) {
        long number = address >>> BLOCK_LG2;
        Block block = number < byNumber.length ? byNumber[(int) number] : null;
        if (block == null) {
            throw new IllegalStateException("no page is held at 0x%x".formatted(address));
        }
        return block;
    }

    private static int[] leaf(Block block, int page) {
        int[] leaf = block.counts[page >>> LEAF_LG2];
        if (leaf == null) {
            leaf = new int[1 << LEAF_LG2];
            block.counts[page >>> LEAF_LG2] = leaf;
        }
        return leaf;
    }

    // The very object is enough: it is looked for among all when it is another.
    @SuppressWarnings("ReferenceEquality")
    private @Nullable Block block(PageSource source, long offset) {
        Block recent = last;
        if (recent != null
                && recent.key.index == offset >>> BLOCK_LG2
                && recent.key.source == source) {
            return recent;
        }
        Key key = new Key(source, offset >>> BLOCK_LG2);
        Block known = byKey.get(key);
        if (known != null) {
            last = known;
            return known;
        }
        int number;
        if (freeCount > 0) {
            number = freeNumbers[--freeCount];
        } else if (next < BLOCKS_MAX) {
            number = next++;
        } else {
            return null;
        }
        if (number >= byNumber.length) {
            byNumber = Arrays.copyOf(byNumber, byNumber.length * 2);
        }
        Block block = new Block(key, number);
        byNumber[number] = block;
        byKey.put(key, block);
        int[] blocks = blocksOf.computeIfAbsent(source, _ -> new int[1]);
        if (blocks[0]++ == 0) {
            source.hold();
        }
        if (!listeners.isEmpty() && !tell(block)) {
            drop(block);
            return null;
        }
        return block;
    }

    /**
     * Tells of the memory of a new block; false: somebody has no room for it, and nobody has it.
     */
    private boolean tell(Block block) {
        MemorySegment all = block.key.source.memory();
        long first = block.key.index << BLOCK_LG2;
        MemorySegment memory =
                all == null || first >= all.byteSize()
                        ? null
                        : all.asSlice(first, Math.min(BLOCK_MASK + 1, all.byteSize() - first));
        long length = memory == null ? BLOCK_MASK + 1 : memory.byteSize();
        for (int i = 0; i < listeners.size(); i++) {
            if (!listeners.get(i).added(addressOf(block), length, memory)) {
                for (HeldMemory listener : listeners.subList(0, i)) {
                    listener.removed(addressOf(block), length);
                }
                return false;
            }
        }
        block.told = length;
        return true;
    }

    private void drop(Block block) {
        if (block.told != 0) {
            for (HeldMemory listener : listeners) {
                listener.removed(addressOf(block), block.told);
            }
        }
        last = null;
        byKey.remove(block.key);
        byNumber[block.number] = null;
        if (freeCount == freeNumbers.length) {
            freeNumbers = Arrays.copyOf(freeNumbers, Math.max(16, freeCount * 2));
        }
        freeNumbers[freeCount++] = block.number;
        PageSource source = block.key.source;
        int[] blocks = blocksOf.get(source);
        if (blocks != null && --blocks[0] == 0) {
            blocksOf.remove(source);
            source.release();
        }
    }
}
