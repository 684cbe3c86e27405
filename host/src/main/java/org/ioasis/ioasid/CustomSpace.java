// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.IommufdException;

/**
 * Ids of a custom allocator. Its functions are called with what the first sharer that is still
 * there has registered: Linux goes on with what the very first had, who may be gone (Q9). Under the
 * allocator's lock.
 */
final class CustomSpace extends IdSpace {
    private final List<IoasidOps<?>> sharers = new ArrayList<>();
    private long outOfRange;
    private long duplicates;

    CustomSpace(IoasidOps<?> first) {
        sharers.add(first);
    }

    boolean contains(IoasidOps<?> ops) {
        return sharers.contains(ops);
    }

    /** Whether the two are one allocator. */
    boolean isSharedBy(IoasidOps<?> ops) {
        return sharers.getFirst().hasFunctionsOf(ops);
    }

    void join(IoasidOps<?> ops) {
        sharers.add(ops);
    }

    /** True if it was the last. */
    boolean leave(IoasidOps<?> ops) {
        sharers.remove(ops);
        return sharers.isEmpty();
    }

    /** Ids that it handed out beside what was asked for. */
    long outOfRange() {
        return outOfRange;
    }

    /** Ids that it handed out a second time. */
    long duplicates() {
        return duplicates;
    }

    @Override
    int take(int first, int last, FailureInjector failures) throws IommufdException {
        failures.allocate();
        int id = sharers.getFirst().allocate(first, last);
        if (id == IoasidAllocator.INVALID) {
            throw new IommufdException(Errno.ENOSPC, "the custom allocator has no id");
        }
        if (table.get(id) != null) {
            // Not to be given back: it has an owner, and would be handed out once more.
            duplicates++;
            throw new IommufdException(
                    Errno.EEXIST, "the custom allocator handed out %d twice".formatted(id));
        }
        if (id < first || id > last) {
            outOfRange++;
            boolean isBack = giveBack(id);
            throw new IommufdException(
                    Errno.ERANGE,
                    "the custom allocator handed out %d, which is not from %d to %d%s"
                            .formatted(id, first, last, isBack ? "" : ", and it is lost"));
        }
        return id;
    }

    @Override
    boolean giveBack(int id) {
        try {
            sharers.getFirst().free(id);
            return true;
        } catch (IommufdException e) {
            return false;
        }
    }
}
