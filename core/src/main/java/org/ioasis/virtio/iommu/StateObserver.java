// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import org.ioasis.iommu.Refusal;
import org.ioasis.iommu.Status;
import org.jspecify.annotations.Nullable;

/**
 * Sees what changes the state of an IOMMU, as numbers and in the order in which it does: an UNMAP
 * when the mapping is gone, which may be before it is answered. Called on the device's thread,
 * where it must neither block nor allocate.
 */
public interface StateObserver {
    /**
     * What becomes of a request is decided. Of an {@code ATTACH}, {@code DETACH}, {@code MAP} or
     * {@code UNMAP}, with or without a table; what a request of its type has not is 0.
     *
     * @param last inclusive
     * @param flags as they are on the wire
     * @param refusal of a check; null if it is carried out, or a listener has refused it
     */
    void decided(
            RequestType type,
            int endpoint,
            int domain,
            long first,
            long last,
            long output,
            int flags,
            Status status,
            @Nullable Refusal refusal);

    /** What endpoints reach that are attached to nothing is said anew. */
    void bypass(boolean isBypassing);

    /**
     * The device is reset: attachments, domains and mappings are gone.
     *
     * @param isMachine the whole machine is: {@code bypass} is back at its initial value
     */
    void reset(boolean isMachine);
}
