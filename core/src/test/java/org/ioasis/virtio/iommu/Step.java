// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import java.util.HexFormat;
import org.ioasis.memory.Access;
import org.ioasis.virtqueue.MockDriver.Layout;
import org.ioasis.virtqueue.RingFormat;

/** One thing that a driver, an endpoint or a VMM does to the device. Immutable data. */
sealed interface Step {
    /**
     * A request; several without a kick between them are one batch.
     *
     * @param hex its device-readable bytes
     */
    record Ask(String hex, int writable, Layout layout, int inPiece, int outPiece, boolean isKicked)
            implements Step {
        Ask(
                byte[] request,
                int writable,
                Layout layout,
                int inPiece,
                int outPiece,
                boolean isKicked) {
            this(HexFormat.of().formatHex(request), writable, layout, inPiece, outPiece, isKicked);
        }

        byte[] request() {
            return HexFormat.of().parseHex(hex);
        }
    }

    /** An endpoint's access. */
    record Touch(int endpoint, long iova, Access access) implements Step {
        @Override
        public String toString() {
            return "endpoint 0x%x: %s at 0x%x".formatted(endpoint, access, iova);
        }
    }

    /** A write to the configuration. */
    record Config(int offset, int size, long value) implements Step {}

    /** Reset, and the next driver with these features of the device type. */
    record Restart(long features, boolean hasEventIdx, RingFormat ring, boolean isOfTheMachine)
            implements Step {}

    /** Buffers for events, with or without a kick. */
    record Buffers(int count, int length, boolean isKicked) implements Step {}

    /**
     * A region of memory goes, the request is sent, the region comes back.
     *
     * @param isMoved the device is saved and restored while the memory is away
     */
    record Away(long gpa, Ask ask, boolean isMoved) implements Step {}

    /** The device is saved, and a new one that was made from that goes on. */
    record Move() implements Step {}

    /** A chain that breaks the rules in one of several ways; the next driver follows. */
    record Hostile(int kind, int number) implements Step {}

    /** The request queue is reset alone and enabled again. */
    record QueueReset() implements Step {}
}
