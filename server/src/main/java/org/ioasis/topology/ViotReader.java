// SPDX-License-Identifier: Apache-2.0
package org.ioasis.topology;

import static org.ioasis.spec.ViotLayout.*;
import static org.ioasis.topology.Viot.function;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.ioasis.topology.ViotReport.Finding;
import org.ioasis.topology.ViotReport.MmioEndpoint;
import org.ioasis.topology.ViotReport.MmioIommu;
import org.ioasis.topology.ViotReport.Node;
import org.ioasis.topology.ViotReport.PciIommu;
import org.ioasis.topology.ViotReport.PciRange;

/**
 * One reading of a table, for {@link ViotReport#of}: its header, its nodes as far as they can be
 * made out, then what they say of each other. One thread.
 */
final class ViotReader {
    private static final int FINDINGS_MAX = 100;

    /** Overlaps are looked for by comparing each with each, among as many nodes as this. */
    private static final int COMPARED_MAX = 2048;

    private static final long U32_MAX = 0xffff_ffffL;

    private final byte[] bytes;
    private final List<Node> nodes = new ArrayList<>();
    private final Map<Integer, Node> byOffset = new HashMap<>();
    private final List<Finding> findings = new ArrayList<>();
    private int dropped;

    /** Where the table ends: the length that it says, or the end of the bytes. */
    private int end;

    ViotReader(byte[] bytes) {
        this.bytes = bytes;
    }

    ViotReport report() {
        List<Finding> sorted = new ArrayList<>(findings);
        sorted.sort(Comparator.comparingInt(Finding::offset));
        if (dropped > 0) {
            sorted.add(new Finding(0, true, dropped + " more findings are not shown"));
        }
        return new ViotReport(nodes, sorted);
    }

    private void find(boolean isError, int offset, String text) {
        if (findings.size() == FINDINGS_MAX) {
            // A note that is not shown must not look like an error.
            dropped += isError ? 1 : 0;
            return;
        }
        findings.add(new Finding(offset, isError, text));
    }

    private void error(int offset, String text) {
        find(true, offset, text);
    }

    private void note(int offset, String text) {
        find(false, offset, text);
    }

    private int u8(int at) {
        return Byte.toUnsignedInt(bytes[at]);
    }

    private int u16(int at) {
        return u8(at) | u8(at + 1) << 8;
    }

    private long u32(int at) {
        return Integer.toUnsignedLong(u16(at) | u16(at + 2) << 16);
    }

    private long u64(int at) {
        return u32(at) | u32(at + 4) << 32;
    }

    void read() {
        if (bytes.length < HEADER_SIZE) {
            error(0, "%d bytes are no table: its header alone has 48".formatted(bytes.length));
            return;
        }
        if (bytes.length > ViotReport.SIZE_MAX) {
            error(
                    0,
                    "larger than any table can be (%d bytes): not looked at"
                            .formatted(ViotReport.SIZE_MAX));
            return;
        }
        header();
        nodes();
        references();
        iommus();
        endpoints();
    }

    private void header() {
        for (int i = 0; i < SIGNATURE.length(); i++) {
            if (u8(i) != SIGNATURE.charAt(i)) {
                error(0, "the signature is not \"VIOT\": this is another table, or none");
                break;
            }
        }
        long length = u32(LENGTH);
        end = bytes.length;
        if (length > bytes.length) {
            error(
                    LENGTH,
                    "the length field says %d bytes, but there are only %d: the table is cut off"
                            .formatted(length, bytes.length));
        } else if (length < HEADER_SIZE) {
            error(
                    LENGTH,
                    "the length field says %d bytes, less than the header has".formatted(length));
        } else if (length < bytes.length) {
            error(
                    LENGTH,
                    "the length field says %d bytes, but there are %d: a guest sees the first %d only"
                            .formatted(length, bytes.length, length));
            end = (int) length;
        }
        if (u8(REVISION) != 0) {
            note(REVISION, "revision %d; what is known here is revision 0".formatted(u8(REVISION)));
        }
        checksum();
        text(OEM_ID, OEM_ID_SIZE, "OEM id");
        text(OEM_TABLE_ID, OEM_TABLE_ID_SIZE, "OEM table id");
        text(CREATOR_ID, CREATOR_ID_SIZE, "creator id");
        reserved(RESERVED, RESERVED_SIZE);
    }

    private void checksum() {
        int sum = 0;
        for (int i = 0; i < end; i++) {
            sum += u8(i);
        }
        if ((sum & 0xff) != 0) {
            int right = u8(CHECKSUM) - sum & 0xff;
            error(
                    CHECKSUM,
                    "the checksum is 0x%02x and should be 0x%02x: guests ignore the table%s"
                            .formatted(
                                    u8(CHECKSUM),
                                    right,
                                    u8(CHECKSUM) == 0 ? " (QEMU fills in one that is 0)" : ""));
        }
    }

    private void text(int at, int size, String what) {
        for (int i = at; i < at + size; i++) {
            if (u8(i) != 0 && (u8(i) < ' ' || u8(i) > '~')) {
                note(i, "the %s is not ASCII".formatted(what));
                return;
            }
        }
    }

    private void reserved(int at, int size) {
        for (int i = at; i < at + size; i++) {
            if (u8(i) != 0) {
                note(i, "a reserved byte is 0x%02x and not 0".formatted(u8(i)));
                return;
            }
        }
    }

    private void nodes() {
        int count = u16(NODE_COUNT);
        int at = u16(NODE_OFFSET);
        if (count == 0) {
            error(NODE_COUNT, "the table has no nodes: it describes nothing");
        }
        if (at < HEADER_SIZE || at > end) {
            error(
                    NODE_OFFSET,
                    "the nodes start at 0x%x, which is %s"
                            .formatted(
                                    at,
                                    at < HEADER_SIZE
                                            ? "inside of the header"
                                            : "behind the end of the table"));
            return;
        }
        if (at > HEADER_SIZE) {
            note(NODE_OFFSET, "%d bytes between header and nodes".formatted(at - HEADER_SIZE));
        }
        for (int i = 0; i < count; i++) {
            if (end - at < NODE_HEADER_SIZE) {
                error(
                        NODE_COUNT,
                        "the table says %d nodes and ends after %d: the rest is cut off"
                                .formatted(count, i));
                return;
            }
            int length = u16(at + NODE_LENGTH);
            if (length < NODE_HEADER_SIZE) {
                error(
                        at + NODE_LENGTH,
                        "the node's length is %d, less than its own head: what follows cannot be found"
                                .formatted(length));
                return;
            }
            if (length > end - at) {
                error(
                        at + NODE_LENGTH,
                        "the node's length is %d, but the table ends after %d bytes of it"
                                .formatted(length, end - at));
                return;
            }
            node(at, length);
            at += length;
        }
        if (at < end) {
            error(
                    at,
                    "%d bytes behind the last of %d nodes belong to none: is the count of nodes wrong?"
                            .formatted(end - at, count));
        }
    }

    private void node(int at, int length) {
        int type = u8(at + NODE_TYPE);
        int size =
                switch (type) {
                    case PCI_RANGE -> PCI_RANGE_SIZE;
                    case MMIO_ENDPOINT -> MMIO_ENDPOINT_SIZE;
                    case VIRTIO_PCI_IOMMU -> VIRTIO_PCI_IOMMU_SIZE;
                    case VIRTIO_MMIO_IOMMU -> VIRTIO_MMIO_IOMMU_SIZE;
                    default -> 0;
                };
        if (size == 0) {
            error(at, "a node of type %d, which is not known: guests pass over it".formatted(type));
            return;
        }
        if (length != size) {
            error(
                    at + NODE_LENGTH,
                    "a node of type %d has %d bytes, and this one says %d"
                            .formatted(type, size, length));
            if (length < size) {
                return;
            }
        }
        reserved(at + 1, 1);
        Node node =
                switch (type) {
                    case PCI_RANGE ->
                            new PciRange(
                                    at,
                                    u32(at + PCI_RANGE_ENDPOINT_START),
                                    u16(at + PCI_RANGE_SEGMENT_START),
                                    u16(at + PCI_RANGE_SEGMENT_END),
                                    u16(at + PCI_RANGE_BDF_START),
                                    u16(at + PCI_RANGE_BDF_END),
                                    u16(at + PCI_RANGE_OUTPUT_NODE));
                    case MMIO_ENDPOINT ->
                            new MmioEndpoint(
                                    at,
                                    u32(at + MMIO_ENDPOINT_ID),
                                    u64(at + MMIO_ENDPOINT_BASE),
                                    u16(at + MMIO_ENDPOINT_OUTPUT_NODE));
                    case VIRTIO_PCI_IOMMU ->
                            new PciIommu(
                                    at,
                                    u16(at + VIRTIO_PCI_IOMMU_SEGMENT),
                                    u16(at + VIRTIO_PCI_IOMMU_BDF));
                    default -> new MmioIommu(at, u64(at + VIRTIO_MMIO_IOMMU_BASE));
                };
        nodes.add(node);
        byOffset.put(at, node);
    }

    /** Where each endpoint says that its IOMMU is. */
    private void references() {
        Set<Integer> used = new HashSet<>();
        for (Node node : nodes) {
            switch (node) {
                case PciRange range ->
                        reference(
                                range.offset() + PCI_RANGE_OUTPUT_NODE,
                                range.offset(),
                                range.outputNode(),
                                used);
                case MmioEndpoint endpoint ->
                        reference(
                                endpoint.offset() + MMIO_ENDPOINT_OUTPUT_NODE,
                                endpoint.offset(),
                                endpoint.outputNode(),
                                used);
                case PciIommu _, MmioIommu _ -> {}
            }
        }
        for (Node node : nodes) {
            if ((node instanceof PciIommu || node instanceof MmioIommu)
                    && !used.contains(node.offset())) {
                note(node.offset(), "nothing is behind this IOMMU");
            }
        }
    }

    private void reference(int field, int offset, int target, Set<Integer> used) {
        Node node = byOffset.get(target);
        if (node instanceof PciIommu || node instanceof MmioIommu) {
            used.add(target);
            if (target > offset) {
                note(
                        field,
                        "the IOMMU at 0x%x comes after this node, usually before"
                                .formatted(target));
            }
        } else if (node != null) {
            error(
                    field,
                    "the output node 0x%x is no IOMMU but type %d".formatted(target, node.type()));
        } else {
            error(
                    field,
                    "no node starts at 0x%x, where the IOMMU should be: nothing of this is translated"
                            .formatted(target));
        }
    }

    private void iommus() {
        Map<String, Integer> places = new HashMap<>();
        for (Node node : nodes) {
            String place =
                    switch (node) {
                        case PciIommu iommu -> function(iommu.segment(), iommu.bdf());
                        case MmioIommu iommu -> "0x%x".formatted(iommu.base());
                        case PciRange _, MmioEndpoint _ -> "";
                    };
            if (!place.isEmpty()) {
                Integer other = places.putIfAbsent(place, node.offset());
                if (other != null) {
                    error(node.offset(), "the IOMMU at 0x%x is at %s too".formatted(other, place));
                }
            }
        }
    }

    private void endpoints() {
        List<PciRange> ranges = new ArrayList<>();
        List<MmioEndpoint> mmio = new ArrayList<>();
        List<PciIommu> iommus = new ArrayList<>();
        for (Node node : nodes) {
            switch (node) {
                case PciRange range -> ranges.add(range);
                case MmioEndpoint endpoint -> mmio.add(endpoint);
                case PciIommu iommu -> iommus.add(iommu);
                case MmioIommu _ -> {}
            }
        }
        for (PciRange range : ranges) {
            order(range);
        }
        if (nodes.size() > COMPARED_MAX) {
            note(
                    NODE_COUNT,
                    "overlaps are looked for among the first %d of each kind of %d nodes"
                            .formatted(COMPARED_MAX, nodes.size()));
        }
        List<PciRange> compared = ranges.stream().limit(COMPARED_MAX).toList();
        for (int i = 0; i < compared.size(); i++) {
            PciRange range = compared.get(i);
            for (PciIommu iommu : iommus.subList(0, Math.min(iommus.size(), COMPARED_MAX))) {
                self(range, iommu);
            }
            for (PciRange other : compared.subList(0, i)) {
                apart(other, range);
            }
        }
        mmio(mmio.stream().limit(COMPARED_MAX).toList(), compared);
    }

    private void order(PciRange range) {
        if (range.segmentStart() > range.segmentEnd()) {
            error(
                    range.offset() + PCI_RANGE_SEGMENT_END,
                    "the last segment %04x is before the first %04x"
                            .formatted(range.segmentEnd(), range.segmentStart()));
        }
        if (range.bdfStart() > range.bdfEnd()) {
            error(
                    range.offset() + PCI_RANGE_BDF_END,
                    "the last function 0x%04x is before the first 0x%04x"
                            .formatted(range.bdfEnd(), range.bdfStart()));
        }
        if (range.isOrdered() && range.endpointEnd() > U32_MAX) {
            error(
                    range.offset() + PCI_RANGE_ENDPOINT_START,
                    "endpoint ids from 0x%x on do not fit 32 bits for that many functions"
                            .formatted(range.endpointStart()));
        }
    }

    private void self(PciRange range, PciIommu iommu) {
        if (!range.holds(iommu.segment(), iommu.bdf())) {
            return;
        }
        if (range.outputNode() == iommu.offset()) {
            note(
                    range.offset(),
                    "the range holds its own IOMMU %s; Linux passes over it, others may not"
                            .formatted(function(iommu.segment(), iommu.bdf())));
        } else {
            error(
                    range.offset(),
                    "the range holds another IOMMU, %s, whose own accesses would be translated"
                            .formatted(function(iommu.segment(), iommu.bdf())));
        }
    }

    private void apart(PciRange one, PciRange other) {
        if (!one.isOrdered() || !other.isOrdered()) {
            return;
        }
        if (one.overlaps(other)) {
            error(
                    other.offset(),
                    "shares functions with the range at 0x%x".formatted(one.offset()));
        }
        if (one.outputNode() == other.outputNode()
                && one.endpointStart() <= other.endpointEnd()
                && other.endpointStart() <= one.endpointEnd()) {
            error(
                    other.offset(),
                    "shares endpoint ids with the range at 0x%x behind the same IOMMU"
                            .formatted(one.offset()));
        }
    }

    private void mmio(List<MmioEndpoint> endpoints, List<PciRange> ranges) {
        for (int i = 0; i < endpoints.size(); i++) {
            MmioEndpoint endpoint = endpoints.get(i);
            for (MmioEndpoint other : endpoints.subList(0, i)) {
                if (other.base() == endpoint.base()) {
                    error(
                            endpoint.offset(),
                            "the device at 0x%x stands at 0x%x already"
                                    .formatted(endpoint.base(), other.offset()));
                }
                if (other.outputNode() == endpoint.outputNode()
                        && other.endpoint() == endpoint.endpoint()) {
                    error(
                            endpoint.offset(),
                            "shares its endpoint id 0x%x with the node at 0x%x"
                                    .formatted(endpoint.endpoint(), other.offset()));
                }
            }
            for (PciRange range : ranges) {
                if (range.outputNode() == endpoint.outputNode()
                        && range.isOrdered()
                        && range.endpointStart() <= endpoint.endpoint()
                        && endpoint.endpoint() <= range.endpointEnd()) {
                    error(
                            endpoint.offset(),
                            "shares its endpoint id 0x%x with the range at 0x%x"
                                    .formatted(endpoint.endpoint(), range.offset()));
                }
            }
        }
    }
}
