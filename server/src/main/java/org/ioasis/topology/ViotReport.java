// SPDX-License-Identifier: Apache-2.0
package org.ioasis.topology;

import static org.ioasis.spec.ViotLayout.*;
import static org.ioasis.topology.Viot.function;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SortedSet;
import java.util.StringJoiner;
import org.jspecify.annotations.Nullable;

/**
 * Reads any Virtual I/O Translation table (ACPI 6.5, 5.2.36) and says in plain words what is wrong
 * with it. The bytes may be anything: what is not understood is a finding, and there is a limit on
 * everything that is kept. Immutable; any thread.
 *
 * @param nodes what the table says, as far as it can be read, in the order of the table
 * @param findings what is wrong or worth knowing, in the order of the table
 */
public record ViotReport(List<Node> nodes, List<Finding> findings) {
    /** The largest table that 65535 nodes can fill; what is longer is not looked at. */
    public static final int SIZE_MAX = HEADER_SIZE + 0xffff * PCI_RANGE_SIZE;

    /** Of the gaps of one range. */
    private static final int GAPS_SHOWN = 8;

    public ViotReport {
        nodes = List.copyOf(nodes);
        findings = List.copyOf(findings);
    }

    /**
     * One remark on the table.
     *
     * @param offset of the field that it is about
     * @param isError whether the table is wrong; otherwise it is only worth knowing
     */
    public record Finding(int offset, boolean isError, String text) {}

    /** One node; numbers are unsigned. */
    public sealed interface Node {
        /** From the start of the table. */
        int offset();

        /** The number that the table has for the kind of node. */
        int type();

        /** One line for people. */
        String text();
    }

    /** Functions behind an IOMMU. */
    public record PciRange(
            int offset,
            long endpointStart,
            int segmentStart,
            int segmentEnd,
            int bdfStart,
            int bdfEnd,
            int outputNode)
            implements Node {
        @Override
        public int type() {
            return PCI_RANGE;
        }

        /** The last endpoint's id, which need not fit 32 bits; as Linux counts. */
        long endpointEnd() {
            return endpointStart + ((long) (segmentEnd - segmentStart) << 16) + bdfEnd - bdfStart;
        }

        boolean isOrdered() {
            return segmentStart <= segmentEnd && bdfStart <= bdfEnd;
        }

        /** Names functions of more than one device. */
        boolean isWide() {
            return isOrdered() && (segmentStart != segmentEnd || bdfStart >> 3 != bdfEnd >> 3);
        }

        boolean holds(int segment, int bdf) {
            return segmentStart <= segment
                    && segment <= segmentEnd
                    && bdfStart <= bdf
                    && bdf <= bdfEnd;
        }

        boolean overlaps(PciRange other) {
            return segmentStart <= other.segmentEnd
                    && other.segmentStart <= segmentEnd
                    && bdfStart <= other.bdfEnd
                    && other.bdfStart <= bdfEnd;
        }

        @Override
        public String text() {
            return "0x%x: functions %s to %s are endpoints 0x%x to 0x%x behind the IOMMU at 0x%x"
                    .formatted(
                            offset,
                            function(segmentStart, bdfStart),
                            function(segmentEnd, bdfEnd),
                            endpointStart,
                            endpointEnd(),
                            outputNode);
        }
    }

    /** A device with registers in memory, behind an IOMMU. */
    public record MmioEndpoint(int offset, long endpoint, long base, int outputNode)
            implements Node {
        @Override
        public int type() {
            return MMIO_ENDPOINT;
        }

        @Override
        public String text() {
            return "0x%x: the device at address 0x%x is endpoint 0x%x behind the IOMMU at 0x%x"
                    .formatted(offset, base, endpoint, outputNode);
        }
    }

    /** A virtio-iommu that is a PCI function. */
    public record PciIommu(int offset, int segment, int bdf) implements Node {
        @Override
        public int type() {
            return VIRTIO_PCI_IOMMU;
        }

        @Override
        public String text() {
            return "0x%x: virtio-iommu at %s".formatted(offset, function(segment, bdf));
        }
    }

    /** A virtio-iommu with registers in memory. */
    public record MmioIommu(int offset, long base) implements Node {
        @Override
        public int type() {
            return VIRTIO_MMIO_IOMMU;
        }

        @Override
        public String text() {
            return "0x%x: virtio-iommu with registers at 0x%x".formatted(offset, base);
        }
    }

    /**
     * What is no mistake of the table and may cost the guest its IOMMU: ranges over more than one
     * device. Linux 7 asks for every function that it finds in a range, and gives up the whole
     * IOMMU, without a word, at the first that is no endpoint of it.
     */
    public List<Finding> warnings() {
        List<Finding> warnings = new ArrayList<>();
        for (Node node : nodes) {
            if (node instanceof PciRange range && range.isWide()) {
                warnings.add(
                        new Finding(
                                range.offset,
                                false,
                                Viot.wide(
                                        function(range.segmentStart, range.bdfStart),
                                        function(range.segmentEnd, range.bdfEnd))));
            }
        }
        return List.copyOf(warnings);
    }

    /**
     * Ranges with ids that nobody would answer for, where it is known what is served: of more use
     * than {@link #warnings}.
     *
     * @param served the endpoints of each IOMMU, by its function: segment and BDF in 16 bits each
     */
    public List<Finding> unserved(Map<Integer, ? extends SortedSet<Long>> served) {
        List<Finding> unserved = new ArrayList<>();
        for (Node node : nodes) {
            if (node instanceof PciRange range
                    && range.isOrdered()
                    && at(range.outputNode) instanceof PciIommu iommu) {
                SortedSet<Long> ids = served.get(iommu.segment << 16 | iommu.bdf);
                String text =
                        ids == null
                                ? "its IOMMU %s is not served"
                                        .formatted(function(iommu.segment, iommu.bdf))
                                : gaps(range, ids);
                if (!text.isEmpty()) {
                    unserved.add(new Finding(range.offset, false, text));
                }
            }
        }
        return List.copyOf(unserved);
    }

    private @Nullable Node at(int offset) {
        return nodes.stream().filter(node -> node.offset() == offset).findFirst().orElse(null);
    }

    /** Which ids of the range are not among these; empty if all are. */
    private static String gaps(PciRange range, SortedSet<Long> ids) {
        StringJoiner gaps = new StringJoiner(", ");
        long from = range.endpointStart;
        int count = 0;
        long end = range.endpointEnd() + 1;
        for (long id : ids.subSet(from, end)) {
            if (id > from && count++ < GAPS_SHOWN) {
                gaps.add(gap(from, id - 1));
            }
            from = id + 1;
        }
        if (from < end && count++ < GAPS_SHOWN) {
            gaps.add(gap(from, end - 1));
        }
        return count == 0
                ? ""
                : "no endpoint answers for %s%s: Linux 7 gives up the whole IOMMU if it finds a function there"
                        .formatted(
                                gaps,
                                count > GAPS_SHOWN
                                        ? " and %d more".formatted(count - GAPS_SHOWN)
                                        : "");
    }

    private static String gap(long first, long last) {
        return first == last ? "0x%x".formatted(first) : "0x%x-0x%x".formatted(first, last);
    }

    /** Nothing wrong; perhaps something worth knowing. */
    public boolean isValid() {
        return findings.stream().noneMatch(Finding::isError);
    }

    /** Looks at a table. Never throws, whatever the bytes are. */
    public static ViotReport of(byte[] bytes) {
        ViotReader reader = new ViotReader(bytes);
        reader.read();
        return reader.report();
    }
}
