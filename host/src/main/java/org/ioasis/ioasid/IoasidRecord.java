// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;

/**
 * What is known of one id from its allocation until it is back in the pool; never used for another.
 * Written under the allocator's lock, read by look-ups on any thread.
 */
final class IoasidRecord {
    private static final VarHandle DATA;

    static {
        try {
            DATA = MethodHandles.lookup().findVarHandle(IoasidRecord.class, "data", Object.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    final int id;
    final @Nullable IoasidSet<?> set;

    @SuppressWarnings("unused") // by the handle
    private @Nullable Object data;

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

    /** Its private data; null: not yet. */
    @Nullable Object data() {
        return DATA.getAcquire(this);
    }

    void data(@Nullable Object value) {
        DATA.setRelease(this, value);
    }
}
