// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Regions by address, none of which overlap: a balanced tree (AVL) of which each node stands for
 * the tree below it, null for none. Immutable: a change makes a new path from the root to where it
 * happens and shares the rest, so that readers go on in the tree they have. Any thread.
 */
final class RegionTree {
    private final Region region;
    private final @Nullable RegionTree below;
    private final @Nullable RegionTree above;
    private final int height;

    private RegionTree(@Nullable RegionTree below, Region region, @Nullable RegionTree above) {
        this.region = region;
        this.below = below;
        this.above = above;
        height = 1 + Math.max(height(below), height(above));
    }

    private static int height(@Nullable RegionTree tree) {
        return tree == null ? 0 : tree.height;
    }

    /** The region with the lowest address that holds {@code gpa} or lies above it. */
    static @Nullable Region firstFrom(@Nullable RegionTree tree, long gpa) {
        Region first = null;
        while (tree != null) {
            if (Long.compareUnsigned(tree.region.gpaLast(), gpa) >= 0) {
                first = tree.region;
                tree = tree.below;
            } else {
                tree = tree.above;
            }
        }
        return first;
    }

    /** The region that holds {@code gpa}. */
    static @Nullable Region find(@Nullable RegionTree tree, long gpa) {
        Region first = firstFrom(tree, gpa);
        return first != null && Long.compareUnsigned(first.gpaFirst(), gpa) <= 0 ? first : null;
    }

    /** The region with the lowest address that touches {@code first..last}. */
    static @Nullable Region firstIn(@Nullable RegionTree tree, long first, long last) {
        Region found = firstFrom(tree, first);
        return found != null && found.overlaps(first, last) ? found : null;
    }

    static void forEach(@Nullable RegionTree tree, Consumer<? super Region> visitor) {
        if (tree != null) {
            forEach(tree.below, visitor);
            visitor.accept(tree.region);
            forEach(tree.above, visitor);
        }
    }

    /** The tree and {@code added}, which overlaps nothing in it. */
    static RegionTree with(@Nullable RegionTree tree, Region added) {
        if (tree == null) {
            return new RegionTree(null, added, null);
        }
        return Long.compareUnsigned(added.gpaFirst(), tree.region.gpaFirst()) < 0
                ? balanced(with(tree.below, added), tree.region, tree.above)
                : balanced(tree.below, tree.region, with(tree.above, added));
    }

    /** The tree without {@code removed}, which is in it. */
    static @Nullable RegionTree without(@Nullable RegionTree tree, Region removed) {
        if (tree == null) {
            throw new IllegalStateException("no region at 0x%x".formatted(removed.gpaFirst()));
        }
        int order = Long.compareUnsigned(removed.gpaFirst(), tree.region.gpaFirst());
        if (order < 0) {
            return balanced(without(tree.below, removed), tree.region, tree.above);
        }
        if (order > 0) {
            return balanced(tree.below, tree.region, without(tree.above, removed));
        }
        if (tree.above == null) {
            return tree.below;
        }
        Region next = tree.above.lowest();
        return balanced(tree.below, next, without(tree.above, next));
    }

    private Region lowest() {
        RegionTree tree = this;
        while (tree.below != null) {
            tree = tree.below;
        }
        return tree.region;
    }

    /** Of two trees of heights that differ by two at most. */
    private static RegionTree balanced(
            @Nullable RegionTree below, Region region, @Nullable RegionTree above) {
        int difference = height(below) - height(above);
        if (difference > 1 && below != null) {
            RegionTree inner = below.above;
            return inner == null || height(below.below) >= inner.height
                    ? new RegionTree(
                            below.below, below.region, new RegionTree(inner, region, above))
                    : new RegionTree(
                            new RegionTree(below.below, below.region, inner.below),
                            inner.region,
                            new RegionTree(inner.above, region, above));
        }
        if (difference < -1 && above != null) {
            RegionTree inner = above.below;
            return inner == null || height(above.above) >= inner.height
                    ? new RegionTree(
                            new RegionTree(below, region, inner), above.region, above.above)
                    : new RegionTree(
                            new RegionTree(below, region, inner.below),
                            inner.region,
                            new RegionTree(inner.above, above.region, above.above));
        }
        return new RegionTree(below, region, above);
    }
}
