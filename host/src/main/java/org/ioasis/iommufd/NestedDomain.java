// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/** A table of a guest, as the driver of an IOMMU sees it. Under its context's lock. */
public interface NestedDomain extends HwDomain {
    /**
     * Forgets cached translations, entry by entry; {@link UserArray#done} says how many.
     *
     * @throws IommufdException of the entry that was refused
     */
    void invalidate(UserArray entries) throws IommufdException;
}
