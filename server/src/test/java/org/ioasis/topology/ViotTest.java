// SPDX-License-Identifier: Apache-2.0
package org.ioasis.topology;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.util.HexFormat;
import java.util.List;
import java.util.stream.IntStream;
import org.ioasis.topology.Viot.Iommu;
import org.ioasis.topology.Viot.MmioEndpoint;
import org.ioasis.topology.Viot.MmioIommu;
import org.ioasis.topology.Viot.Oem;
import org.ioasis.topology.Viot.OwnFunction;
import org.ioasis.topology.Viot.PciRange;
import org.junit.jupiter.api.Test;

class ViotTest {
    private static final Iommu IOMMU = new Iommu(0, Viot.bdf(0, 1, 0));

    private static byte[] table(List<Iommu> iommus, List<PciRange> ranges) {
        return Viot.table(Oem.IOASIS, iommus, ranges, OwnFunction.REFUSED);
    }

    private static int u16(byte[] table, int at) {
        return (table[at] & 0xff) | ((table[at + 1] & 0xff) << 8);
    }

    @Test
    void rangeThatContainsTheIommuItselfIsRefused() {
        PciRange range = new PciRange(0, 0, 0, 0xff, 0);

        assertThatIllegalArgumentException()
                .isThrownBy(() -> table(List.of(IOMMU), List.of(range)))
                .withMessage(
                        "range 0000:00:00.0 to 0000:00:1f.7 contains the IOMMU 0000:00:01.0 itself");
        assertThat(Viot.table(Oem.IOASIS, List.of(IOMMU), List.of(range), OwnFunction.ALLOWED))
                .hasSize(88);
    }

    @Test
    void iommuOfAnotherSegmentIsNotInTheRange() {
        assertThat(table(List.of(new Iommu(1, 8)), List.of(new PciRange(0, 0, 0, 0xff, 0))))
                .hasSize(88);
    }

    @Test
    void overlappingRangesAreRefused() {
        assertThatIllegalArgumentException()
                .isThrownBy(() ->
                        table(
                                List.of(IOMMU),
                                List.of(
                                        new PciRange(0, 0, 0x10, 0x20, 0),
                                        new PciRange(0, 0, 0x20, 0x30, 0x100))))
                .withMessageContaining("overlap");
    }

    @Test
    void endpointIdForTwoFunctionsOfOneIommuIsRefused() {
        PciRange first = new PciRange(0, 0, 0x10, 0x1f, 0x10);

        assertThatIllegalArgumentException()
                .isThrownBy(() ->
                        table(List.of(IOMMU), List.of(first, new PciRange(0, 1, 0x10, 0x1f, 0x1f))))
                .withMessageContaining("share endpoint ids");
        // Endpoint ids are per IOMMU.
        assertThat(
                        table(
                                List.of(IOMMU, new Iommu(0, 9)),
                                List.of(first, new PciRange(1, 1, 0x10, 0x1f, 0x10))))
                .hasSize(48 + 2 * 16 + 2 * 24);
    }

    @Test
    void rangeBehindNoIommuIsRefused() {
        PciRange range = new PciRange(1, 0, 0x10, 0xff, 0);

        assertThatIllegalArgumentException()
                .isThrownBy(() -> table(List.of(IOMMU), List.of(range)));
        assertThatIllegalArgumentException()
                .isThrownBy(
                        () -> table(List.of(IOMMU), List.of(new PciRange(-1, 0, 0x10, 0xff, 0))));
    }

    @Test
    void numbersThatDoNotFitTheirFieldsAreRefused() {
        assertThatIllegalArgumentException().isThrownBy(() -> new Iommu(0, 0x10000));
        assertThatIllegalArgumentException().isThrownBy(() -> new Iommu(-1, 0));
        assertThatIllegalArgumentException().isThrownBy(() -> new PciRange(0, 0, 5, 4, 0));
        assertThatIllegalArgumentException().isThrownBy(() -> new PciRange(0, 0, 0, 0x10000, 0));
        assertThatIllegalArgumentException()
                .isThrownBy(() -> new PciRange(0, 0, 0, 1, 0xffff_ffffL));
        assertThatIllegalArgumentException().isThrownBy(() -> new PciRange(0, 0, 0, 1, -1));
        assertThatIllegalArgumentException().isThrownBy(() -> Viot.bdf(256, 0, 0));
        assertThatIllegalArgumentException().isThrownBy(() -> Viot.bdf(0, 32, 0));
        assertThatIllegalArgumentException().isThrownBy(() -> Viot.bdf(0, 0, 8));
        assertThatIllegalArgumentException().isThrownBy(() -> new Oem("SEVENCH", "", ""));
        assertThatIllegalArgumentException().isThrownBy(() -> new Oem("é", "", ""));
    }

    @Test
    void iommuNodesMustLieInTheFirst64KiB() {
        List<Iommu> most = IntStream.range(0, 4093).mapToObj(i -> new Iommu(0, i)).toList();
        List<Iommu> tooMany = IntStream.range(0, 4094).mapToObj(i -> new Iommu(0, i)).toList();
        PciRange behindLast = new PciRange(4092, 1, 0, 0xffff, 0);

        byte[] table = table(most, List.of(behindLast));

        assertThat(u16(table, table.length - 24 + 16)).isEqualTo(48 + 4092 * 16);
        assertThatIllegalArgumentException()
                .isThrownBy(() -> table(tooMany, List.of()))
                .withMessageContaining("64 KiB");
    }

    @Test
    void nodesAreCountedIn16Bits() {
        List<PciRange> ranges =
                IntStream.range(0, 0xffff).mapToObj(i -> new PciRange(0, 1, i, i, i)).toList();

        assertThatIllegalArgumentException()
                .isThrownBy(() -> table(List.of(IOMMU), ranges))
                .withMessageContaining("65536 nodes");
    }

    @Test
    void bytesAreThoseThatLinuxAccepted() {
        byte[] table =
                Viot.table(
                        new Oem("PALFEA", "FEASVIOT", "FEAS"),
                        List.of(IOMMU),
                        List.of(new PciRange(0, 0, 0x10, 0xff, 0x10)),
                        OwnFunction.REFUSED);

        assertThat(HexFormat.of().formatHex(table))
                .isEqualTo(
                        "56494f54"
                                + "58000000"
                                + "00"
                                + "86"
                                + "50414c464541"
                                + "4645415356494f54"
                                + "01000000"
                                + "46454153"
                                + "01000000"
                                + "0200"
                                + "3000"
                                + "0000000000000000"
                                + "03001000"
                                + "0000"
                                + "0800"
                                + "0000000000000000"
                                + "01001800"
                                + "10000000"
                                + "0000"
                                + "0000"
                                + "1000"
                                + "ff00"
                                + "3000"
                                + "000000000000");
    }

    @Test
    void everyTableSumsToZero() {
        for (int last = 0x10; last < 0x200; last++) {
            byte[] table = table(List.of(IOMMU), List.of(new PciRange(0, 0, 0x10, last, 7)));
            byte sum = 0;
            for (byte b : table) {
                sum += b;
            }
            assertThat(sum).isZero();
        }
    }

    @Test
    void eachRangeRefersToItsIommu() {
        byte[] table =
                table(
                        List.of(new Iommu(0, 8), new Iommu(0, 9)),
                        List.of(
                                new PciRange(1, 0, 0x10, 0x1f, 0),
                                new PciRange(0, 0, 0x20, 0xffff, 0)));

        assertThat(u16(table, 36)).isEqualTo(4);
        assertThat(u16(table, 80 + 16)).isEqualTo(64);
        assertThat(u16(table, 104 + 16)).isEqualTo(48);
        assertThat(u16(table, 104 + 14)).isEqualTo(0xffff);
    }

    @Test
    void platformDevicesAndAnIommuAtAnAddressByteByByte() {
        byte[] table =
                Viot.table(
                        Oem.IOASIS,
                        List.of(IOMMU, new MmioIommu(0x11223344_55667000L)),
                        List.of(
                                new MmioEndpoint(1, 0xfee1_0000L, 0xffff_fffeL),
                                new PciRange(0, 0, 0x10, 0x10, 0x10)),
                        OwnFunction.REFUSED);

        assertThat(table).hasSize(48 + 2 * 16 + 2 * 24);
        assertThat(HexFormat.of().formatHex(table, 64, 80))
                .isEqualTo("04001000" + "00000000" + "0070665544332211");
        assertThat(HexFormat.of().formatHex(table, 80, 104))
                .isEqualTo("02001800" + "feffffff" + "0000e1fe00000000" + "4000000000000000");
        assertThat(u16(table, 104 + 16)).as("the PCI IOMMU").isEqualTo(48);
    }

    @Test
    void platformDevicesThatClashAreRefused() {
        List<MmioIommu> iommus = List.of(new MmioIommu(0x1000), new MmioIommu(0x2000));
        MmioEndpoint one = new MmioEndpoint(0, 0x5000, 7);

        assertThatIllegalArgumentException()
                .isThrownBy(() -> behind(iommus, one, new MmioEndpoint(1, 0x5000, 8)))
                .withMessageContaining("overlap");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> behind(iommus, one, new MmioEndpoint(0, 0x6000, 7)))
                .withMessageContaining("share endpoint ids");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> behind(iommus, new MmioEndpoint(2, 0x6000, 7)))
                .withMessageContaining("behind IOMMU 2 of 2");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> new MmioEndpoint(0, 0, 1L << 32))
                .withMessageContaining("32 bits");
        assertThat(behind(iommus, one, new MmioEndpoint(1, 0x6000, 7))).hasSize(48 + 32 + 48);
    }

    private static byte[] behind(List<MmioIommu> iommus, MmioEndpoint... endpoints) {
        return Viot.table(Oem.IOASIS, iommus, List.of(endpoints), OwnFunction.REFUSED);
    }
}
