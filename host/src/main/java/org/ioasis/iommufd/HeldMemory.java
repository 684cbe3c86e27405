// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.lang.foreign.MemorySegment;

/**
 * Hears which memory lies behind output addresses: that of sources which can be reached as memory
 * and have pages that are held. Only those pages are anybody's to access. On the thread that holds
 * or gives back, under the lock of the node's pages.
 */
public interface HeldMemory {
    /**
     * Memory with held pages begins at an address.
     *
     * @return false: there is no room for it, and the pages are not held
     */
    boolean added(long address, MemorySegment bytes);

    /** No page of it is held any more. */
    void removed(long address, long length);
}
