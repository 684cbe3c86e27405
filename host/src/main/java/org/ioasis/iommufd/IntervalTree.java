// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.util.Arrays;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/**
 * Inclusive unsigned ranges with a value each, sorted by where they begin; they may overlap and be
 * equal. A treap in arrays: no object per node, depth that grows with the logarithm. Each node
 * knows how far its subtree reaches, which answers what overlaps a range, and the widest gap
 * between its ranges, which finds room without walking over all of them. Under its owner's lock.
 *
 * <p>Priorities come from a counter, so that a run can be repeated.
 *
 * @param <T> the values
 */
final class IntervalTree<T> {
    /** No node; also the root of the empty tree. */
    static final int NONE = 0;

    private long[] first = new long[8];
    private long[] last = new long[8];
    private int[] left = new int[8];
    private int[] right = new int[8];
    private int[] priority = new int[8];
    private @Nullable Object[] value = new @Nullable Object[8];

    // Of the subtree: the lowest beginning, the highest end, and the widest run of numbers between
    // two neighbours that no range of the subtree holds. With ranges that overlap a range to the
    // left may reach into a gap of the right side: then it is an upper bound.
    private long[] subtreeFirst = new long[8];
    private long[] subtreeLast = new long[8];
    private long[] subtreeGap = new long[8];

    private int root;
    private int used = 1;
    private int free;
    private int size;
    private int seed;
    private int splitLeft;
    private int splitRight;

    int size() {
        return size;
    }

    boolean isEmpty() {
        return size == 0;
    }

    long first(int node) {
        return first[node];
    }

    long last(int node) {
        return last[node];
    }

    // Only insert writes values, and only with a T.
    @SuppressWarnings("unchecked")
    T value(int node) {
        Object found = value[node];
        if (found == null) {
            throw new IllegalStateException("no node " + node);
        }
        return (T) found;
    }

    /** Adds a range; equal and overlapping ones stay beside it. */
    void insert(long rangeFirst, long rangeLast, T rangeValue) {
        int node = allocate();
        first[node] = rangeFirst;
        last[node] = rangeLast;
        value[node] = rangeValue;
        seed += 0x9E3779B9;
        priority[node] = mix(seed);
        update(node);
        split(root, rangeFirst);
        root = merge(merge(splitLeft, node), splitRight);
        size++;
    }

    /** Removes the range with this beginning and this very value, which must be there. */
    void remove(long rangeFirst, T rangeValue) {
        root = remove(root, rangeFirst, rangeValue);
    }

    /** Removes all. */
    void clear() {
        Arrays.fill(value, null);
        root = NONE;
        used = 1;
        free = NONE;
        size = 0;
    }

    /** Of the ranges that share a number with {@code from..to} the one that begins first. */
    int overlapping(long from, long to) {
        return overlapping(root, from, to);
    }

    boolean overlaps(long from, long to) {
        return overlapping(from, to) != NONE;
    }

    /** Visits each node, in order of beginning. */
    void forEach(IntConsumer visitor) {
        forEach(root, visitor);
    }

    private void forEach(int node, IntConsumer visitor) {
        if (node != NONE) {
            forEach(left[node], visitor);
            visitor.accept(node);
            forEach(right[node], visitor);
        }
    }

    /** The range that begins and ends here; of equal ones any. */
    int find(long rangeFirst, long rangeLast) {
        return find(root, rangeFirst, rangeLast);
    }

    private int find(int node, long rangeFirst, long rangeLast) {
        while (node != NONE) {
            int order = Long.compareUnsigned(rangeFirst, first[node]);
            if (order == 0) {
                if (last[node] == rangeLast) {
                    return node;
                }
                int found = find(left[node], rangeFirst, rangeLast);
                if (found != NONE) {
                    return found;
                }
            }
            node = order < 0 ? left[node] : right[node];
        }
        return NONE;
    }

    /**
     * The lowest number from {@code from} on at which a gap of at least {@code length} numbers
     * begins, or goes on, and that lies before some range. Behind the last range is always room.
     *
     * @return where; the end of the gap is {@link #gapLast}
     */
    long gap(long from, long length) {
        gapLength = length;
        gapBelow = from;
        gapFound = false;
        wrapped = false;
        walk(root);
        if (!gapFound) {
            gapStart = gapBelow;
            gapEnd = -1;
        }
        return gapStart;
    }

    /** Where the gap that {@link #gap} found ends. */
    long gapLast() {
        return gapEnd;
    }

    /** The last {@link #gap} found nothing: the ranges reach the end of all numbers. */
    boolean isFull() {
        return !gapFound && wrapped;
    }

    private long gapLength;
    private long gapBelow;
    private long gapStart;
    private long gapEnd;
    private boolean gapFound;
    private boolean wrapped;

    /** In order, leaving out subtrees that end below the beginning or have no such gap. */
    private void walk(int node) {
        if (node == NONE || gapFound || wrapped) {
            return;
        }
        if (Long.compareUnsigned(subtreeLast[node], gapBelow) < 0) {
            return;
        }
        // Before the subtree: one step tells.
        if (Long.compareUnsigned(subtreeFirst[node], gapBelow) > 0 && fits(subtreeFirst[node])) {
            return;
        }
        if (Long.compareUnsigned(subtreeGap[node], gapLength) < 0) {
            pass(subtreeLast[node]);
            return;
        }
        walk(left[node]);
        if (gapFound || wrapped) {
            return;
        }
        if (Long.compareUnsigned(first[node], gapBelow) > 0 && fits(first[node])) {
            return;
        }
        pass(last[node]);
        walk(right[node]);
    }

    /** Whether the gap from what is behind us up to a beginning is wide enough. */
    private boolean fits(long beginning) {
        if (Long.compareUnsigned(beginning - gapBelow, gapLength) < 0) {
            return false;
        }
        gapStart = gapBelow;
        gapEnd = beginning - 1;
        gapFound = true;
        return true;
    }

    private void pass(long end) {
        if (Long.compareUnsigned(end, gapBelow) >= 0) {
            gapBelow = end + 1;
            wrapped = gapBelow == 0;
        }
    }

    private int overlapping(int node, long from, long to) {
        while (node != NONE) {
            if (Long.compareUnsigned(subtreeLast[node], from) < 0
                    || Long.compareUnsigned(subtreeFirst[node], to) > 0) {
                return NONE;
            }
            int below = left[node];
            if (below != NONE && Long.compareUnsigned(subtreeLast[below], from) >= 0) {
                int found = overlapping(below, from, to);
                if (found != NONE) {
                    return found;
                }
            }
            if (Long.compareUnsigned(first[node], to) > 0) {
                return NONE;
            }
            if (Long.compareUnsigned(last[node], from) >= 0) {
                return node;
            }
            node = right[node];
        }
        return NONE;
    }

    // The very value: equal ones may stand beside it.
    @SuppressWarnings("ReferenceEquality")
    private int remove(int node, long rangeFirst, T rangeValue) {
        if (node == NONE) {
            return NONE;
        }
        if (first[node] == rangeFirst && value[node] == rangeValue) {
            int rest = merge(left[node], right[node]);
            value[node] = null;
            left[node] = free;
            free = node;
            size--;
            return rest;
        }
        int before = size;
        int order = Long.compareUnsigned(rangeFirst, first[node]);
        if (order <= 0) {
            left[node] = remove(left[node], rangeFirst, rangeValue);
        }
        if (size == before && order >= 0) {
            right[node] = remove(right[node], rangeFirst, rangeValue);
        }
        update(node);
        return node;
    }

    /** Left: what begins at or below; right: what begins above. */
    private void split(int node, long at) {
        if (node == NONE) {
            splitLeft = NONE;
            splitRight = NONE;
        } else if (Long.compareUnsigned(first[node], at) <= 0) {
            split(right[node], at);
            right[node] = splitLeft;
            update(node);
            splitLeft = node;
        } else {
            split(left[node], at);
            left[node] = splitRight;
            update(node);
            splitRight = node;
        }
    }

    private int merge(int low, int high) {
        if (low == NONE || high == NONE) {
            return low == NONE ? high : low;
        }
        if (priority[low] > priority[high]) {
            right[low] = merge(right[low], high);
            update(low);
            return low;
        }
        left[high] = merge(low, left[high]);
        update(high);
        return high;
    }

    private void update(int node) {
        long lowest = first[node];
        long highest = last[node];
        long gap = 0;
        int low = left[node];
        if (low != NONE) {
            lowest = subtreeFirst[low];
            gap = max(subtreeGap[low], between(subtreeLast[low], first[node]));
            highest = max(highest, subtreeLast[low]);
        }
        int high = right[node];
        if (high != NONE) {
            gap = max(gap, max(subtreeGap[high], between(highest, subtreeFirst[high])));
            highest = max(highest, subtreeLast[high]);
        }
        subtreeFirst[node] = lowest;
        subtreeLast[node] = highest;
        subtreeGap[node] = gap;
    }

    private static long between(long end, long beginning) {
        return Long.compareUnsigned(beginning, end) > 0 ? beginning - end - 1 : 0;
    }

    private static long max(long a, long b) {
        return Long.compareUnsigned(a, b) >= 0 ? a : b;
    }

    private static int mix(int number) {
        int mixed = (number ^ (number >>> 16)) * 0x85EBCA6B;
        mixed = (mixed ^ (mixed >>> 13)) * 0xC2B2AE35;
        return mixed ^ (mixed >>> 16);
    }

    private int allocate() {
        int node = free;
        if (node != NONE) {
            free = left[node];
        } else {
            node = used++;
            if (node == first.length) {
                grow(node * 2);
            }
        }
        left[node] = NONE;
        right[node] = NONE;
        return node;
    }

    private void grow(int length) {
        first = Arrays.copyOf(first, length);
        last = Arrays.copyOf(last, length);
        left = Arrays.copyOf(left, length);
        right = Arrays.copyOf(right, length);
        priority = Arrays.copyOf(priority, length);
        value = Arrays.copyOf(value, length);
        subtreeFirst = Arrays.copyOf(subtreeFirst, length);
        subtreeLast = Arrays.copyOf(subtreeLast, length);
        subtreeGap = Arrays.copyOf(subtreeGap, length);
    }
}
