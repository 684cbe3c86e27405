// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio.tracker;

/**
 * A word and a counter for each page of the range, pinned or not: 12 bytes a page, and no search.
 * Under its owner's lock.
 */
public final class SparseArray implements PinTracker {
    private final long[] addresses;
    private final int[] users;
    private long pinned;

    /**
     * @param pages of the range, fewer than 2^31
     */
    public SparseArray(long pages) {
        addresses = new long[Math.toIntExact(pages)];
        users = new int[addresses.length];
    }

    @Override
    public long size() {
        return addresses.length;
    }

    @Override
    public long pinned() {
        return pinned;
    }

    @Override
    public long address(long page) {
        return users[(int) page] == 0 ? NONE : addresses[(int) page];
    }

    @Override
    public boolean retain(long page) {
        if (users[(int) page] == 0) {
            return false;
        }
        users[(int) page]++;
        return true;
    }

    @Override
    public void add(long page, long address) {
        addresses[(int) page] = address;
        users[(int) page] = 1;
        pinned++;
    }

    @Override
    public int release(long page) {
        if (users[(int) page] == 0) {
            return -1;
        }
        int left = --users[(int) page];
        if (left == 0) {
            pinned--;
        }
        return left;
    }

    @Override
    public long nextPinned(long page) {
        for (int i = (int) Math.min(page, users.length); i < users.length; i++) {
            if (users[i] != 0) {
                return i;
            }
        }
        return NONE;
    }

    @Override
    public long bytes() {
        return Sizes.object(16) + Sizes.array(size(), Long.BYTES) + Sizes.array(size(), 4);
    }
}
