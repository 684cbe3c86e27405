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
    private final TableShape shape;
    final List<Member> members = new ArrayList<>();

    DriverTable(int id, TableShape shape) {
        this.id = id;
        this.shape = shape;
    }

    /** The number of its domain on the wire, unsigned. */
    public int id() {
        return id;
    }

    /** What the device is told of it. */
    public TableShape shape() {
        return shape;
    }

    /** Address spaces that go through it. */
    public int users() {
        return members.size();
    }
}
