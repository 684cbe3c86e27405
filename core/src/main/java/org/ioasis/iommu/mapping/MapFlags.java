// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

import org.ioasis.memory.Access;

/** Bits that a mapping carries. The permissions are the bits of {@link Access}. Any thread. */
public final class MapFlags {
    public static final int READ = 1;
    public static final int WRITE = 2;

    /** Memory type, not a permission: the output is device registers (virtio 1.4, 5.13.6.5). */
    public static final int MMIO = 4;

    private MapFlags() {}
}
