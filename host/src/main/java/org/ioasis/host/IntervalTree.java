// SPDX-License-Identifier: Apache-2.0
package org.ioasis.host;

import java.util.Arrays;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/**
 * Inclusive unsigned ranges with a value each, sorted by where they begin; they may overlap and be
 * equal. A B+ tree in arrays: no object per range, and a search reads a few lines of each of few
 * nodes. A node keeps for each of its children how far the ranges below it reach, which answers
 * what overlaps a range, and the widest gap between them, which finds room without walking over all
 * of them. Under its owner's lock.
 *
 * <p>A tree of a few ranges is one node as wide as it needs to be: most trees have one range.
 *
 * @param <T> the values
 */
public final class IntervalTree<T> {
    /** No range. What stands for a range is a number that holds until the next change. */
    public static final int NONE = 0;

    /** Most entries of a node: ranges in a leaf, children above. */
    private static final int FANOUT = 16;

    /** A node with fewer entries is joined with one beside it, if the two leave room. */
    private static final int FEW = FANOUT / 4;

    private static final int ROOMY = FANOUT * 3 / 4;

    /** Nodes of an empty tree that it keeps. */
    private static final int KEPT_NODES = 64;

    // What a node has for each entry, one row after the other. In a leaf: where the range begins
    // and ends. Above: the lowest beginning and the highest end of the child, the widest run of
    // numbers between two neighbours below that no range there holds, and which node it is. With
    // ranges that overlap one to the left may reach into a gap: then it is an upper bound.
    private static final int FIRST = 0;
    private static final int LAST = 1;
    private static final int GAP = 2;
    private static final int CHILD = 3;
    private static final int ROWS = 4;

    private static final int NO_NODE = -1;
    private static final long[] NO_WORDS = {};
    private static final int[] NO_COUNTS = {};
    private static final @Nullable Object[] NO_VALUES = {};

    private long[] words = NO_WORDS;
    private @Nullable Object[] values = NO_VALUES;

    /** Entries of each node; of a free one the next free one. */
    private int[] counts = NO_COUNTS;

    /** Entries that a node has room for: FANOUT, or fewer as long as the root is the only node. */
    private int width;

    private int root;

    /** Levels above the leaves. */
    private int height;

    private int used;
    private int free = NO_NODE;
    private int size;

    // The only range of a tree that never had two; its width is 0.
    private long loneFirst;
    private long loneLast;
    private @Nullable T lone;

    /**
     * What a search for a gap has found, and how far it has come. Its owner's lock is the tree's.
     */
    public static final class Gap {
        private long first;
        private long last;
        private long length;
        private boolean isFound;

        /** No number is left. */
        private boolean isEnd;

        public long first() {
            return first;
        }

        /** Where it ends. */
        public long last() {
            return last;
        }

        /** Passes a range; true: the search is over. */
        private boolean pass(long rangeFirst, long rangeLast) {
            if (Long.compareUnsigned(rangeLast, first) < 0) {
                return false;
            }
            if (Long.compareUnsigned(rangeFirst, first) > 0
                    && Long.compareUnsigned(rangeFirst - first, length) >= 0) {
                last = rangeFirst - 1;
                isFound = true;
                return true;
            }
            first = rangeLast + 1;
            isEnd = first == 0;
            return isEnd;
        }
    }

    public int size() {
        return size;
    }

    public boolean isEmpty() {
        return size == 0;
    }

    public long first(int range) {
        return width == 0 ? loneFirst : words[word(FIRST, nodeOf(range), slotOf(range))];
    }

    public long last(int range) {
        return width == 0 ? loneLast : words[word(LAST, nodeOf(range), slotOf(range))];
    }

    // Only insert writes values, and only with a T.
    @SuppressWarnings("unchecked")
    public T value(int range) {
        Object found = width == 0 ? lone : values[range - 1];
        if (found == null) {
            throw new IllegalStateException("no range " + range);
        }
        return (T) found;
    }

    private int range(int node, int slot) {
        return node * width + slot + 1;
    }

    private int nodeOf(int range) {
        return (range - 1) / width;
    }

    private int slotOf(int range) {
        return (range - 1) % width;
    }

    private int word(int row, int node, int slot) {
        return (node * ROWS + row) * width + slot;
    }

    private int child(int node, int slot) {
        return (int) words[word(CHILD, node, slot)];
    }

    // Changes

    /** Adds a range; equal and overlapping ones stay beside it. */
    public void insert(long rangeFirst, long rangeLast, T rangeValue) {
        if (size == 0 && width == 0) {
            loneFirst = rangeFirst;
            loneLast = rangeLast;
            lone = rangeValue;
            size = 1;
            return;
        }
        if (height == 0 && width < FANOUT && size >= width) {
            widen();
        }
        int sibling = insert(root, height, rangeFirst, rangeLast, rangeValue);
        if (sibling != NO_NODE) {
            int below = root;
            root = allocate();
            counts[root] = 2;
            show(root, 0, below, height);
            show(root, 1, sibling, height);
            height++;
        }
        size++;
    }

    /** The new node to the right of this one, if it had to be split. */
    private int insert(int node, int level, long rangeFirst, long rangeLast, T rangeValue) {
        int beginnings = word(FIRST, node, 0);
        int at = counts[node];
        while (at > 0 && Long.compareUnsigned(words[beginnings + at - 1], rangeFirst) > 0) {
            at--;
        }
        int sibling = NO_NODE;
        if (level > 0) {
            int slot = Math.max(0, at - 1);
            int below = child(node, slot);
            sibling = insert(below, level - 1, rangeFirst, rangeLast, rangeValue);
            show(node, slot, below, level - 1);
            if (sibling == NO_NODE) {
                return NO_NODE;
            }
            at = slot + 1;
        }
        int split = makeRoom(node, at);
        int into = node;
        if (split != NO_NODE && (at > counts[node] || counts[split] == 0)) {
            at -= counts[node];
            into = split;
        }
        shift(into, at);
        if (level > 0) {
            show(into, at, sibling, level - 1);
        } else {
            words[word(FIRST, into, at)] = rangeFirst;
            words[word(LAST, into, at)] = rangeLast;
            values[range(into, at) - 1] = rangeValue;
        }
        return split;
    }

    /**
     * Splits a node that is full. What comes behind all that it has goes into an empty one, so that
     * ranges that come in order fill their nodes.
     */
    private int makeRoom(int node, int at) {
        if (counts[node] < width) {
            return NO_NODE;
        }
        int right = allocate();
        int kept = at == FANOUT ? FANOUT : FANOUT / 2;
        move(node, kept, right, 0, FANOUT - kept);
        counts[node] = kept;
        counts[right] = FANOUT - kept;
        return right;
    }

    /** Makes a hole among a node's entries. */
    private void shift(int node, int at) {
        move(node, at, node, at + 1, counts[node] - at);
        counts[node]++;
    }

    /** Closes the hole that an entry leaves. */
    private void take(int node, int at) {
        move(node, at + 1, node, at, counts[node] - at - 1);
        counts[node]--;
        values[range(node, counts[node]) - 1] = null;
    }

    /** Moves entries: all rows of a wide node, the two that a lone leaf has. */
    private void move(int from, int fromSlot, int to, int toSlot, int entries) {
        int rows = width == FANOUT ? ROWS : GAP;
        for (int row = 0; row < rows && entries > 0; row++) {
            System.arraycopy(
                    words, word(row, from, fromSlot), words, word(row, to, toSlot), entries);
        }
        int source = range(from, fromSlot) - 1;
        System.arraycopy(values, source, values, range(to, toSlot) - 1, entries);
        if (from != to) {
            Arrays.fill(values, source, source + entries, null);
        }
    }

    /** Makes an entry say what a child has now. */
    private void show(int node, int at, int below, int level) {
        long[] all = words;
        int count = counts[below];
        int beginnings = word(FIRST, below, 0);
        int ends = beginnings + width;
        long highest = all[ends];
        long widest = 0;
        for (int slot = 1; slot < count; slot++) {
            long beginning = all[beginnings + slot];
            if (Long.compareUnsigned(beginning, highest) > 0) {
                widest = max(widest, beginning - highest - 1);
            }
            highest = max(highest, all[ends + slot]);
        }
        if (level > 0) {
            int gaps = ends + width;
            for (int slot = 0; slot < count; slot++) {
                widest = max(widest, all[gaps + slot]);
            }
        }
        int entry = word(FIRST, node, at);
        all[entry] = all[beginnings];
        all[entry + LAST * width] = highest;
        all[entry + GAP * width] = widest;
        all[entry + CHILD * width] = below;
    }

    /** Removes the range with this beginning and this very value, which must be there. */
    // The very value: equal ones may stand beside it.
    @SuppressWarnings("ReferenceEquality")
    public void remove(long rangeFirst, T rangeValue) {
        if (width == 0 && loneFirst == rangeFirst && lone == rangeValue) {
            lone = null;
            size = 0;
            return;
        }
        if (size == 0 || width == 0 || !remove(root, height, rangeFirst, rangeValue)) {
            throw new IllegalStateException("no range begins at 0x%x".formatted(rangeFirst));
        }
        size--;
        while (height > 0 && counts[root] == 1) {
            int below = child(root, 0);
            release(root);
            root = below;
            height--;
        }
        if (size == 0 && used > KEPT_NODES) {
            clear();
        }
    }

    @SuppressWarnings("ReferenceEquality") // as above
    private boolean remove(int node, int level, long rangeFirst, T rangeValue) {
        int beginnings = word(FIRST, node, 0);
        int at = counts[node];
        while (at > 0 && Long.compareUnsigned(words[beginnings + at - 1], rangeFirst) >= 0) {
            at--;
        }
        // Above the leaves a child that begins before it may hold it too.
        at = level > 0 ? Math.max(0, at - 1) : at;
        for (; at < counts[node]; at++) {
            if (Long.compareUnsigned(words[beginnings + at], rangeFirst) > 0) {
                return false;
            }
            if (level == 0) {
                if (values[range(node, at) - 1] == rangeValue) {
                    take(node, at);
                    return true;
                }
            } else if (remove(child(node, at), level - 1, rangeFirst, rangeValue)) {
                shrunk(node, at, level - 1);
                return true;
            }
        }
        return false;
    }

    /** A child has lost an entry. */
    private void shrunk(int node, int at, int level) {
        int below = child(node, at);
        if (counts[below] == 0) {
            release(below);
            take(node, at);
            return;
        }
        if (counts[below] < FEW && counts[node] > 1) {
            int left = at + 1 < counts[node] ? at : at - 1;
            int low = child(node, left);
            int high = child(node, left + 1);
            if (counts[low] + counts[high] <= ROOMY) {
                move(high, 0, low, counts[low], counts[high]);
                counts[low] += counts[high];
                release(high);
                take(node, left + 1);
                show(node, left, low, level);
                return;
            }
        }
        show(node, at, below, level);
    }

    /** Removes all, and gives the memory back. */
    public void clear() {
        words = NO_WORDS;
        values = NO_VALUES;
        counts = NO_COUNTS;
        width = 0;
        root = 0;
        height = 0;
        used = 0;
        free = NO_NODE;
        size = 0;
    }

    /** The root alone gets twice the room. */
    private void widen() {
        int old = width;
        width = Math.max(2, old * 2);
        // Rows of children are needed from the second node on.
        long[] wider = new long[(width == FANOUT ? ROWS : GAP) * width];
        System.arraycopy(words, 0, wider, 0, old);
        System.arraycopy(words, old, wider, width, old);
        words = wider;
        values = Arrays.copyOf(values, width);
        if (used == 0) {
            words[word(FIRST, 0, 0)] = loneFirst;
            words[word(LAST, 0, 0)] = loneLast;
            values[0] = lone;
            lone = null;
            counts = new int[] {size};
            used = 1;
        }
    }

    private int allocate() {
        int node = free;
        if (node != NO_NODE) {
            free = counts[node];
        } else {
            node = used++;
            if (node == counts.length) {
                counts = Arrays.copyOf(counts, node * 2);
                words = Arrays.copyOf(words, counts.length * ROWS * width);
                values = Arrays.copyOf(values, counts.length * width);
            }
        }
        counts[node] = 0;
        return node;
    }

    private void release(int node) {
        counts[node] = free;
        free = node;
    }

    // Looking

    /** Of the ranges that share a number with {@code from..to} the one that begins first. */
    public int overlapping(long from, long to) {
        if (width == 0) {
            return size > 0
                            && Long.compareUnsigned(loneFirst, to) <= 0
                            && Long.compareUnsigned(loneLast, from) >= 0
                    ? 1
                    : NONE;
        }
        long[] all = words;
        int node = root;
        for (int level = height; ; level--) {
            int beginnings = word(FIRST, node, 0);
            int ends = beginnings + width;
            int count = counts[node];
            int at = 0;
            while (at < count && Long.compareUnsigned(all[ends + at], from) < 0) {
                at++;
            }
            // All behind it begin as late or later.
            if (at == count || Long.compareUnsigned(all[beginnings + at], to) > 0) {
                return NONE;
            }
            if (level == 0) {
                return range(node, at);
            }
            node = child(node, at);
        }
    }

    public boolean overlaps(long from, long to) {
        return overlapping(from, to) != NONE;
    }

    /** Visits each range, in order of beginning. */
    public void forEach(IntConsumer visitor) {
        if (width > 0) {
            forEach(root, height, visitor);
        } else if (size > 0) {
            visitor.accept(1);
        }
    }

    private void forEach(int node, int level, IntConsumer visitor) {
        for (int at = 0; at < counts[node]; at++) {
            if (level == 0) {
                visitor.accept(range(node, at));
            } else {
                forEach(child(node, at), level - 1, visitor);
            }
        }
    }

    /** The range that begins and ends here; of equal ones any. */
    public int find(long rangeFirst, long rangeLast) {
        if (width == 0) {
            return size > 0 && loneFirst == rangeFirst && loneLast == rangeLast ? 1 : NONE;
        }
        return find(root, height, rangeFirst, rangeLast);
    }

    private int find(int node, int level, long rangeFirst, long rangeLast) {
        for (int at = 0; at < counts[node]; at++) {
            if (Long.compareUnsigned(words[word(FIRST, node, at)], rangeFirst) > 0) {
                return NONE;
            }
            long end = words[word(LAST, node, at)];
            if (level == 0) {
                if (end == rangeLast && words[word(FIRST, node, at)] == rangeFirst) {
                    return range(node, at);
                }
            } else if (Long.compareUnsigned(end, rangeLast) >= 0) {
                int found = find(child(node, at), level - 1, rangeFirst, rangeLast);
                if (found != NONE) {
                    return found;
                }
            }
        }
        return NONE;
    }

    /**
     * Looks for the lowest number from {@code from} on at which a gap of at least {@code length}
     * numbers begins, or goes on. Behind the last range is always room.
     *
     * @return false: the ranges reach the end of all numbers
     */
    public boolean gap(long from, long length, Gap into) {
        into.first = from;
        into.length = length;
        into.isFound = false;
        into.isEnd = false;
        if (width > 0) {
            walk(root, height, into);
        } else if (size > 0) {
            into.pass(loneFirst, loneLast);
        }
        if (!into.isFound) {
            into.last = -1;
        }
        return !into.isEnd;
    }

    /** In order, passing children that have no such gap as if they were one range. */
    private boolean walk(int node, int level, Gap into) {
        for (int at = 0; at < counts[node]; at++) {
            long end = words[word(LAST, node, at)];
            boolean isInside =
                    level > 0
                            && Long.compareUnsigned(words[word(GAP, node, at)], into.length) >= 0
                            && Long.compareUnsigned(end, into.first) >= 0;
            if (isInside
                    ? walk(child(node, at), level - 1, into)
                    : into.pass(words[word(FIRST, node, at)], end)) {
                return true;
            }
        }
        return false;
    }

    private static long max(long a, long b) {
        return Long.compareUnsigned(a, b) >= 0 ? a : b;
    }
}
