// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.net;

import java.lang.foreign.MemorySegment;

/** What a {@link Link} leads to: the guest's side. Device's thread, outside guarded sections. */
public interface Station {
    /**
     * A frame for the guest has come. It is copied at once and goes to the guest in a turn of its
     * own.
     *
     * @return false if it was dropped, which is counted
     */
    boolean receive(MemorySegment from, long offset, int length);

    /** The link has room again for what it had none for. */
    void writable();

    /** The link has come or gone (virtio 1.4, 5.1.4). */
    void link(boolean isUp);
}
