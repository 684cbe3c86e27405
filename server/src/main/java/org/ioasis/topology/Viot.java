package org.ioasis.topology;

import static org.ioasis.spec.ViotLayout.*;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * Writes the Virtual I/O Translation table: virtio-pci IOMMUs and the ranges of PCI functions
 * behind them. Complete, checksum included, as QEMU's {@code -acpitable file=} takes it. Any
 * thread.
 *
 * <p>IOMMU nodes come first, because a range refers to its IOMMU by a 16-bit offset.
 */
public final class Viot {
    private static final int BDF_MAX = 0xffff;
    private static final long U32_MAX = 0xffff_ffffL;

    private static final ValueLayout.OfShort U16 =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt U32 =
            ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private Viot() {}

    /**
     * Who made the table.
     *
     * @param id at most 6 ASCII characters
     * @param tableId at most 8
     * @param creator at most 4
     */
    public record Oem(String id, String tableId, String creator) {
        public static final Oem IOASIS = new Oem("IOASIS", "IOASVIOT", "IOAS");

        public Oem {
            checkText(id, OEM_ID_SIZE);
            checkText(tableId, OEM_TABLE_ID_SIZE);
            checkText(creator, CREATOR_ID_SIZE);
        }

        private static void checkText(String text, int size) {
            if (text.length() > size || !text.chars().allMatch(c -> c >= ' ' && c <= '~')) {
                throw new IllegalArgumentException(
                        "\"" + text + "\" is not at most " + size + " ASCII characters");
            }
        }
    }

    /** An IOMMU that is a PCI function itself; both u16. */
    public record Iommu(int segment, int bdf) {
        public Iommu {
            checkU16("segment", segment);
            checkU16("BDF", bdf);
        }
    }

    /**
     * Functions {@code bdfFirst..bdfLast} of one PCI segment, behind the IOMMU {@code iommu} (its
     * place in the list). Function {@code bdf} is endpoint {@code endpointFirst + bdf - bdfFirst}.
     */
    public record PciRange(int iommu, int segment, int bdfFirst, int bdfLast, long endpointFirst) {
        public PciRange {
            checkU16("segment", segment);
            checkU16("BDF", bdfFirst);
            checkU16("BDF", bdfLast);
            if (bdfLast < bdfFirst) {
                throw new IllegalArgumentException(
                        "range of BDFs ends before it starts: 0x%04x..0x%04x"
                                .formatted(bdfFirst, bdfLast));
            }
            if (endpointFirst < 0 || endpointFirst > U32_MAX - (bdfLast - bdfFirst)) {
                throw new IllegalArgumentException(
                        "endpoint ids from 0x%x on do not fit 32 bits".formatted(endpointFirst));
            }
        }

        private long endpointLast() {
            return endpointFirst + bdfLast - bdfFirst;
        }

        private boolean holds(Iommu other) {
            return other.segment == segment && bdfFirst <= other.bdf && other.bdf <= bdfLast;
        }

        private String text() {
            return "%04x:0x%04x..0x%04x".formatted(segment, bdfFirst, bdfLast);
        }
    }

    /** Whether a range may contain an IOMMU's own function; Linux passes over it then. */
    public enum OwnFunction {
        REFUSED,
        ALLOWED
    }

    /** Bus, device and function as one number. */
    public static int bdf(int bus, int device, int function) {
        if (bus < 0 || bus > 255 || device < 0 || device > 31 || function < 0 || function > 7) {
            throw new IllegalArgumentException(
                    "no PCI function %02x:%02x.%x".formatted(bus, device, function));
        }
        return bus << 8 | device << 3 | function;
    }

    /**
     * The table.
     *
     * @throws IllegalArgumentException if a function would have two IOMMUs or two functions one
     *     endpoint id, if an IOMMU is in a range and that was not asked for, or if there are more
     *     nodes than the table's 16-bit fields can count or refer to
     */
    public static byte[] table(
            Oem oem, List<Iommu> iommus, List<PciRange> ranges, OwnFunction ownFunction) {
        check(iommus, ranges, ownFunction);
        int size =
                HEADER_SIZE
                        + iommus.size() * VIRTIO_PCI_IOMMU_SIZE
                        + ranges.size() * PCI_RANGE_SIZE;
        byte[] bytes = new byte[size];
        MemorySegment table = MemorySegment.ofArray(bytes);
        text(bytes, 0, SIGNATURE);
        table.set(U32, LENGTH, size);
        text(bytes, OEM_ID, oem.id);
        text(bytes, OEM_TABLE_ID, oem.tableId);
        table.set(U32, OEM_REVISION, 1);
        text(bytes, CREATOR_ID, oem.creator);
        table.set(U32, CREATOR_REVISION, 1);
        table.set(U16, NODE_COUNT, (short) (iommus.size() + ranges.size()));
        table.set(U16, NODE_OFFSET, (short) HEADER_SIZE);
        int at = HEADER_SIZE;
        for (Iommu iommu : iommus) {
            node(table, at, VIRTIO_PCI_IOMMU, VIRTIO_PCI_IOMMU_SIZE);
            table.set(U16, at + VIRTIO_PCI_IOMMU_SEGMENT, (short) iommu.segment);
            table.set(U16, at + VIRTIO_PCI_IOMMU_BDF, (short) iommu.bdf);
            at += VIRTIO_PCI_IOMMU_SIZE;
        }
        for (PciRange range : ranges) {
            node(table, at, PCI_RANGE, PCI_RANGE_SIZE);
            table.set(U32, at + PCI_RANGE_ENDPOINT_START, (int) range.endpointFirst);
            table.set(U16, at + PCI_RANGE_SEGMENT_START, (short) range.segment);
            table.set(U16, at + PCI_RANGE_SEGMENT_END, (short) range.segment);
            table.set(U16, at + PCI_RANGE_BDF_START, (short) range.bdfFirst);
            table.set(U16, at + PCI_RANGE_BDF_END, (short) range.bdfLast);
            table.set(U16, at + PCI_RANGE_OUTPUT_NODE, (short) nodeOffset(range.iommu));
            at += PCI_RANGE_SIZE;
        }
        // ACPI 5.2.6: all bytes together are 0 modulo 256.
        byte sum = 0;
        for (byte b : bytes) {
            sum += b;
        }
        bytes[CHECKSUM] = (byte) -sum;
        return bytes;
    }

    private static int nodeOffset(int iommu) {
        return HEADER_SIZE + iommu * VIRTIO_PCI_IOMMU_SIZE;
    }

    private static void node(MemorySegment table, int at, int type, int length) {
        table.set(ValueLayout.JAVA_BYTE, at + NODE_TYPE, (byte) type);
        table.set(U16, at + NODE_LENGTH, (short) length);
    }

    private static void text(byte[] bytes, int at, String text) {
        byte[] ascii = text.getBytes(StandardCharsets.US_ASCII);
        System.arraycopy(ascii, 0, bytes, at, ascii.length);
    }

    private static void check(List<Iommu> iommus, List<PciRange> ranges, OwnFunction ownFunction) {
        if (iommus.size() + ranges.size() > 0xffff) {
            throw new IllegalArgumentException(
                    iommus.size() + ranges.size() + " nodes; a table counts 65535 at most");
        }
        if (!iommus.isEmpty() && nodeOffset(iommus.size() - 1) > 0xffff) {
            throw new IllegalArgumentException(
                    iommus.size() + " IOMMUs; a range can refer to the first 64 KiB only");
        }
        for (int i = 0; i < ranges.size(); i++) {
            PciRange range = ranges.get(i);
            if (range.iommu < 0 || range.iommu >= iommus.size()) {
                throw new IllegalArgumentException(
                        "range "
                                + range.text()
                                + " is behind IOMMU "
                                + range.iommu
                                + " of "
                                + iommus.size());
            }
            for (Iommu iommu : iommus) {
                if (ownFunction == OwnFunction.REFUSED && range.holds(iommu)) {
                    throw new IllegalArgumentException(
                            "range %s contains the IOMMU %04x:0x%04x itself"
                                    .formatted(range.text(), iommu.segment, iommu.bdf));
                }
            }
            for (PciRange other : ranges.subList(0, i)) {
                checkApart(range, other);
            }
        }
    }

    private static void checkApart(PciRange range, PciRange other) {
        if (range.segment == other.segment
                && range.bdfFirst <= other.bdfLast
                && other.bdfFirst <= range.bdfLast) {
            throw new IllegalArgumentException(
                    "ranges " + other.text() + " and " + range.text() + " overlap");
        }
        if (range.iommu == other.iommu
                && range.endpointFirst <= other.endpointLast()
                && other.endpointFirst <= range.endpointLast()) {
            throw new IllegalArgumentException(
                    "ranges " + other.text() + " and " + range.text() + " share endpoint ids");
        }
    }

    private static void checkU16(String what, int value) {
        if (value < 0 || value > BDF_MAX) {
            throw new IllegalArgumentException(what + " " + value + " is not 0..65535");
        }
    }
}
