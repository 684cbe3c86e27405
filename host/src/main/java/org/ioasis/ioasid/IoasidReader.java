// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import org.ioasis.memory.Guard;
import org.jspecify.annotations.Nullable;

/**
 * Looks ids up, on the thread that opened it: without a lock, without memory, however many others
 * look up or change something at the same time. A look-up is a guarded section: private data that
 * it finds does not go before its getter is done.
 */
public final class IoasidReader implements AutoCloseable {
    private final IoasidAllocator allocator;
    private final Guard guard;
    private volatile @Nullable Thread owner;

    IoasidReader(IoasidAllocator allocator, Guard guard) {
        this.allocator = allocator;
        this.guard = guard;
    }

    /** Looks an id of a set up. */
    public <T> IoasidFind find(IoasidSet<T> set, int id, IoasidGetter<? super T> getter) {
        assert isOwnThread();
        guard.enter();
        try {
            return hand(set, allocator.record(id), getter);
        } finally {
            guard.leave();
        }
    }

    /** Looks an id of any set up, for whoever knows what its private data is: the NULL set. */
    public IoasidFind find(int id, IoasidGetter<Object> getter) {
        assert isOwnThread();
        guard.enter();
        try {
            IoasidRecord record = allocator.record(id);
            if (record == null || record.isFreed) {
                return IoasidFind.MISSING;
            }
            Object data = record.data;
            if (data == null) {
                return IoasidFind.NOT_YET;
            }
            return getter.get(data) ? IoasidFind.FOUND : IoasidFind.REFUSED;
        } finally {
            guard.leave();
        }
    }

    /** Looks up by the number that an id has inside its set, a guest's PASID for instance. */
    public <T> IoasidFind findBySpid(QuotaSet<T> set, int spid, IoasidGetter<? super T> getter) {
        assert isOwnThread();
        guard.enter();
        try {
            return hand(set, set.recordBySpid(spid), getter);
        } finally {
            guard.leave();
        }
    }

    private static <T> IoasidFind hand(
            IoasidSet<T> set, @Nullable IoasidRecord record, IoasidGetter<? super T> getter) {
        if (record == null || record.isFreed) {
            return IoasidFind.MISSING;
        }
        if (!record.isOf(set)) {
            return IoasidFind.OTHER_SET;
        }
        Object data = record.data;
        if (data == null) {
            return IoasidFind.NOT_YET;
        }
        return getter.get(set.cast(data)) ? IoasidFind.FOUND : IoasidFind.REFUSED;
    }

    /** The calling thread's from now on. */
    IoasidReader open() {
        owner = Thread.currentThread();
        return this;
    }

    private boolean isOwnThread() {
        return Thread.currentThread().equals(owner);
    }

    /** Whether the calling thread is inside a getter of it. */
    boolean isInside() {
        return isOwnThread() && guard.isOpen();
    }

    /** Given back, for whoever opens the next. */
    @Override
    public void close() {
        if (owner != null) {
            owner = null;
            allocator.idle(this);
        }
    }
}
