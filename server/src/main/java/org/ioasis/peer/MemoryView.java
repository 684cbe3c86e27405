// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Region;

/**
 * The memory that a peer has told of, at one moment. Immutable.
 *
 * @param regions how many there are
 * @param regionsWithoutDescriptor those of them that we cannot reach, whether writable or not
 * @param sharedBytes size of those that we can reach
 * @param sharedRamBytes of these, what is writable
 * @param unsharedRamBytes size of what is writable and cannot be reached
 * @param unreachableAccesses accesses so far that were refused because they met a region without a
 *     descriptor
 */
public record MemoryView(
        int regions,
        int regionsWithoutDescriptor,
        long sharedBytes,
        long sharedRamBytes,
        long unsharedRamBytes,
        long unreachableAccesses) {

    /** What {@code memory} holds now. */
    public static MemoryView of(GuestMemory memory) {
        Sum sum = new Sum();
        memory.forEachRegion(sum::add);
        return new MemoryView(
                memory.regionCount(),
                sum.withoutDescriptor,
                sum.shared,
                sum.sharedRam,
                sum.unsharedRam,
                memory.unreachableAccesses());
    }

    /**
     * True if the peer does not share the guest's RAM. A display's memory is writable and not
     * shared, too; but it is small beside what the guest runs in.
     */
    public boolean isRamUnshared() {
        return Long.compareUnsigned(unsharedRamBytes, sharedRamBytes) > 0;
    }

    private static final class Sum {
        private int withoutDescriptor;
        private long shared;
        private long sharedRam;
        private long unsharedRam;

        void add(Region region) {
            long below = region.gpaLast() - region.gpaFirst();
            boolean isShared = region.segment() != null;
            if (!isShared) {
                withoutDescriptor++;
            } else {
                shared = plus(shared, below);
            }
            if (region.isWritable() && isShared) {
                sharedRam = plus(sharedRam, below);
            } else if (region.isWritable()) {
                unsharedRam = plus(unsharedRam, below);
            }
        }

        /** Unsigned; all addresses together are one more than a long holds. */
        private static long plus(long sum, long below) {
            long more = sum + below;
            return Long.compareUnsigned(more, sum) < 0 || more == -1L ? -1L : more + 1;
        }
    }
}
