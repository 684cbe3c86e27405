// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.Arrays;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The regions of one view of guest memory: a tree by address, and before it an index by {@code gpa
 * >>> 21}. One thread changes it; any thread looks regions up meanwhile, without a lock, and sees
 * each region or does not.
 *
 * <p>The index makes the common lookup a load and a compare however many regions there are. It
 * covers the first 128 GiB, so that a peer that puts a region at the far end of the address space
 * cannot make it large; above, and in blocks of 2 MiB that no region covers whole, the tree
 * decides. A change costs a path of the tree and the blocks of its region.
 */
final class RegionTable {
    private static final int BLOCK_LG2 = 21;
    private static final int INDEX_LIMIT = 1 << 16;
    private static final @Nullable Region[] NO_BLOCKS = {};

    /** Stands for a block that the tree knows more about. */
    private static final Region MIXED = new Region(0, 0, null, false, null);

    private static final VarHandle TREE;
    private static final VarHandle BLOCKS;
    private static final VarHandle BLOCK = MethodHandles.arrayElementVarHandle(Region[].class);

    static {
        try {
            MethodHandles.Lookup lookup = MethodHandles.lookup();
            TREE = lookup.findVarHandle(RegionTable.class, "tree", RegionTree.class);
            BLOCKS = lookup.findVarHandle(RegionTable.class, "blocks", Region[].class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private @Nullable RegionTree tree;
    private @Nullable Region[] blocks = NO_BLOCKS;
    private final Count size = new Count();

    /** How many there are; any thread. */
    int size() {
        return (int) size.read();
    }

    /** The region that holds {@code gpa}, or null; any thread. */
    @SuppressWarnings("ReferenceEquality") // a mark, not a region
    @Nullable Region find(long gpa) {
        Region[] index = (Region[]) BLOCKS.getAcquire(this);
        long block = gpa >>> BLOCK_LG2;
        if (block < index.length) {
            Region found = (Region) BLOCK.getAcquire(index, (int) block);
            if (found != MIXED) {
                return found;
            }
        }
        return RegionTree.find((RegionTree) TREE.getAcquire(this), gpa);
    }

    /** The region with the lowest address that touches {@code first..last}, or null. */
    @Nullable Region firstIn(long first, long last) {
        return RegionTree.firstIn(tree, first, last);
    }

    /** All of them in order of address. */
    void forEach(Consumer<? super Region> visitor) {
        RegionTree.forEach((RegionTree) TREE.getAcquire(this), visitor);
    }

    /** Adds a region that overlaps none. */
    void add(Region region) {
        TREE.setRelease(this, RegionTree.with(tree, region));
        size.increment();
        long last = lastBlock(region);
        reach(region, last);
        for (long block = region.gpaFirst() >>> BLOCK_LG2; block <= last; block++) {
            BLOCK.setRelease(blocks, (int) block, isWhole(region, block) ? region : MIXED);
        }
    }

    /** Removes a region that is there. */
    void remove(Region region) {
        RegionTree rest = RegionTree.without(tree, region);
        long last = Math.min(lastBlock(region), blocks.length - 1L);
        for (long block = region.gpaFirst() >>> BLOCK_LG2; block <= last; block++) {
            long first = block << BLOCK_LG2;
            boolean isEmpty = RegionTree.firstIn(rest, first, lastOf(block)) == null;
            BLOCK.setRelease(blocks, (int) block, isEmpty ? null : MIXED);
        }
        TREE.setRelease(this, rest);
        size.add(-1);
    }

    void clear() {
        BLOCKS.setRelease(this, NO_BLOCKS);
        TREE.setRelease(this, null);
        size.clear();
    }

    /** Makes the index long enough; each time twice as long, so that this is done seldom. */
    private void reach(Region region, long last) {
        boolean isIndexed = region.gpaFirst() >>> BLOCK_LG2 < INDEX_LIMIT;
        if (isIndexed && last >= blocks.length) {
            int length = Math.max(64, Integer.highestOneBit((int) last) << 1);
            BLOCKS.setRelease(this, Arrays.copyOf(blocks, length));
        }
    }

    /** Of those that the index may have. */
    private static long lastBlock(Region region) {
        return Math.min(region.gpaLast() >>> BLOCK_LG2, INDEX_LIMIT - 1L);
    }

    private static long lastOf(long block) {
        return (block << BLOCK_LG2) + ((1L << BLOCK_LG2) - 1);
    }

    private static boolean isWhole(Region region, long block) {
        return Long.compareUnsigned(region.gpaFirst(), block << BLOCK_LG2) <= 0
                && Long.compareUnsigned(lastOf(block), region.gpaLast()) <= 0;
    }
}
