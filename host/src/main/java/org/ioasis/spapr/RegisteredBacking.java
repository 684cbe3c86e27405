// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.TableBudget;

/**
 * Memory that its process has registered: nothing is held or charged here, entries are counted.
 * Which region an entry counts for is found by the user address that is noted beside it. Under the
 * lock of its table.
 */
final class RegisteredBacking implements Backing {
    private static final int PAGE_LG2 = 12;

    private final RegisteredMemory memory;
    private final EntryPages users;

    /**
     * @param entries of the table
     */
    RegisteredBacking(RegisteredMemory memory, long entries, TableBudget budget) {
        this.memory = memory;
        users = new EntryPages(entries, budget);
    }

    @Override
    public long take(long user, int pageLg2, boolean isWritable, FailureInjector failures) {
        MemoryRegion region = memory.lookUp(user, 1L << pageLg2);
        if (region == null) {
            return -Errno.EINVAL.number();
        }
        long address = region.toPhysical(user, pageLg2);
        if (address < 0) {
            return -Errno.EPERM.number();
        }
        return failures.fails() || !region.map() ? -Errno.EBUSY.number() : address;
    }

    @Override
    public boolean isRegistered(long user, int pageLg2) {
        MemoryRegion region = memory.lookUp(user, 1L << pageLg2);
        return region != null && region.toPhysical(user, pageLg2) >= 0;
    }

    @Override
    public void untake(long user, long address) {
        region(user).unmap();
    }

    @Override
    public boolean reserve(long entry) {
        return users.reserve(entry);
    }

    @Override
    public void note(long entry, long user) {
        users.set(entry, (user >>> PAGE_LG2) + 1);
    }

    @Override
    public void drop(long entry, long address) {
        region((users.get(entry) - 1) << PAGE_LG2).unmap();
        users.set(entry, 0);
    }

    /** A region with an entry is not unregistered, so it is there. */
    private MemoryRegion region(long user) {
        MemoryRegion region = memory.lookUp(user, 1);
        if (region == null) {
            throw new IllegalStateException(
                    "an entry leads to 0x%x, which is not registered".formatted(user));
        }
        return region;
    }

    @Override
    public void free() {
        users.free();
    }
}
