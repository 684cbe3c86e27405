// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * Hears which memory lies behind output addresses: that of sources which have pages that are held.
 * Only those pages are anybody's to access. On the thread that holds or gives back, under the lock
 * of the node's pages.
 */
public interface HeldMemory {
    /**
     * Memory with held pages begins at an address.
     *
     * @param length in bytes
     * @param bytes the memory, of that length; null: it is reached by calls only, and so by no
     *     device
     * @return false: there is no room for it, and the pages are not held
     */
    boolean added(long address, long length, @Nullable MemorySegment bytes);

    /** No page of it is held any more. */
    void removed(long address, long length);
}
