// SPDX-License-Identifier: Apache-2.0
package org.ioasis.host;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/**
 * Inclusive unsigned ranges with a value each, sorted by where they begin; they may overlap and be
 * equal. A B+ tree in arrays: no object per range, and a search reads a few lines of each of few
 * nodes. A node keeps for each of its children how far the ranges below it reach, which answers
 * what overlaps a range, and the widest gap between them, which finds room without walking over all
 * of them. As long as no two ranges overlap, which is what most trees are, a node is searched by
 * halves. Under its owner's lock.
 *
 * <p>A tree of a few ranges is one node as wide as it needs to be, an empty one has none.
 *
 * @param <T> the values
 */
public final class IntervalTree<T> {
    /** No range. What stands for a range is a number that holds until the next change. */
    public static final int NONE = 0;

    /** Most entries of a node, as a power of two: ranges in a leaf, children above. */
    private static final int FANOUT_LG2 = 4;

    private static final int FANOUT = 1 << FANOUT_LG2;

    /** A node with fewer entries is joined with one beside it, if the two leave room. */
    private static final int FEW = FANOUT / 4;

    private static final int ROOMY = FANOUT * 3 / 4;

    /** Nodes of an empty tree that it keeps. */
    private static final int KEPT_NODES = 64;

    // Rows of a node in bounds: where the range begins and ends; above the leaves the lowest
    // beginning and the highest end of the child.
    private static final int FIRST = 0;
    private static final int LAST = 1;

    // Rows of a node in children, above the leaves only, so that leaves lie close together: the
    // widest run of numbers between two neighbours below that no range there holds, and which node
    // the child is. With ranges that overlap one to the left may reach into a gap: then it is an
    // upper bound.
    private static final int GAP = 0;
    private static final int CHILD = 1;

    private static final int ROWS = 2;
    private static final int NO_NODE = -1;

    /** Stands where a beginning could: none is higher. */
    private static final long NOTHING = -1;

    private static final long[] NO_WORDS = {};
    private static final int[] NO_COUNTS = {};
    private static final @Nullable Object[] NO_VALUES = {};

    private long[] bounds = NO_WORDS;
    private long[] children = NO_WORDS;
    private @Nullable Object[] values = NO_VALUES;

    /** Entries of each node; of a free one the next free one. */
    private int[] counts = NO_COUNTS;

    /**
     * Entries that a node has room for, as a power of two: FANOUT, or fewer as long as the root is
     * the only node.
     */
    private int widthLg2;

    private int root;

    /** Levels above the leaves. */
    private int height;

    /** Nodes that there are, with the free ones; 0: the tree has never had a range. */
    private int used;

    private int free = NO_NODE;
    private int size;

    /** No two ranges have overlapped since the tree was empty. */
    private boolean isDisjoint = true;

    /** Whether the last insert or remove has changed what a node's parent says of it. */
    private boolean isNews;

    /**
     * The gap where the last range was taken out from between two of its leaf: all that can have
     * changed above. 0: more than that.
     */
    private long hole;

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
        return bounds[word(FIRST, nodeOf(range), slotOf(range))];
    }

    public long last(int range) {
        return bounds[word(LAST, nodeOf(range), slotOf(range))];
    }

    // Only insert writes values, and only with a T.
    @SuppressWarnings("unchecked")
    public T value(int range) {
        Object found = values[range - 1];
        if (found == null) {
            throw new IllegalStateException("no range " + range);
        }
        return (T) found;
    }

    private int range(int node, int slot) {
        return (node << widthLg2) + slot + 1;
    }

    private int nodeOf(int range) {
        return (range - 1) >>> widthLg2;
    }

    private int slotOf(int range) {
        return (range - 1) & ((1 << widthLg2) - 1);
    }

    /** Where a node's entry is in {@link #bounds} or {@link #children}. */
    private int word(int row, int node, int slot) {
        return ((node * ROWS + row) << widthLg2) + slot;
    }

    private int child(int node, int slot) {
        return (int) children[word(CHILD, node, slot)];
    }

    /** How many entries of a node begin at {@code number} or before. */
    private int beginning(int node, long number) {
        long[] all = bounds;
        int firsts = word(FIRST, node, 0);
        int count = counts[node];
        int at = 0;
        if (widthLg2 < FANOUT_LG2) {
            while (at < count && Long.compareUnsigned(all[firsts + at], number) <= 0) {
                at++;
            }
            return at;
        }
        // As many steps for any number of entries, so that nothing has to be guessed: behind the
        // last entry stands the highest number.
        long key = number ^ Long.MIN_VALUE;
        at += (all[firsts + 7] ^ Long.MIN_VALUE) <= key ? 8 : 0;
        at += (all[firsts + at + 3] ^ Long.MIN_VALUE) <= key ? 4 : 0;
        at += (all[firsts + at + 1] ^ Long.MIN_VALUE) <= key ? 2 : 0;
        at += (all[firsts + at] ^ Long.MIN_VALUE) <= key ? 1 : 0;
        at += (all[firsts + at] ^ Long.MIN_VALUE) <= key ? 1 : 0;
        return Math.min(at, count);
    }

    // Changes

    /** Adds a range; equal and overlapping ones stay beside it. */
    public void insert(long rangeFirst, long rangeLast, T rangeValue) {
        if (height == 0 && widthLg2 < FANOUT_LG2 && (used == 0 || size == 1 << widthLg2)) {
            widen();
        }
        int sibling = insert(root, height, rangeFirst, rangeLast, rangeValue, -1);
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

    /**
     * The new node to the right of this one, if it had to be split.
     *
     * @param room the last number before the ranges to the right of this node
     */
    private int insert(
            int node, int level, long rangeFirst, long rangeLast, T rangeValue, long room) {
        int at = beginning(node, rangeFirst);
        int sibling = NO_NODE;
        if (level > 0) {
            int slot = Math.max(0, at - 1);
            int below = child(node, slot);
            sibling =
                    insert(
                            below,
                            level - 1,
                            rangeFirst,
                            rangeLast,
                            rangeValue,
                            roomBefore(node, slot + 1, room));
            isNews = isNews && show(node, slot, below, level - 1);
            if (sibling == NO_NODE) {
                return NO_NODE;
            }
            at = slot + 1;
        } else {
            // Nothing that begins before it is in another leaf, or it would not be put first here.
            isDisjoint =
                    isDisjoint
                            && (at == 0
                                    || Long.compareUnsigned(
                                                    bounds[word(LAST, node, at - 1)], rangeFirst)
                                            < 0)
                            && Long.compareUnsigned(rangeLast, roomBefore(node, at, room)) <= 0;
        }
        isNews = true;
        int split = makeRoom(node, at, level);
        int into = node;
        if (split != NO_NODE && (at > counts[node] || counts[split] == 0)) {
            at -= counts[node];
            into = split;
        }
        move(into, at, into, at + 1, counts[into] - at, level);
        counts[into]++;
        if (level > 0) {
            show(into, at, sibling, level - 1);
        } else {
            bounds[word(FIRST, into, at)] = rangeFirst;
            bounds[word(LAST, into, at)] = rangeLast;
            values[range(into, at) - 1] = rangeValue;
        }
        return split;
    }

    /** The last number before an entry, or before what is to the right of its node. */
    private long roomBefore(int node, int slot, long room) {
        return slot < counts[node] ? bounds[word(FIRST, node, slot)] - 1 : room;
    }

    /**
     * Splits a node that is full. What comes behind all that it has goes into an empty one, so that
     * ranges that come in order fill their nodes.
     */
    private int makeRoom(int node, int at, int level) {
        if (counts[node] < 1 << widthLg2) {
            return NO_NODE;
        }
        int right = allocate();
        int kept = at == FANOUT ? FANOUT : FANOUT / 2;
        move(node, kept, right, 0, FANOUT - kept, level);
        counts[node] = kept;
        counts[right] = FANOUT - kept;
        pad(node);
        pad(right);
        return right;
    }

    /** Closes the hole that an entry leaves. */
    private void take(int node, int at, int level) {
        move(node, at + 1, node, at, counts[node] - at - 1, level);
        counts[node]--;
        bounds[word(FIRST, node, counts[node])] = NOTHING;
        if (level == 0) {
            values[range(node, counts[node]) - 1] = null;
        }
    }

    /** What stands behind the last beginning of a node. */
    private void pad(int node) {
        int end = word(LAST, node, 0);
        Arrays.fill(bounds, word(FIRST, node, counts[node]), end, NOTHING);
    }

    private void move(int from, int fromSlot, int to, int toSlot, int entries, int level) {
        if (entries <= 0) {
            return;
        }
        moveRows(bounds, from, fromSlot, to, toSlot, entries);
        if (level > 0) {
            moveRows(children, from, fromSlot, to, toSlot, entries);
            return;
        }
        int source = range(from, fromSlot) - 1;
        System.arraycopy(values, source, values, range(to, toSlot) - 1, entries);
        if (from != to) {
            Arrays.fill(values, source, source + entries, null);
        }
    }

    private void moveRows(long[] words, int from, int fromSlot, int to, int toSlot, int entries) {
        for (int row = 0; row < ROWS; row++) {
            System.arraycopy(
                    words, word(row, from, fromSlot), words, word(row, to, toSlot), entries);
        }
    }

    /** Makes an entry say what a child has now; whether it said something else. */
    private boolean show(int node, int at, int below, int level) {
        long[] all = bounds;
        int count = counts[below];
        int firsts = word(FIRST, below, 0);
        int lasts = word(LAST, below, 0);
        // Numbers are compared as signed ones once their highest bit is turned.
        long widest = Long.MIN_VALUE;
        long highest = all[lasts];
        if (isDisjoint) {
            for (int slot = 1; slot < count; slot++) {
                long between = all[firsts + slot] - all[lasts + slot - 1] - 1;
                widest = Math.max(widest, between ^ Long.MIN_VALUE);
            }
            highest = all[lasts + count - 1];
        } else {
            for (int slot = 1; slot < count; slot++) {
                long beginning = all[firsts + slot];
                if (Long.compareUnsigned(beginning, highest) > 0) {
                    widest = Math.max(widest, (beginning - highest - 1) ^ Long.MIN_VALUE);
                }
                highest = max(highest, all[lasts + slot]);
            }
        }
        if (level > 0) {
            int gaps = word(GAP, below, 0);
            for (int slot = 0; slot < count; slot++) {
                widest = Math.max(widest, children[gaps + slot] ^ Long.MIN_VALUE);
            }
        }
        widest ^= Long.MIN_VALUE;
        int first = word(FIRST, node, at);
        int last = word(LAST, node, at);
        int gap = word(GAP, node, at);
        boolean isOther =
                all[first] != all[firsts] || all[last] != highest || children[gap] != widest;
        all[first] = all[firsts];
        all[last] = highest;
        children[gap] = widest;
        children[word(CHILD, node, at)] = below;
        return isOther;
    }

    /** Removes the range with this beginning and this very value, which must be there. */
    public void remove(long rangeFirst, T rangeValue) {
        if (size == 0 || !remove(root, height, rangeFirst, rangeValue)) {
            throw new IllegalStateException("no range begins at 0x%x".formatted(rangeFirst));
        }
        size--;
        while (height > 0 && counts[root] == 1) {
            int below = child(root, 0);
            release(root);
            root = below;
            height--;
        }
        if (size == 0) {
            isDisjoint = true;
            if (used > KEPT_NODES) {
                clear();
            }
        }
    }

    // The very value: equal ones may stand beside it.
    @SuppressWarnings("ReferenceEquality")
    private boolean remove(int node, int level, long rangeFirst, T rangeValue) {
        int at;
        if (isDisjoint) {
            at = beginning(node, rangeFirst) - 1;
        } else {
            // Above the leaves a child that begins before it may hold it too.
            at = rangeFirst == 0 ? 0 : beginning(node, rangeFirst - 1);
            at = level > 0 ? at - 1 : at;
        }
        for (at = Math.max(0, at); at < counts[node]; at++) {
            if (Long.compareUnsigned(bounds[word(FIRST, node, at)], rangeFirst) > 0) {
                return false;
            }
            if (level == 0) {
                if (values[range(node, at) - 1] == rangeValue) {
                    boolean isBetween = isDisjoint && at > 0 && at + 1 < counts[node];
                    hole =
                            isBetween
                                    ? bounds[word(FIRST, node, at + 1)]
                                            - bounds[word(LAST, node, at - 1)]
                                            - 1
                                    : 0;
                    take(node, at, level);
                    isNews = true;
                    return true;
                }
            } else if (remove(child(node, at), level - 1, rangeFirst, rangeValue)) {
                isNews = isNews && shrunk(node, at, level - 1);
                return true;
            }
        }
        return false;
    }

    /** A child has lost an entry, or says less; whether this node says something else now. */
    private boolean shrunk(int node, int at, int level) {
        int below = child(node, at);
        if (counts[below] == 0) {
            release(below);
            take(node, at, level + 1);
            hole = 0;
            return true;
        }
        if (counts[below] < FEW && counts[node] > 1) {
            int left = at + 1 < counts[node] ? at : at - 1;
            int low = child(node, left);
            int high = child(node, left + 1);
            if (counts[low] + counts[high] <= ROOMY) {
                move(high, 0, low, counts[low], counts[high], level);
                counts[low] += counts[high];
                release(high);
                take(node, left + 1, level + 1);
                show(node, left, low, level);
                hole = 0;
                return true;
            }
        }
        if (hole == 0) {
            return show(node, at, below, level);
        }
        int gap = word(GAP, node, at);
        boolean isWider = Long.compareUnsigned(children[gap], hole) < 0;
        children[gap] = isWider ? hole : children[gap];
        return isWider;
    }

    /** Removes all, and gives the memory back. */
    public void clear() {
        bounds = NO_WORDS;
        children = NO_WORDS;
        values = NO_VALUES;
        counts = NO_COUNTS;
        widthLg2 = 0;
        root = 0;
        height = 0;
        used = 0;
        free = NO_NODE;
        size = 0;
        isDisjoint = true;
    }

    /** The root alone gets twice the room. */
    private void widen() {
        int old = used == 0 ? 0 : 1 << widthLg2;
        widthLg2 = used == 0 ? 1 : widthLg2 + 1;
        int width = 1 << widthLg2;
        long[] wider = new long[ROWS * width];
        System.arraycopy(bounds, 0, wider, 0, old);
        System.arraycopy(bounds, old, wider, width, old);
        bounds = wider;
        values = Arrays.copyOf(values, width);
        if (used == 0) {
            counts = new int[1];
            used = 1;
        }
        pad(root);
    }

    private int allocate() {
        int node = free;
        if (node != NO_NODE) {
            free = counts[node];
        } else {
            node = used++;
            if (node == counts.length) {
                counts = Arrays.copyOf(counts, node * 2);
                bounds = Arrays.copyOf(bounds, (counts.length * ROWS) << widthLg2);
                children = Arrays.copyOf(children, bounds.length);
                values = Arrays.copyOf(values, counts.length << widthLg2);
            }
        }
        counts[node] = 0;
        pad(node);
        return node;
    }

    private void release(int node) {
        counts[node] = free;
        free = node;
    }

    // Looking

    /** Of the ranges that share a number with {@code from..to} the one that begins first. */
    public int overlapping(long from, long to) {
        if (size == 0) {
            return NONE;
        }
        long[] all = bounds;
        int node = root;
        for (int level = height; ; level--) {
            int at = ending(node, from);
            // All behind it begin as late or later.
            if (at == counts[node] || Long.compareUnsigned(all[word(FIRST, node, at)], to) > 0) {
                return NONE;
            }
            if (level == 0) {
                return range(node, at);
            }
            node = child(node, at);
        }
    }

    /** The first entry of a node that ends at {@code number} or behind it. */
    private int ending(int node, long number) {
        long[] all = bounds;
        int lasts = word(LAST, node, 0);
        if (isDisjoint) {
            int at = beginning(node, number);
            return at > 0 && Long.compareUnsigned(all[lasts + at - 1], number) >= 0 ? at - 1 : at;
        }
        int count = counts[node];
        int at = 0;
        while (at < count && Long.compareUnsigned(all[lasts + at], number) < 0) {
            at++;
        }
        return at;
    }

    public boolean overlaps(long from, long to) {
        return overlapping(from, to) != NONE;
    }

    /** The values of all ranges that share a number with {@code from..to}, in their order. */
    public List<T> values(long from, long to) {
        List<T> found = new ArrayList<>();
        if (size > 0) {
            collect(root, height, from, to, found);
        }
        return found;
    }

    private void collect(int node, int level, long from, long to, List<T> into) {
        for (int at = ending(node, from);
                at < counts[node] && Long.compareUnsigned(bounds[word(FIRST, node, at)], to) <= 0;
                at++) {
            if (level > 0) {
                collect(child(node, at), level - 1, from, to, into);
            } else if (Long.compareUnsigned(bounds[word(LAST, node, at)], from) >= 0) {
                into.add(value(range(node, at)));
            }
        }
    }

    /** Visits each range, in order of beginning. */
    public void forEach(IntConsumer visitor) {
        if (size > 0) {
            forEach(root, height, visitor);
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
        return size == 0 ? NONE : find(root, height, rangeFirst, rangeLast);
    }

    private int find(int node, int level, long rangeFirst, long rangeLast) {
        for (int at = 0; at < counts[node]; at++) {
            if (Long.compareUnsigned(bounds[word(FIRST, node, at)], rangeFirst) > 0) {
                return NONE;
            }
            long end = bounds[word(LAST, node, at)];
            if (level == 0) {
                if (end == rangeLast && bounds[word(FIRST, node, at)] == rangeFirst) {
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
        if (size > 0) {
            walk(root, height, into);
        }
        if (!into.isFound) {
            into.last = -1;
        }
        return !into.isEnd;
    }

    /** In order, passing children that have no such gap as if they were one range. */
    private boolean walk(int node, int level, Gap into) {
        // What ends before it is passed at once.
        for (int at = ending(node, into.first); at < counts[node]; at++) {
            long end = bounds[word(LAST, node, at)];
            boolean isInside =
                    level > 0
                            && Long.compareUnsigned(children[word(GAP, node, at)], into.length) >= 0
                            && Long.compareUnsigned(end, into.first) >= 0;
            if (isInside
                    ? walk(child(node, at), level - 1, into)
                    : into.pass(bounds[word(FIRST, node, at)], end)) {
                return true;
            }
        }
        return false;
    }

    private static long max(long a, long b) {
        return Long.compareUnsigned(a, b) >= 0 ? a : b;
    }
}
