// SPDX-License-Identifier: Apache-2.0
package org.ioasis.topology;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.tuple;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.function.Consumer;
import org.ioasis.topology.Viot.Iommu;
import org.ioasis.topology.Viot.Oem;
import org.ioasis.topology.Viot.OwnFunction;
import org.ioasis.topology.Viot.PciRange;
import org.junit.jupiter.api.Test;

/** What is said about tables that are wrong in one way each, and about any bytes at all. */
class ViotReportTest {
    private static final int IOMMU_NODE = 48;
    private static final int RANGE_NODE = 64;
    private static final int PCI_RANGE = 1;
    private static final int MMIO = 2;
    private static final int MMIO_IOMMU = 4;

    private static byte[] good() {
        return Viot.table(
                Oem.IOASIS,
                List.of(new Iommu(0, 8)),
                List.of(new PciRange(0, 0, 0x10, 0xff, 0x10)),
                OwnFunction.REFUSED);
    }

    /** The good table with a change, its checksum renewed. */
    private static byte[] changed(Consumer<ByteBuffer> change) {
        byte[] bytes = good();
        change.accept(ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN));
        return summed(bytes);
    }

    private static byte[] summed(byte[] bytes) {
        bytes[9] = 0;
        byte sum = 0;
        for (byte b : bytes) {
            sum += b;
        }
        bytes[9] = (byte) -sum;
        return bytes;
    }

    /** A table of raw nodes, everything around them right. */
    private static byte[] table(byte[]... nodes) {
        int size = 48 + Arrays.stream(nodes).mapToInt(n -> n.length).sum();
        ByteBuffer table = ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
        table.put("VIOT".getBytes(java.nio.charset.StandardCharsets.US_ASCII)).putInt(size);
        table.putShort(36, (short) nodes.length).putShort(38, (short) 48).position(48);
        for (byte[] node : nodes) {
            table.put(node);
        }
        return summed(table.array());
    }

    private static ByteBuffer node(int type, int length) {
        ByteBuffer node = ByteBuffer.allocate(length).order(ByteOrder.LITTLE_ENDIAN);
        return node.put((byte) type).put((byte) 0).putShort((short) length);
    }

    private static byte[] pciIommu(int bdf) {
        return node(3, 16).putShort((short) 0).putShort((short) bdf).array();
    }

    private static byte[] mmioIommu(long base) {
        return node(MMIO_IOMMU, 16).putInt(0).putLong(base).array();
    }

    private static byte[] mmioEndpoint(int id, long base, int output) {
        return node(MMIO, 24).putInt(id).putLong(base).putShort((short) output).array();
    }

    private static byte[] range(int endpoint, int first, int last, int output) {
        return node(PCI_RANGE, 24)
                .putInt(endpoint)
                .putInt(0)
                .putShort((short) first)
                .putShort((short) last)
                .putShort((short) output)
                .array();
    }

    private static void assertError(byte[] table, int offset, String text) {
        ViotReport report = ViotReport.of(table);
        assertThat(report.isValid()).as(report.toString()).isFalse();
        assertThat(report.findings())
                .anySatisfy(finding -> {
                    assertThat(finding.isError()).isTrue();
                    assertThat(finding.offset()).isEqualTo(offset);
                    assertThat(finding.text()).contains(text);
                });
    }

    private static void assertOnlyNote(byte[] table, int offset, String text) {
        ViotReport report = ViotReport.of(table);
        assertThat(report.isValid()).as(report.toString()).isTrue();
        assertThat(report.findings())
                .singleElement()
                .satisfies(finding -> {
                    assertThat(finding.offset()).isEqualTo(offset);
                    assertThat(finding.text()).contains(text);
                });
    }

    @Test
    void lengthThatIsNotTheFilesIsFound() {
        assertError(changed(t -> t.putInt(4, 89)), 4, "says 89 bytes, but there are only 88");
        assertError(Arrays.copyOf(good(), 90), 4, "a guest sees the first 88 only");
        assertError(changed(t -> t.putInt(4, 47)), 4, "less than the header has");
        assertError(changed(t -> t.putInt(4, -1)), 4, "there are only 88");
        assertError(new byte[47], 0, "47 bytes are no table");
        assertError(new byte[0], 0, "0 bytes are no table");
    }

    @Test
    void checksumIsFoundAndTheRightOneNamed() {
        byte[] bytes = good();
        int right = bytes[9] & 0xff;
        bytes[9] = 0;

        assertError(bytes, 9, "is 0x00 and should be 0x%02x".formatted(right));
        bytes = good();
        bytes[70] ^= 1;
        assertThat(ViotReport.of(bytes).isValid()).isFalse();
    }

    @Test
    void outputOffsetThatIsNoNodeIsFound() {
        for (int offset : new int[] {0, 47, 49, 56, 63, 88, 0xffff}) {
            assertError(
                    changed(t -> t.putShort(RANGE_NODE + 16, (short) offset)),
                    RANGE_NODE + 16,
                    "no node starts at 0x%x".formatted(offset));
        }
        assertError(
                changed(t -> t.putShort(RANGE_NODE + 16, (short) RANGE_NODE)),
                RANGE_NODE + 16,
                "is no IOMMU but type 1");
    }

    @Test
    void placeOfTheNodesIsChecked() {
        assertError(changed(t -> t.putShort(38, (short) 36)), 38, "inside of the header");
        assertError(changed(t -> t.putShort(38, (short) 89)), 38, "behind the end");
        assertError(changed(t -> t.putShort(36, (short) 0)), 36, "describes nothing");
        assertError(changed(t -> t.putShort(36, (short) 3)), 36, "ends after 2");
        assertError(changed(t -> t.putShort(36, (short) 1)), RANGE_NODE, "24 bytes behind");
    }

    @Test
    void lengthsOfNodesAreChecked() {
        assertError(changed(t -> t.putShort(IOMMU_NODE + 2, (short) 0)), 50, "cannot be found");
        assertError(changed(t -> t.putShort(IOMMU_NODE + 2, (short) 12)), 50, "has 16 bytes");
        assertError(changed(t -> t.putShort(RANGE_NODE + 2, (short) 25)), 66, "ends after 24");
    }

    @Test
    void unknownNodesAreFound() {
        assertError(changed(t -> t.put(IOMMU_NODE, (byte) 5)), IOMMU_NODE, "type 5");
        assertError(changed(t -> t.put(IOMMU_NODE, (byte) 0)), IOMMU_NODE, "type 0");
        assertError(changed(t -> t.put(IOMMU_NODE, (byte) 255)), IOMMU_NODE, "type 255");
    }

    @Test
    void otherTablesAreFound() {
        assertError(changed(t -> t.put(0, (byte) 'X')), 0, "not \"VIOT\"");
    }

    @Test
    void rangesThatOverlapOrShareIdsAreFound() {
        byte[] iommu = pciIommu(8);
        assertError(
                table(iommu, range(0x10, 0x10, 0x20, 48), range(0x100, 0x20, 0x30, 48)),
                88,
                "shares functions with the range at 0x40");
        assertError(
                table(iommu, range(0x10, 0x10, 0x1f, 48), range(0x1f, 0x20, 0x2f, 48)),
                88,
                "shares endpoint ids with the range at 0x40");
        assertError(
                table(iommu, range(0x10, 0x10, 0x1f, 48), mmioEndpoint(0x1f, 0x1000, 48)),
                88,
                "shares its endpoint id 0x1f");
        assertError(
                table(iommu, mmioEndpoint(1, 0x1000, 48), mmioEndpoint(2, 0x1000, 48)),
                88,
                "stands at 0x40 already");
    }

    @Test
    void rangeOverMoreThanOneDeviceIsWarnedOf() {
        assertThat(ViotReport.of(table(pciIommu(8), range(0x10, 0x10, 0x17, 48))).warnings())
                .isEmpty();
        assertThat(ViotReport.of(table(pciIommu(8), range(0x10, 0x17, 0x18, 48))).warnings())
                .singleElement()
                .satisfies(warning -> {
                    assertThat(warning.offset()).isEqualTo(64);
                    assertThat(warning.isError()).isFalse();
                    assertThat(warning.text())
                            .contains("the range 0000:00:02.7 to 0000:00:03.0 names more than one");
                });
        assertThat(new PciRange(0, 0, 0x10, 0x17, 0x10).warning()).isEmpty();
        assertThat(new PciRange(0, 1, 0xf8, 0x100, 0x10).warning().orElseThrow())
                .contains("the range 0001:00:1f.0 to 0001:01:00.0 names more than one device");
    }

    @Test
    void idsThatNobodyAnswersForAreNamedWhereItIsKnownWhatIsServed() {
        ViotReport report =
                ViotReport.of(
                        table(
                                pciIommu(8),
                                range(0x10, 0x10, 0x1f, 48),
                                mmioIommu(0xfeb0_0000L),
                                pciIommu(9),
                                range(0x500, 0x20, 0x20, 104)));

        assertThat(report.unserved(Map.of(8, new TreeSet<>(List.of(0xfL, 0x10L, 0x12L, 0x20L)))))
                .extracting(ViotReport.Finding::offset, ViotReport.Finding::text)
                .containsExactly(
                        tuple(
                                64,
                                "no endpoint answers for 0x11, 0x13-0x1f: Linux 7 gives up the whole IOMMU"
                                        + " if it finds a function there"),
                        tuple(120, "its IOMMU 0000:00:01.1 is not served"));
        SortedSet<Long> all = new TreeSet<>();
        SortedSet<Long> odd = new TreeSet<>();
        for (long id = 0x10; id <= 0x1f; id++) {
            all.add(id);
            if (id % 2 != 0) {
                odd.add(id);
            }
        }
        SortedSet<Long> one = new TreeSet<>(List.of(0x500L));
        assertThat(report.unserved(Map.of(8, all, 9, one))).isEmpty();
        assertThat(report.unserved(Map.of(8, odd, 9, one)))
                .singleElement()
                .extracting(ViotReport.Finding::text)
                .asString()
                .contains("for 0x10, 0x12, 0x14, 0x16, 0x18, 0x1a, 0x1c, 0x1e: Linux");
        odd.removeIf(id -> id != 0x11);
        assertThat(report.unserved(Map.of(8, new TreeSet<Long>(), 9, odd)))
                .extracting(ViotReport.Finding::text)
                .allMatch(text -> text.contains("no endpoint answers for 0x"))
                .hasSize(2);
    }

    @Test
    void sameIdsBehindTwoIommusAreRight() {
        byte[] table =
                table(
                        pciIommu(8),
                        mmioIommu(0xfeb0_0000L),
                        range(0x10, 0x10, 0x1f, 48),
                        range(0x10, 0x20, 0x2f, 64));

        ViotReport report = ViotReport.of(table);

        assertThat(report.findings()).isEmpty();
        assertThat(report.nodes()).hasSize(4);
    }

    @Test
    void rangesThatRunBackwardsOrTooFarAreFound() {
        byte[] iommu = pciIommu(8);
        assertError(table(iommu, range(0x10, 0x20, 0x10, 48)), 78, "before the first");
        assertError(table(iommu, range(-1, 0x10, 0x11, 48)), 68, "do not fit 32 bits");
    }

    @Test
    void rangeWithAnotherIommuIsWrongAndWithItsOwnIsWorthKnowing() {
        assertOnlyNote(table(pciIommu(8), range(0, 0, 0xff, 48)), 64, "holds its own IOMMU");
        assertError(
                table(pciIommu(8), pciIommu(0x10), range(0x10, 0x10, 0xff, 48)),
                80,
                "holds another IOMMU, 0000:00:02.0");
        assertError(table(pciIommu(8), pciIommu(8)), 64, "is at 0000:00:01.0 too");
    }

    @Test
    void whatIsUnusualIsNoError() {
        assertOnlyNote(table(range(0x10, 0x10, 0xff, 72), pciIommu(8)), 64, "comes after");
        assertOnlyNote(table(pciIommu(8)), 48, "nothing is behind");
        assertOnlyNote(changed(t -> t.put(8, (byte) 1)), 8, "revision 1");
        assertOnlyNote(changed(t -> t.put(41, (byte) 1)), 41, "reserved byte");
    }

    @Test
    void whatTheWriterWritesIsRightAndReadBack() {
        ViotReport report = ViotReport.of(good());

        assertThat(report.findings()).isEmpty();
        assertThat(report.nodes())
                .containsExactly(
                        new ViotReport.PciIommu(48, 0, 8),
                        new ViotReport.PciRange(64, 0x10, 0, 0, 0x10, 0xff, 48));
        assertThat(report.nodes().getLast().text())
                .isEqualTo(
                        "0x40: functions 0000:00:02.0 to 0000:00:1f.7 are endpoints 0x10 to 0xff"
                                + " behind the IOMMU at 0x30");
    }

    @Test
    void eachChangeOfOneByteIsFoundByTheChecksum() {
        for (int i = 0; i < good().length; i++) {
            byte[] bytes = good();
            bytes[i] ^= (byte) 0x41;
            assertThat(ViotReport.of(bytes).isValid()).as("byte %d", i).isFalse();
        }
    }

    @Test
    void anyBytesGiveAReportAndABoundedOne() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        for (int round = 0; round < 20_000; round++) {
            byte[] bytes = new byte[random.nextInt(300)];
            random.nextBytes(bytes);
            if (round % 2 == 0) {
                // Far enough for the nodes to be looked at.
                byte[] header = table(new byte[0]);
                System.arraycopy(header, 0, bytes, 0, Math.min(header.length, bytes.length));
                if (bytes.length >= 48) {
                    ByteBuffer table = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
                    table.putInt(4, bytes.length).putShort(36, (short) random.nextInt(12));
                    for (int at = 48; at + 4 <= bytes.length; at += random.nextInt(1, 40)) {
                        table.put(at, (byte) random.nextInt(6));
                        table.putShort(at + 2, (short) (random.nextBoolean() ? 24 : 16));
                    }
                }
            }
            ViotReport report = ViotReport.of(bytes);
            assertThat(report.findings()).as("seed %d", seed).hasSizeLessThanOrEqualTo(101);
            report.nodes().forEach(node -> assertThat(node.text()).isNotEmpty());
        }
    }

    @Test
    void largestTableIsLookedAtInBoundedTime() {
        byte[][] nodes = new byte[0xffff][];
        Arrays.fill(nodes, range(0, 0, 0, 7));

        ViotReport report = ViotReport.of(table(nodes));

        assertThat(report.nodes()).hasSize(0xffff);
        assertThat(report.findings()).hasSize(101);
        assertThat(report.isValid()).isFalse();
        assertThat(ViotReport.of(new byte[ViotReport.SIZE_MAX + 1]).isValid()).isFalse();
    }
}
