// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iova;

import java.util.Arrays;

/**
 * The free page numbers as runs that do not touch, in a tree ordered by address that is balanced by
 * chance (a treap). Each node knows the largest aligned block of any run below it, so the highest
 * run in which something fits is found on one way down, however many small ones lie above it. One
 * thread. Allocates only to grow.
 */
final class FreeExtents {
    private static final int NIL = 0;

    private long[] first = new long[64];
    private long[] last = new long[64];
    private int[] left = new int[64];
    private int[] right = new int[64];
    private int[] weight = new int[64];

    /** Order of the largest aligned block in the run itself. */
    private byte[] fit = new byte[64];

    /** The same for all runs below, its own included; -1 for none. */
    private byte[] best = new byte[64];

    private int root = NIL;
    private int unused = NIL;
    private int nodes = 1;
    private int runs;
    private long pages;
    private int chance = 0x2545_f491;

    FreeExtents() {
        best[NIL] = -1;
    }

    int runs() {
        return runs;
    }

    long pages() {
        return pages;
    }

    /** Order of the largest aligned block that is free, -1 if nothing is. */
    int largestOrder() {
        return best[root];
    }

    /**
     * Takes the highest aligned place.
     *
     * @param count pages, which begin at a multiple of {@code 1 << order}
     * @param limit no page above it
     * @return the first page, or -1
     */
    long take(long count, int order, long limit) {
        int node = highest(root, order, count, order, limit);
        if (node == NIL) {
            // At the end of a run there may be room for what is not a whole block: more than half
            // of one, so the run has an aligned quarter.
            node = highest(root, Math.max(0, order - 2), count, order, limit);
        }
        if (node == NIL) {
            return -1;
        }
        long at = place(node, count, order, limit);
        cut(node, at, at + count - 1);
        return at;
    }

    private int highest(int node, int atLeast, long count, int order, long limit) {
        if (best[node] < atLeast) {
            return NIL;
        }
        if (first[node] <= limit) {
            int above = highest(right[node], atLeast, count, order, limit);
            if (above != NIL) {
                return above;
            }
            if (fit[node] >= atLeast && place(node, count, order, limit) >= first[node]) {
                return node;
            }
        }
        return highest(left[node], atLeast, count, order, limit);
    }

    /** The highest place in a run; below its first page if there is none. */
    private long place(int node, long count, int order, long limit) {
        long end = Math.min(last[node], limit) - count + 1;
        return end < 0 ? -1 : end & -(1L << order);
    }

    /** Takes {@code from..to} out of a run that holds all of it. */
    private void cut(int node, long from, long to) {
        long runFirst = first[node];
        long runLast = last[node];
        pages -= to - from + 1;
        if (from == runFirst && to == runLast) {
            root = remove(root, runFirst);
            return;
        }
        if (from == runFirst) {
            first[node] = to + 1;
        } else {
            last[node] = from - 1;
        }
        renew(root, first[node]);
        if (from != runFirst && to != runLast) {
            insert(to + 1, runLast);
        }
    }

    /** Whether a page of it is free. */
    boolean overlaps(long from, long to) {
        int node = floor(to);
        return node != NIL && last[node] >= from;
    }

    /** Takes out what is free of a range. */
    void exclude(long from, long to) {
        for (int node = floor(to); node != NIL && last[node] >= from; node = floor(to)) {
            cut(node, Math.max(from, first[node]), Math.min(to, last[node]));
        }
    }

    /** Pages are free again; none of them was. */
    void add(long from, long to) {
        if (overlaps(from, to)) {
            throw new IllegalStateException(
                    "pages 0x%x..0x%x were free in part".formatted(from, to));
        }
        pages += to - from + 1;
        int below = floor(from);
        boolean joinsBelow = below != NIL && last[below] == from - 1;
        int above = floor(to + 1);
        boolean joinsAbove = above != NIL && first[above] == to + 1;
        if (joinsBelow && joinsAbove) {
            long end = last[above];
            root = remove(root, first[above]);
            last[below] = end;
            renew(root, first[below]);
        } else if (joinsBelow) {
            last[below] = to;
            renew(root, first[below]);
        } else if (joinsAbove) {
            first[above] = from;
            renew(root, from);
        } else {
            insert(from, to);
        }
    }

    /** The run with the highest first page that is not above {@code page}. */
    private int floor(long page) {
        int found = NIL;
        int node = root;
        while (node != NIL) {
            if (first[node] <= page) {
                found = node;
                node = right[node];
            } else {
                node = left[node];
            }
        }
        return found;
    }

    // --- the tree

    private void insert(long from, long to) {
        int node = unused;
        if (node != NIL) {
            unused = right[node];
        } else {
            if (nodes == first.length) {
                grow();
            }
            node = nodes++;
        }
        first[node] = from;
        last[node] = to;
        left[node] = NIL;
        right[node] = NIL;
        chance ^= chance << 13;
        chance ^= chance >>> 17;
        chance ^= chance << 5;
        weight[node] = chance;
        sum(node);
        runs++;
        root = insert(root, node);
    }

    private int insert(int tree, int node) {
        if (tree == NIL) {
            return node;
        }
        if (first[node] < first[tree]) {
            int child = insert(left[tree], node);
            left[tree] = child;
            if (weight[child] > weight[tree]) {
                left[tree] = right[child];
                right[child] = tree;
                sum(tree);
                sum(child);
                return child;
            }
        } else {
            int child = insert(right[tree], node);
            right[tree] = child;
            if (weight[child] > weight[tree]) {
                right[tree] = left[child];
                left[child] = tree;
                sum(tree);
                sum(child);
                return child;
            }
        }
        sum(tree);
        return tree;
    }

    private int remove(int tree, long key) {
        if (key == first[tree]) {
            int joined = join(left[tree], right[tree]);
            right[tree] = unused;
            unused = tree;
            runs--;
            return joined;
        }
        if (key < first[tree]) {
            left[tree] = remove(left[tree], key);
        } else {
            right[tree] = remove(right[tree], key);
        }
        sum(tree);
        return tree;
    }

    private int join(int lower, int upper) {
        if (lower == NIL) {
            return upper;
        }
        if (upper == NIL) {
            return lower;
        }
        if (weight[lower] > weight[upper]) {
            right[lower] = join(right[lower], upper);
            sum(lower);
            return lower;
        }
        left[upper] = join(lower, left[upper]);
        sum(upper);
        return upper;
    }

    /** A run has changed: so may have what those above it know. */
    private void renew(int tree, long key) {
        if (key < first[tree]) {
            renew(left[tree], key);
        } else if (key > first[tree]) {
            renew(right[tree], key);
        }
        sum(tree);
    }

    private void sum(int node) {
        fit[node] = (byte) largestBlock(first[node], last[node]);
        best[node] = (byte) Math.max(fit[node], Math.max(best[left[node]], best[right[node]]));
    }

    /** Order of the largest aligned block in a run. */
    static int largestBlock(long from, long to) {
        int order = 63 - Long.numberOfLeadingZeros(to - from + 1);
        // The length has room for two blocks of half the size, so one of them is aligned.
        long aligned = (from + (1L << order) - 1) & -(1L << order);
        return aligned + (1L << order) - 1 <= to ? order : Math.max(0, order - 1);
    }

    private void grow() {
        int size = 2 * first.length;
        first = Arrays.copyOf(first, size);
        last = Arrays.copyOf(last, size);
        left = Arrays.copyOf(left, size);
        right = Arrays.copyOf(right, size);
        weight = Arrays.copyOf(weight, size);
        fit = Arrays.copyOf(fit, size);
        best = Arrays.copyOf(best, size);
    }
}
