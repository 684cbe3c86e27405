// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kvm;

import org.ioasis.iommufd.OpenFile;
import org.jspecify.annotations.Nullable;

/**
 * What VFIO offers to KVM, looked up whenever a file is registered, as the kernel looks a symbol
 * up: whoever has a file of VFIO has VFIO too. A service of {@link java.util.ServiceLoader}. Any
 * thread.
 */
@FunctionalInterface
public interface VfioSymbols {
    /** What a file is to KVM; null: it is none of VFIO. */
    @Nullable VfioFile find(OpenFile file);
}
