// SPDX-License-Identifier: Apache-2.0
package org.ioasis.topology;

import static org.ioasis.spec.ViotLayout.*;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Optional;

/**
 * Writes the Virtual I/O Translation table: virtio-iommu devices on PCI or at an address, and the
 * ranges of PCI functions and the platform devices behind them. Complete, checksum included, as
 * QEMU's {@code -acpitable file=} takes it. Any thread.
 *
 * <p>IOMMU nodes come first, because a range refers to its IOMMU by a 16-bit offset.
 */
public final class Viot {
    private static final int BDF_MAX = 0xffff;
    private static final long U32_MAX = 0xffff_ffffL;

    private static final ValueLayout.OfShort U16 =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong U64 =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
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

        /** Of a table that a server has made for as long as it runs. */
        public static final Oem SERVED = new Oem("IOASIS", "IOASERVE", "IOAS");

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

    /** An IOMMU. */
    public sealed interface Unit permits Iommu, MmioIommu {}

    /** What is behind an IOMMU. */
    public sealed interface Behind permits PciRange, MmioEndpoint {
        /** The IOMMU's place in the list. */
        int iommu();

        /** The lowest endpoint id, 32-bit unsigned. */
        long endpointFirst();

        /** The highest one. */
        long endpointLast();

        /** For messages. */
        String text();
    }

    /** An IOMMU that is a PCI function itself; both u16. */
    public record Iommu(int segment, int bdf) implements Unit {
        public Iommu {
            checkU16("segment", segment);
            checkU16("BDF", bdf);
        }
    }

    /**
     * An IOMMU that is a virtio-mmio device.
     *
     * @param base guest-physical address of its registers
     */
    public record MmioIommu(long base) implements Unit {}

    /**
     * A platform device behind the IOMMU {@code iommu} (its place in the list).
     *
     * @param base guest-physical address of its registers
     * @param endpoint its id, 32-bit unsigned
     */
    public record MmioEndpoint(int iommu, long base, long endpoint) implements Behind {
        public MmioEndpoint {
            if (endpoint < 0 || endpoint > U32_MAX) {
                throw new IllegalArgumentException(
                        "endpoint id 0x%x does not fit 32 bits".formatted(endpoint));
            }
        }

        @Override
        public long endpointFirst() {
            return endpoint;
        }

        @Override
        public long endpointLast() {
            return endpoint;
        }

        @Override
        public String text() {
            return "at 0x%x".formatted(base);
        }
    }

    /**
     * Functions {@code bdfFirst..bdfLast} of one PCI segment, behind the IOMMU {@code iommu} (its
     * place in the list). Function {@code bdf} is endpoint {@code endpointFirst + bdf - bdfFirst}.
     */
    public record PciRange(int iommu, int segment, int bdfFirst, int bdfLast, long endpointFirst)
            implements Behind {
        public PciRange {
            checkU16("segment", segment);
            checkU16("BDF", bdfFirst);
            checkU16("BDF", bdfLast);
            if (bdfLast < bdfFirst) {
                throw new IllegalArgumentException(
                        "range of functions ends before it starts: %s to %s"
                                .formatted(
                                        function(segment, bdfFirst), function(segment, bdfLast)));
            }
            if (endpointFirst < 0 || endpointFirst > U32_MAX - (bdfLast - bdfFirst)) {
                throw new IllegalArgumentException(
                        "endpoint ids from 0x%x on do not fit 32 bits".formatted(endpointFirst));
            }
        }

        @Override
        public long endpointLast() {
            return endpointFirst + bdfLast - bdfFirst;
        }

        /**
         * Why it may be too wide, for people; empty if it names functions of one device only. See
         * {@link ViotReport#warnings}.
         */
        public Optional<String> warning() {
            return bdfFirst >> 3 == bdfLast >> 3
                    ? Optional.empty()
                    : Optional.of(wide(function(segment, bdfFirst), function(segment, bdfLast)));
        }

        boolean holds(Iommu other) {
            return other.segment == segment && bdfFirst <= other.bdf && other.bdf <= bdfLast;
        }

        @Override
        public String text() {
            return bdfFirst == bdfLast
                    ? function(segment, bdfFirst)
                    : function(segment, bdfFirst) + " to " + function(segment, bdfLast);
        }
    }

    /** Whether a range may contain an IOMMU's own function; Linux passes over it then. */
    public enum OwnFunction {
        REFUSED,
        ALLOWED
    }

    /** Segment, bus, device and function as people write them. */
    public static String function(int segment, int bdf) {
        return "%04x:%02x:%02x.%x".formatted(segment, bdf >> 8, bdf >> 3 & 0x1f, bdf & 7);
    }

    static String wide(String first, String last) {
        return "the range %s to %s names more than one device: every function that the guest finds in it must be"
                        .formatted(first, last)
                + " an endpoint, or Linux 7 gives up the whole IOMMU without a word; name what is there, or declare"
                + " the others (serve --present)";
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
            Oem oem,
            List<? extends Unit> iommus,
            List<? extends Behind> ranges,
            OwnFunction ownFunction) {
        checkLimits(iommus, ranges);
        checkBehind(iommus, ranges, ownFunction);
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
        for (Unit iommu : iommus) {
            switch (iommu) {
                case Iommu pci -> {
                    node(table, at, VIRTIO_PCI_IOMMU, VIRTIO_PCI_IOMMU_SIZE);
                    table.set(U16, at + VIRTIO_PCI_IOMMU_SEGMENT, (short) pci.segment);
                    table.set(U16, at + VIRTIO_PCI_IOMMU_BDF, (short) pci.bdf);
                }
                case MmioIommu mmio -> {
                    node(table, at, VIRTIO_MMIO_IOMMU, VIRTIO_MMIO_IOMMU_SIZE);
                    table.set(U64, at + VIRTIO_MMIO_IOMMU_BASE, mmio.base);
                }
            }
            at += VIRTIO_PCI_IOMMU_SIZE; // of either kind
        }
        for (Behind behind : ranges) {
            switch (behind) {
                case PciRange range -> {
                    node(table, at, PCI_RANGE, PCI_RANGE_SIZE);
                    table.set(U32, at + PCI_RANGE_ENDPOINT_START, (int) range.endpointFirst);
                    table.set(U16, at + PCI_RANGE_SEGMENT_START, (short) range.segment);
                    table.set(U16, at + PCI_RANGE_SEGMENT_END, (short) range.segment);
                    table.set(U16, at + PCI_RANGE_BDF_START, (short) range.bdfFirst);
                    table.set(U16, at + PCI_RANGE_BDF_END, (short) range.bdfLast);
                    table.set(U16, at + PCI_RANGE_OUTPUT_NODE, (short) nodeOffset(range.iommu));
                }
                case MmioEndpoint endpoint -> {
                    node(table, at, MMIO_ENDPOINT, MMIO_ENDPOINT_SIZE);
                    table.set(U32, at + MMIO_ENDPOINT_ID, (int) endpoint.endpoint);
                    table.set(U64, at + MMIO_ENDPOINT_BASE, endpoint.base);
                    table.set(
                            U16,
                            at + MMIO_ENDPOINT_OUTPUT_NODE,
                            (short) nodeOffset(endpoint.iommu));
                }
            }
            at += PCI_RANGE_SIZE; // of either kind
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

    private static void checkLimits(List<? extends Unit> iommus, List<? extends Behind> all) {
        if (iommus.size() + all.size() > 0xffff) {
            throw new IllegalArgumentException(
                    iommus.size() + all.size() + " nodes; a table counts 65535 at most");
        }
        if (!iommus.isEmpty() && nodeOffset(iommus.size() - 1) > 0xffff) {
            throw new IllegalArgumentException(
                    iommus.size() + " IOMMUs; a range can refer to the first 64 KiB only");
        }
    }

    /** That each function has one IOMMU, and each endpoint id one function. */
    static void checkBehind(
            List<? extends Unit> iommus, List<? extends Behind> all, OwnFunction ownFunction) {
        for (int i = 0; i < all.size(); i++) {
            Behind one = all.get(i);
            if (one.iommu() < 0 || one.iommu() >= iommus.size()) {
                throw new IllegalArgumentException(
                        "range "
                                + one.text()
                                + " is behind IOMMU "
                                + one.iommu()
                                + " of "
                                + iommus.size());
            }
            for (Unit iommu : iommus) {
                if (ownFunction == OwnFunction.REFUSED
                        && iommu instanceof Iommu pci
                        && one instanceof PciRange range
                        && range.holds(pci)) {
                    throw new IllegalArgumentException(
                            "range %s contains the IOMMU %s itself"
                                    .formatted(range.text(), function(pci.segment, pci.bdf)));
                }
            }
            for (Behind other : all.subList(0, i)) {
                checkApart(one, other);
            }
        }
    }

    private static void checkApart(Behind one, Behind other) {
        boolean overlap =
                switch (one) {
                    case PciRange range ->
                            other instanceof PciRange before
                                    && range.segment == before.segment
                                    && range.bdfFirst <= before.bdfLast
                                    && before.bdfFirst <= range.bdfLast;
                    case MmioEndpoint mmio ->
                            other instanceof MmioEndpoint before && mmio.base == before.base;
                };
        if (overlap) {
            throw new IllegalArgumentException(
                    "ranges " + other.text() + " and " + one.text() + " overlap");
        }
        if (one.iommu() == other.iommu()
                && one.endpointFirst() <= other.endpointLast()
                && other.endpointFirst() <= one.endpointLast()) {
            throw new IllegalArgumentException(
                    "ranges " + other.text() + " and " + one.text() + " share endpoint ids");
        }
    }

    private static void checkU16(String what, int value) {
        if (value < 0 || value > BDF_MAX) {
            throw new IllegalArgumentException(what + " " + value + " is not 0..65535");
        }
    }
}
