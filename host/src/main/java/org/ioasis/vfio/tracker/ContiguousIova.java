// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio.tracker;

/**
 * A range of the device's addresses as long as the range, reserved once: where a page is follows
 * from its number, and only who needs it is kept, a byte a page. What a page is at stands in the
 * page table of the device's IOMMU, which whoever pins writes. Under its owner's lock.
 */
public final class ContiguousIova implements PinTracker {
    /** How many can ask for one page. */
    static final int USERS_MAX = 255;

    private final long first;
    private final byte[] users;
    private long pinned;

    /**
     * @param pages of the range, fewer than 2^31
     * @param first where the device's addresses begin
     */
    public ContiguousIova(long pages, long first) {
        users = new byte[Math.toIntExact(pages)];
        this.first = first;
    }

    /** Where the device will find a page, pinned or not yet. */
    public long place(long page) {
        return first + page * PAGE;
    }

    @Override
    public long size() {
        return users.length;
    }

    @Override
    public long pinned() {
        return pinned;
    }

    @Override
    public long address(long page) {
        return users[(int) page] == 0 ? NONE : place(page);
    }

    @Override
    public boolean retain(long page) {
        int now = users[(int) page] & 0xff;
        if (now == USERS_MAX) {
            throw new IllegalStateException("page " + page + " is asked for too often");
        }
        if (now == 0) {
            return false;
        }
        users[(int) page] = (byte) (now + 1);
        return true;
    }

    @Override
    public void add(long page, long address) {
        if (address != place(page)) {
            throw new IllegalArgumentException(
                    "page %d is at 0x%x, not at 0x%x".formatted(page, place(page), address));
        }
        users[(int) page] = 1;
        pinned++;
    }

    @Override
    public int release(long page) {
        int now = users[(int) page] & 0xff;
        if (now == 0) {
            return -1;
        }
        users[(int) page] = (byte) (now - 1);
        if (now == 1) {
            pinned--;
        }
        return now - 1;
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
        return Sizes.object(20) + Sizes.array(size(), 1);
    }
}
