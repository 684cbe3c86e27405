// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/** What a device can be attached to, as a driver of an IOMMU makes it. Under its context's lock. */
public interface HwDomain {
    /** Nothing is attached to it any more and nothing will be. */
    default void free() {}
}
