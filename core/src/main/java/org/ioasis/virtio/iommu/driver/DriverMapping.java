// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

/** One mapping of a domain, both ends included. Driver's thread. */
final class DriverMapping {
    /** What the device knows of it. */
    enum State {
        MAPPED,
        /** Its MAP is in a batch. */
        ASKED,
        /** Its UNMAP is in a batch. */
        LEAVING
    }

    final long first;
    final long last;
    final long output;
    final int flags;
    State state = State.ASKED;

    DriverMapping(long first, long last, long output, int flags) {
        this.first = first;
        this.last = last;
        this.output = output;
        this.flags = flags;
    }

    @Override
    public String toString() {
        return "0x%x..0x%x".formatted(first, last);
    }
}
