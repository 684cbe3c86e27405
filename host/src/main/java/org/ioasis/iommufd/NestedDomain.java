// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/** A table of a guest, as the driver of an IOMMU sees it. Under its context's lock. */
public interface NestedDomain extends HwDomain, Invalidator {}
