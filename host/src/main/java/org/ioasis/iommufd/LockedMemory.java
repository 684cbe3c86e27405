// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.util.concurrent.atomic.AtomicLong;

/**
 * What a process is charged for pages that are held for it: counters only, no page is locked by
 * them. Numbers of pages. Any thread.
 */
public final class LockedMemory {
    private final AtomicLong pinned = new AtomicLong();
    private final AtomicLong locked = new AtomicLong();
    private final AtomicLong user;
    private final long limitPages;

    /**
     * @param user pages charged to the user whose process it is, shared by that user's processes
     * @param limitPages RLIMIT_MEMLOCK in pages; negative: none
     */
    public LockedMemory(AtomicLong user, long limitPages) {
        this.user = user;
        this.limitPages = limitPages;
    }

    /** Pages held: VmPin. */
    public long pinned() {
        return pinned.get();
    }

    /** Pages charged to the process: VmLck. */
    public long locked() {
        return locked.get();
    }

    /** Pages charged to the user. */
    public long user() {
        return user.get();
    }

    /** Most pages that are charged to an account; negative: any number. */
    public long limitPages() {
        return limitPages;
    }

    void pin(long pages) {
        pinned.addAndGet(pages);
    }

    boolean chargeProcess(long pages) {
        return charge(locked, pages);
    }

    boolean chargeUser(long pages) {
        return charge(user, pages);
    }

    /**
     * Charges the process, for all that is not charged page by page as it is held.
     *
     * @param pages what is given back is negative, and never refused
     * @param mayExceed CAP_IPC_LOCK: it is counted, and the limit does not count
     * @return false, and nothing is charged: the limit is reached
     */
    public boolean chargeProcess(long pages, boolean mayExceed) {
        if (mayExceed || pages < 0) {
            locked.addAndGet(pages);
            return true;
        }
        return charge(locked, pages);
    }

    private boolean charge(AtomicLong account, long pages) {
        while (true) {
            long now = account.get();
            if (pages > 0 && limitPages >= 0 && now + pages > limitPages) {
                return false;
            }
            if (account.compareAndSet(now, now + pages)) {
                return true;
            }
        }
    }
}
