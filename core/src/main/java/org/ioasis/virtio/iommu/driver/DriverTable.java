// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

import java.util.ArrayList;
import java.util.List;

/**
 * A page table of the driver's own that the device walks: where it is, and who goes through it.
 * What stands in it is its owner's, who says {@link DriverTables#invalidate} after a change that
 * takes something away. Driver's thread.
 */
public final class DriverTable {
    /** One address space of an endpoint; a PASID of -1 is none. */
    record Member(int endpoint, int pasid) {}

    private final int id;
    private final long root;
    private final int width;
    final List<Member> members = new ArrayList<>();

    DriverTable(int id, long root, int width) {
        this.id = id;
        this.root = root;
        this.width = width;
    }

    /** The number of its domain on the wire, unsigned. */
    public int id() {
        return id;
    }

    /** Where its top table is. */
    public long root() {
        return root;
    }

    /** Bits of an address. */
    public int width() {
        return width;
    }

    /** Address spaces that go through it. */
    public int users() {
        return members.size();
    }
}
