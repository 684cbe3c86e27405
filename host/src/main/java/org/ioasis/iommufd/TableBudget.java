// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * Memory of the page tables of all programs on a node together, so that one which makes tables, or
 * maps, without end is refused and does not fill ours. Any thread.
 */
public final class TableBudget {
    /** Bytes; 32 address spaces of 16 GiB in pages of 4 KiB. */
    static final long LIMIT = 1L << 30;

    private final AtomicLong held = new AtomicLong();
    private final long limit;

    TableBudget(long limit) {
        this.limit = limit;
    }

    /** Bytes that are held. */
    public long held() {
        return held.get();
    }

    /** Zeroed memory, or null at the limit. */
    public long @Nullable [] take(long bytes) {
        while (true) {
            long now = held.get();
            if (bytes > limit - now) {
                return null;
            }
            if (held.compareAndSet(now, now + bytes)) {
                return new long[(int) (bytes / Long.BYTES)];
            }
        }
    }

    /** What was taken is no longer used. */
    public void giveBack(long bytes) {
        held.addAndGet(-bytes);
    }
}
