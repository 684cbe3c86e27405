// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

/**
 * What an entry allows and what an access asks for, as bits of an {@code int}: an access is allowed
 * if each of its bits is there at every level. Any thread.
 */
public final class Rights {
    public static final int READ = 1;
    public static final int WRITE = 2;
    public static final int EXECUTE = 4;

    /** An access that is not privileged; formats without privilege allow it everywhere. */
    public static final int USER = 8;

    public static final int ALL = READ | WRITE | EXECUTE | USER;

    private Rights() {}
}
