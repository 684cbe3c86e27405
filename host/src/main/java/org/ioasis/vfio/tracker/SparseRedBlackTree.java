// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio.tracker;

import org.jspecify.annotations.Nullable;

/**
 * A node for each pinned page in a red-black tree (left-leaning: Sedgewick, 2008): costs what is
 * pinned, wherever it lies, and more for each than a table does. Under its owner's lock.
 */
public final class SparseRedBlackTree implements PinTracker {
    private static final class Node {
        private long page;
        private long address;
        private int users = 1;
        private boolean isRed = true;
        private @Nullable Node left;
        private @Nullable Node right;

        Node(long page, long address) {
            this.page = page;
            this.address = address;
        }
    }

    private final long size;
    private @Nullable Node root;
    private long pinned;

    public SparseRedBlackTree(long pages) {
        size = pages;
    }

    @Override
    public long size() {
        return size;
    }

    @Override
    public long pinned() {
        return pinned;
    }

    private @Nullable Node find(long page) {
        Node node = root;
        while (node != null && node.page != page) {
            node = page < node.page ? node.left : node.right;
        }
        return node;
    }

    @Override
    public long address(long page) {
        Node node = find(page);
        return node == null ? NONE : node.address;
    }

    @Override
    public boolean retain(long page) {
        Node node = find(page);
        if (node == null) {
            return false;
        }
        node.users++;
        return true;
    }

    @Override
    public void add(long page, long address) {
        Node top = insert(root, page, address);
        top.isRed = false;
        root = top;
        pinned++;
    }

    @Override
    public int release(long page) {
        Node node = find(page);
        if (node == null) {
            return -1;
        }
        int left = --node.users;
        if (left == 0) {
            Node top = root;
            if (top != null && !isRed(top.left) && !isRed(top.right)) {
                top.isRed = true;
            }
            Node rest = top == null ? null : remove(top, page);
            if (rest != null) {
                rest.isRed = false;
            }
            root = rest;
            pinned--;
        }
        return left;
    }

    @Override
    public long nextPinned(long page) {
        long found = NONE;
        Node node = root;
        while (node != null) {
            if (node.page >= page) {
                found = node.page;
                node = node.left;
            } else {
                node = node.right;
            }
        }
        return found;
    }

    @Override
    public long bytes() {
        return Sizes.object(20) + pinned * Sizes.object(29);
    }

    private static boolean isRed(@Nullable Node node) {
        return node != null && node.isRed;
    }

    private static Node insert(@Nullable Node node, long page, long address) {
        if (node == null) {
            return new Node(page, address);
        }
        if (page < node.page) {
            node.left = insert(node.left, page, address);
        } else {
            node.right = insert(node.right, page, address);
        }
        return balance(node);
    }

    private static @Nullable Node remove(Node top, long page) {
        Node node = top;
        if (page < node.page) {
            Node left = node.left;
            if (left != null && !left.isRed && !isRed(left.left)) {
                node = redToTheLeft(node);
            }
            Node below = node.left;
            node.left = below == null ? null : remove(below, page);
            return balance(node);
        }
        if (isRed(node.left)) {
            node = turnRight(node);
        }
        if (page == node.page && node.right == null) {
            return null;
        }
        Node right = node.right;
        if (right != null && !right.isRed && !isRed(right.left)) {
            node = redToTheRight(node);
        }
        Node below = node.right;
        if (below != null && page == node.page) {
            Node least = below;
            while (least.left != null) {
                least = least.left;
            }
            node.page = least.page;
            node.address = least.address;
            node.users = least.users;
            node.right = removeLeast(below);
        } else if (below != null) {
            node.right = remove(below, page);
        }
        return balance(node);
    }

    private static @Nullable Node removeLeast(Node top) {
        Node node = top;
        Node left = node.left;
        if (left == null) {
            return null;
        }
        if (!left.isRed && !isRed(left.left)) {
            node = redToTheLeft(node);
        }
        Node below = node.left;
        node.left = below == null ? null : removeLeast(below);
        return balance(node);
    }

    private static Node balance(Node top) {
        Node node = top;
        if (isRed(node.right) && !isRed(node.left)) {
            node = turnLeft(node);
        }
        Node left = node.left;
        if (left != null && left.isRed && isRed(left.left)) {
            node = turnRight(node);
        }
        if (isRed(node.left) && isRed(node.right)) {
            flip(node);
        }
        return node;
    }

    private static Node turnLeft(Node node) {
        Node up = node.right;
        if (up == null) {
            return node;
        }
        node.right = up.left;
        up.left = node;
        up.isRed = node.isRed;
        node.isRed = true;
        return up;
    }

    private static Node turnRight(Node node) {
        Node up = node.left;
        if (up == null) {
            return node;
        }
        node.left = up.right;
        up.right = node;
        up.isRed = node.isRed;
        node.isRed = true;
        return up;
    }

    private static void flip(Node node) {
        node.isRed = !node.isRed;
        if (node.left != null) {
            node.left.isRed = !node.left.isRed;
        }
        if (node.right != null) {
            node.right.isRed = !node.right.isRed;
        }
    }

    private static Node redToTheLeft(Node top) {
        Node node = top;
        flip(node);
        Node right = node.right;
        if (right != null && isRed(right.left)) {
            node.right = turnRight(right);
            node = turnLeft(node);
            flip(node);
        }
        return node;
    }

    private static Node redToTheRight(Node top) {
        Node node = top;
        flip(node);
        Node left = node.left;
        if (left != null && isRed(left.left)) {
            node = turnRight(node);
            flip(node);
        }
        return node;
    }
}
