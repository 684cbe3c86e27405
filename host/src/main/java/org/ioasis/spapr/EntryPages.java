// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.ioasis.iommufd.TableBudget;
import org.jspecify.annotations.Nullable;

/**
 * A word for each entry of a table, in pages of 4 KiB that are there once one of their words was
 * not zero, from the budget of a node. {@link #get} any thread; changes under the table's lock.
 */
final class EntryPages {
    /** Most words: 4 TiB in pages of 4 KiB. */
    static final long MAX = 1L << 30;

    private static final int PAGE_LG2 = 9;
    private static final int PAGE = 1 << PAGE_LG2;
    private static final long BYTES = (long) PAGE * Long.BYTES;

    /** Pages that are looked up through one array: what is used far apart costs little more. */
    private static final int GROUP_LG2 = 10;

    private static final int GROUP = 1 << GROUP_LG2;

    private static final VarHandle WORD = MethodHandles.arrayElementVarHandle(long[].class);

    private final AtomicReferenceArray<@Nullable AtomicReferenceArray<long @Nullable []>> groups;
    private final TableBudget budget;
    private long pages;

    EntryPages(long words, TableBudget budget) {
        if (words < 1 || words > MAX) {
            throw new IllegalArgumentException(words + " entries");
        }
        groups = new AtomicReferenceArray<>((int) ((words - 1) >>> (PAGE_LG2 + GROUP_LG2)) + 1);
        this.budget = budget;
    }

    /** Pages that are there. */
    long pages() {
        return pages;
    }

    private long @Nullable [] page(long index) {
        @Nullable AtomicReferenceArray<long @Nullable []> group =
                groups.getAcquire((int) (index >>> (PAGE_LG2 + GROUP_LG2)));
        return group == null ? null : group.getAcquire((int) (index >>> PAGE_LG2) & (GROUP - 1));
    }

    private static int slot(long index) {
        return (int) index & (PAGE - 1);
    }

    long get(long index) {
        long[] page = page(index);
        return page == null ? 0 : (long) WORD.getAcquire(page, slot(index));
    }

    /** The next index from here on whose page is there; there need not be one. */
    long next(long index) {
        return page(index) == null ? (index | (PAGE - 1)) + 1 : index;
    }

    /** Makes room for a word that is not zero; false: there is none left. */
    boolean reserve(long index) {
        if (page(index) != null) {
            return true;
        }
        long[] page = budget.take(BYTES);
        if (page == null) {
            return false;
        }
        int at = (int) (index >>> (PAGE_LG2 + GROUP_LG2));
        @Nullable AtomicReferenceArray<long @Nullable []> group = groups.getAcquire(at);
        if (group == null) {
            group = new AtomicReferenceArray<>(GROUP);
            groups.setRelease(at, group);
        }
        group.setRelease((int) (index >>> PAGE_LG2) & (GROUP - 1), page);
        pages++;
        return true;
    }

    /** The same for all words of a range; some pages can stay if there is no room for all. */
    boolean reserve(long index, long count) {
        for (long at = index; at < index + count; at = (at | (PAGE - 1)) + 1) {
            if (!reserve(at)) {
                return false;
            }
        }
        return true;
    }

    /** Sets a word. One that is not zero has been asked {@link #reserve} for. */
    void set(long index, long word) {
        long[] page = page(index);
        if (page != null) {
            WORD.setRelease(page, slot(index), word);
        } else if (word != 0) {
            throw new IllegalStateException("no room was made for entry " + index);
        }
    }

    void fill(long index, long count, long word) {
        for (long at = index; at < index + count; ) {
            long end = Math.min(index + count, (at | (PAGE - 1)) + 1);
            if (page(at) != null || word != 0) {
                for (; at < end; at++) {
                    set(at, word);
                }
            }
            at = end;
        }
    }

    /** Gives all pages back. */
    void free() {
        for (int i = 0; i < groups.length(); i++) {
            groups.setRelease(i, null);
        }
        budget.giveBack(pages * BYTES);
        pages = 0;
    }
}
