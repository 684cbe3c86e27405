// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static org.ioasis.spec.Iommufd.INVALIDATE_DATA_TYPE;
import static org.ioasis.spec.Iommufd.INVALIDATE_DATA_UPTR;
import static org.ioasis.spec.Iommufd.INVALIDATE_ENTRY_LEN;
import static org.ioasis.spec.Iommufd.INVALIDATE_ENTRY_NUM;
import static org.ioasis.spec.Iommufd.INVALIDATE_ENTRY_NUM_MAX;
import static org.ioasis.spec.Iommufd.INVALIDATE_RESERVED;

import java.lang.foreign.MemorySegment;

/**
 * One call with an array of entries in the memory of its caller, which is copied a piece at a time:
 * a guest's queue may be what the array is part of. Under its context's lock, during the call.
 */
final class Invalidation {
    private final UserCommand command;
    private final int type;
    private final int count;
    private final int length;
    private final long address;
    private int done;

    Invalidation(UserCommand command) {
        this.command = command;
        type = command.getInt(INVALIDATE_DATA_TYPE);
        count = command.getInt(INVALIDATE_ENTRY_NUM);
        length = command.getInt(INVALIDATE_ENTRY_LEN);
        address = command.getLong(INVALIDATE_DATA_UPTR);
    }

    /** Entries that were done, on failure too. */
    int done() {
        return done;
    }

    /** Refuses what cannot be an array, whatever it is for. */
    void check() throws IommufdException {
        command.requireZero(INVALIDATE_RESERVED);
        if (count != 0
                && (address == 0
                        || length == 0
                        || Integer.compareUnsigned(length, UserCommand.PIECE) > 0
                        || Integer.compareUnsigned(count, INVALIDATE_ENTRY_NUM_MAX) > 0)) {
            throw new IommufdException(Errno.EINVAL, "no such array of entries");
        }
    }

    void run(IommufdObject target) throws IommufdException {
        Invalidator invalidator =
                switch (target) {
                    case NestedHwpt hwpt -> hwpt.domain();
                    case Viommu viommu -> viommu.driver();
                    default ->
                            throw new IommufdException(
                                    Errno.EINVAL,
                                    "only what a guest has made has caches of its own");
                };
        if (count == 0) {
            advance(invalidator.invalidate(type, MemorySegment.NULL, 0, length, 0));
            return;
        }
        MemorySegment piece = command.scratch(UserCommand.PIECE);
        int most = UserCommand.PIECE / length;
        while (done < count) {
            int entries = Math.min(most, count - done);
            long at = address + (long) done * length;
            if (command.caller().read(at, piece, 0, (long) entries * length) != 0) {
                if (entries == 1) {
                    advance(Handled.refused(0, InvalidationRefusal.UNREADABLE));
                }
                // Those before the one that cannot be read are done.
                most = 1;
                continue;
            }
            advance(invalidator.invalidate(type, piece, 0, length, entries));
        }
    }

    private void advance(long handled) throws IommufdException {
        done += Handled.done(handled);
        InvalidationRefusal refusal = Handled.refusal(handled);
        if (refusal != null) {
            throw new IommufdException(
                    refusal.errno(), "entry %d: %s".formatted(done, refusal.rule()));
        }
    }
}
