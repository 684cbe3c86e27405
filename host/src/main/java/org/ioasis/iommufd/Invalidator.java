// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.lang.foreign.MemorySegment;

/**
 * Who forgets what is cached of a guest's tables, by entries in a format of its own: a table of the
 * guest's, or a vIOMMU. Under its context's lock.
 */
public interface Invalidator {
    /**
     * Carries out entries where they are, in their order: each word of one is read once, since a
     * guest may write it meanwhile. Ends before the first that is refused. Allocates nothing.
     *
     * @param type what the entries are; none of them asks only whether the type is known
     * @param offset of the first
     * @param entryLength from one to the next
     * @return {@link Handled}
     */
    long invalidate(int type, MemorySegment entries, long offset, int entryLength, int count);
}
