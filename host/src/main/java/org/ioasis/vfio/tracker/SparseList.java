// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio.tracker;

import org.jspecify.annotations.Nullable;

/**
 * A list of the pinned pages in no order: the first proposal. Each search looks at all of them.
 * Under its owner's lock.
 */
public final class SparseList implements PinTracker {
    private static final class Node {
        private final long page;
        private final long address;
        private int users = 1;
        private @Nullable Node next;

        Node(long page, long address) {
            this.page = page;
            this.address = address;
        }
    }

    private final long size;
    private @Nullable Node head;
    private long pinned;

    public SparseList(long pages) {
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
        Node node = head;
        while (node != null && node.page != page) {
            node = node.next;
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
        Node node = new Node(page, address);
        node.next = head;
        head = node;
        pinned++;
    }

    @Override
    public int release(long page) {
        Node before = null;
        Node node = head;
        while (node != null && node.page != page) {
            before = node;
            node = node.next;
        }
        if (node == null) {
            return -1;
        }
        if (--node.users == 0) {
            if (before == null) {
                head = node.next;
            } else {
                before.next = node.next;
            }
            pinned--;
        }
        return node.users;
    }

    @Override
    public long nextPinned(long page) {
        long found = NONE;
        for (Node node = head; node != null; node = node.next) {
            if (node.page >= page && (found == NONE || node.page < found)) {
                found = node.page;
            }
        }
        return found;
    }

    @Override
    public long bytes() {
        return Sizes.object(20) + pinned * Sizes.object(24);
    }
}
