// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

/** Takes what has been written through a domain where no guarded section sees it. Loop thread. */
@FunctionalInterface
public interface DirtySink {
    /** Something in {@code first..last}, addresses of the domain, may have been written. */
    void dirtied(long first, long last);
}
