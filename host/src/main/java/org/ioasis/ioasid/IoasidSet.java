// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import org.ioasis.iommufd.IommufdException;
import org.jspecify.annotations.Nullable;

/**
 * Ids of one module, whose private data is of one type: who looks an id up in its own set gets
 * nothing of another type. Compared by identity. Any thread.
 *
 * @param <T> the type of private data
 */
public class IoasidSet<T> {
    private final String name;
    private final Class<T> type;

    /**
     * @param name for messages
     */
    public IoasidSet(String name, Class<T> type) {
        this.name = name;
        this.type = type;
    }

    /** Private data as what it is in this set. */
    final T cast(Object data) {
        return type.cast(data);
    }

    /** Refuses private data of another type, which no caller with types can have. */
    final void check(@Nullable Object data) {
        if (data != null && !type.isInstance(data)) {
            throw new ClassCastException(data.getClass() + " in the set " + name);
        }
    }

    /**
     * One more id is asked for. Under the allocator's lock.
     *
     * @throws IommufdException ENOSPC: it has as many as it may
     */
    void requireRoom() throws IommufdException {}

    /** It has one more id. Under the allocator's lock. */
    void added() {}

    /** An id is back in the pool, or lost. Under the allocator's lock. */
    void removed(IoasidRecord record) {}

    /** Whether somebody hears of its ids: then they come and go by its own methods. */
    boolean isManaged() {
        return false;
    }

    @Override
    public final String toString() {
        return name;
    }
}
