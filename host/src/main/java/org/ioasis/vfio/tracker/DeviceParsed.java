// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio.tracker;

/**
 * Nothing but a count: the device's commands carry the addresses, and its driver parses them from
 * there when it lets go. Each pin is one command's, so that nobody asks for a page that another has
 * pinned. Under its owner's lock.
 */
public final class DeviceParsed implements PinTracker {
    private final long size;
    private long pinned;

    public DeviceParsed(long pages) {
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

    @Override
    public long address(long page) {
        return NONE;
    }

    @Override
    public boolean retain(long page) {
        return false;
    }

    @Override
    public void add(long page, long address) {
        pinned++;
    }

    @Override
    public int release(long page) {
        if (pinned == 0) {
            return -1;
        }
        pinned--;
        return 0;
    }

    /** Only the device knows. */
    @Override
    public long nextPinned(long page) {
        return NONE;
    }

    @Override
    public long bytes() {
        return Sizes.object(16);
    }
}
