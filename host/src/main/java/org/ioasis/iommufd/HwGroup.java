// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import org.jspecify.annotations.Nullable;

/**
 * Devices that an IOMMU cannot tell apart: one context owns all of them, and all see the same. Any
 * thread.
 */
public final class HwGroup {
    private @Nullable Object owner;
    private int claims;

    /** One more device of the group is the owner's; false: it is another's. */
    synchronized boolean claim(Object by) {
        if (claims > 0 && !by.equals(owner)) {
            return false;
        }
        owner = by;
        claims++;
        return true;
    }

    synchronized void release() {
        if (--claims == 0) {
            owner = null;
        }
    }
}
