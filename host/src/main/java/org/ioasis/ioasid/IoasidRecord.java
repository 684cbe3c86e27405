// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import org.jspecify.annotations.Nullable;

/**
 * What is known of one id from its allocation until it is back in the pool; never used for another.
 * Written under the allocator's lock, read by look-ups on any thread.
 */
final class IoasidRecord {
    final int id;
    final @Nullable IoasidSet<?> set;

    /** Its private data; null: not yet. */
    volatile @Nullable Object data;

    /** Freed, and kept from the pool by references only: nobody finds it. */
    volatile boolean isFreed;

    // Under the lock only.
    long references = 1;
    boolean isBound;
    int spid = IoasidAllocator.INVALID;

    IoasidRecord(int id, @Nullable IoasidSet<?> set, @Nullable Object data) {
        this.id = id;
        this.set = set;
        this.data = data;
    }

    /** Whether it is one of a set's; there are no two sets that are the same. */
    boolean isOf(IoasidSet<?> other) {
        return other.equals(set);
    }
}
