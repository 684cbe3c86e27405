// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.virtqueue.ChainState;
import org.ioasis.virtqueue.DeviceQueue;
import org.ioasis.virtqueue.PackedState;
import org.ioasis.virtqueue.RingFormat;
import org.ioasis.virtqueue.RingState;
import org.ioasis.virtqueue.SplitState;

/**
 * Rings and chains in a saved state. The format of the rings is not written: it follows from the
 * negotiated features. Any thread.
 */
final class SavedRing {
    private SavedRing() {}

    static void write(SaveWriter out, RingState ring) {
        out.text(ring.state().name());
        out.text(ring.brokenReason());
        switch (ring) {
            case SplitState split -> write(out, split);
            case PackedState packed -> write(out, packed);
        }
    }

    private static void write(SaveWriter out, SplitState ring) {
        out.u16(ring.poppedIdx());
        out.u16(ring.pushedIdx());
        out.u16(ring.publishedIdx());
        out.bit(ring.areKicksSuppressed());
        out.i32(ring.unpublished().size());
        for (SplitState.UsedElement element : ring.unpublished()) {
            out.u16(element.head());
            out.i32(element.written());
        }
    }

    private static void write(SaveWriter out, PackedState ring) {
        out.u16(ring.popped());
        out.u16(ring.published());
        out.u16(ring.inFlight());
        out.bit(ring.areKicksSuppressed());
        out.i32(ring.unpublished().size());
        for (PackedState.UsedElement element : ring.unpublished()) {
            out.u16(element.id());
            out.i32(element.written());
            out.u16(element.descriptors());
        }
    }

    static RingState read(SaveReader in, RingFormat format) throws RestoreException {
        DeviceQueue.State state = in.one(DeviceQueue.State.values());
        String reason = in.text();
        return switch (format) {
            case SPLIT -> readSplit(in, state, reason);
            case PACKED -> readPacked(in, state, reason);
        };
    }

    private static SplitState readSplit(SaveReader in, DeviceQueue.State state, String reason)
            throws RestoreException {
        int popped = in.u16();
        int pushed = in.u16();
        int published = in.u16();
        boolean suppressed = in.bit();
        List<SplitState.UsedElement> unpublished = new ArrayList<>();
        for (int left = in.count(6); left > 0; left--) {
            unpublished.add(new SplitState.UsedElement(in.u16(), in.i32()));
        }
        return new SplitState(state, reason, popped, pushed, published, suppressed, unpublished);
    }

    private static PackedState readPacked(SaveReader in, DeviceQueue.State state, String reason)
            throws RestoreException {
        int popped = in.u16();
        int published = in.u16();
        int inFlight = in.u16();
        boolean suppressed = in.bit();
        List<PackedState.UsedElement> unpublished = new ArrayList<>();
        for (int left = in.count(8); left > 0; left--) {
            unpublished.add(new PackedState.UsedElement(in.u16(), in.i32(), in.u16()));
        }
        return new PackedState(state, reason, popped, published, inFlight, suppressed, unpublished);
    }

    static void write(SaveWriter out, ChainState chain, RingFormat format) {
        out.u16(chain.head());
        if (format == RingFormat.PACKED) {
            out.u16(chain.descriptors());
        }
        out.u16(chain.readableCount());
        out.i32(chain.pieces().size());
        for (ChainState.Piece piece : chain.pieces()) {
            out.i64(piece.address());
            out.i32((int) piece.length());
        }
    }

    static ChainState readChain(SaveReader in, RingFormat format) throws RestoreException {
        int head = in.u16();
        int descriptors = format == RingFormat.PACKED ? in.u16() : 0;
        int readable = in.u16();
        List<ChainState.Piece> pieces = new ArrayList<>();
        for (int left = in.count(12); left > 0; left--) {
            pieces.add(new ChainState.Piece(in.i64(), in.u32()));
        }
        return new ChainState(head, descriptors, readable, pieces);
    }
}
