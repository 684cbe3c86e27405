// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * Extended Feature Register (AMD I/O Virtualization Technology (IOMMU) Specification, 3.4.3). Any
 * thread.
 */
public final class AmdFeatures {
    /** Page requests. */
    public static final long PPR = 1L << 1;

    /** Tables of guests. */
    public static final long GT = 1L << 4;

    // How many levels those have at most.
    public static final int GATS_AT = 12;
    public static final long GATS_MASK = 3;
    public static final long GATS_5_LEVELS = 1;

    private AmdFeatures() {}
}
