// SPDX-License-Identifier: Apache-2.0
package org.ioasis.topology;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.util.List;
import java.util.Map;
import org.ioasis.topology.DeviceTree.Places;
import org.ioasis.topology.Viot.Iommu;
import org.ioasis.topology.Viot.MmioEndpoint;
import org.ioasis.topology.Viot.MmioIommu;
import org.ioasis.topology.Viot.PciRange;
import org.junit.jupiter.api.Test;

/** The overlay for guests without ACPI, read back by a decoder that knows only the format. */
class DeviceTreeTest {
    private static final Iommu IOMMU = new Iommu(0, Viot.bdf(0, 1, 0));
    private static final Places PLACES =
            new Places(
                    Map.of(0, "/pcie@40000000", 1, "/pcie@50000000"),
                    Map.of(0x0a00_0000L, "/virtio_mmio@a000000", 0x3000L, "/soc/ethernet@3000"));

    private static Map<String, String> decoded(
            List<Viot.Unit> iommus, List<Viot.Behind> behind, Places places) {
        return new DecodedTree(DeviceTree.overlay(iommus, behind, places)).all();
    }

    /** The case of the binding virtio/pci-iommu, with the numbers that it gives. */
    @Test
    void functionOfTheIommuIsLeftOutOfItsBridgesMap() {
        Map<String, String> tree =
                decoded(
                        List.of(IOMMU),
                        List.of(
                                new PciRange(0, 0, 0, 0xffff, 0),
                                new PciRange(0, 1, 0, 0xffff, 0x10000),
                                new MmioEndpoint(0, 0x3000, 0x20000)),
                        PLACES);

        String bridge = "/fragment@0/__overlay__/";
        assertThat(tree)
                .containsEntry("/fragment@0/target-path", "\"/pcie@40000000\"")
                .containsEntry(bridge + "#address-cells", "<3>")
                .containsEntry(bridge + "#size-cells", "<2>")
                .containsEntry(bridge + "iommu-map", "<0 1 0 8 9 1 9 fff7>")
                .containsEntry(bridge + "iommu-map-mask", "<ffff>")
                .containsEntry(
                        bridge + "iommu@1,0/compatible", "\"virtio,pci-iommu\", \"pci1af4,1057\"")
                .containsEntry(bridge + "iommu@1,0/reg", "<800 0 0 0 0>")
                .containsEntry(bridge + "iommu@1,0/#iommu-cells", "<1>")
                .containsEntry(bridge + "iommu@1,0/phandle", "<1>")
                .containsEntry("/fragment@1/target-path", "\"/soc/ethernet@3000\"")
                .containsEntry("/fragment@1/__overlay__/iommus", "<1 20000>")
                .containsEntry("/fragment@2/target-path", "\"/pcie@50000000\"")
                .containsEntry("/fragment@2/__overlay__/iommu-map", "<0 1 10000 10000>")
                .containsEntry("/fragment@2/__overlay__/iommu-map-mask", "<ffff>")
                .containsEntry("/__local_fixups__/fragment@0/__overlay__/iommu-map", "<4 14>")
                .containsEntry("/__local_fixups__/fragment@1/__overlay__/iommus", "<0>")
                .containsEntry("/__local_fixups__/fragment@2/__overlay__/iommu-map", "<4>")
                .containsEntry("/generator", "\"ioasis devicetree\"")
                .hasSize(18);
    }

    @Test
    void iommuOnMmioIsTheVmmsNodeWithCellsAndAHandle() {
        assertThat(
                        decoded(
                                List.of(IOMMU, new MmioIommu(0x0a00_0000)),
                                List.of(
                                        new PciRange(1, 0, 0x10, 0x17, 0xffff_fff0L),
                                        new MmioEndpoint(1, 0x3000, 7)),
                                PLACES))
                .containsEntry("/fragment@0/target-path", "\"/pcie@40000000\"")
                .containsEntry("/fragment@0/__overlay__/iommu-map", "<10 2 fffffff0 8>")
                .containsEntry("/fragment@0/__overlay__/iommu@1,0/phandle", "<1>")
                .containsEntry("/fragment@1/target-path", "\"/virtio_mmio@a000000\"")
                .containsEntry("/fragment@1/__overlay__/#iommu-cells", "<1>")
                .containsEntry("/fragment@1/__overlay__/phandle", "<2>")
                .containsEntry("/fragment@2/__overlay__/iommus", "<2 7>")
                .containsEntry("/__local_fixups__/fragment@2/__overlay__/iommus", "<0>");
    }

    @Test
    void iommusAtTheEndsOfARangeAndSideBySideLeaveNoEmptyPiece() {
        List<Viot.Unit> iommus =
                List.of(new Iommu(0, 0x17), new Iommu(0, 0x10), new Iommu(0, 0x11));

        assertThat(decoded(iommus, List.of(new PciRange(0, 0, 0x10, 0x17, 0x90)), PLACES))
                .containsEntry("/fragment@0/__overlay__/iommu-map", "<12 1 92 5>")
                .containsEntry("/fragment@0/__overlay__/iommu@2,7/reg", "<1700 0 0 0 0>")
                .containsEntry("/fragment@0/__overlay__/iommu@2,1/phandle", "<3>");
    }

    @Test
    void withoutEndpointsThereIsNothingToFixUp() {
        assertThat(decoded(List.of(new MmioIommu(0x3000)), List.of(), PLACES))
                .containsOnlyKeys(
                        "/generator",
                        "/fragment@0/target-path",
                        "/fragment@0/__overlay__/#iommu-cells",
                        "/fragment@0/__overlay__/phandle");
    }

    @Test
    void placeThatIsNotNamedIsRefused() {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> decoded(List.of(new Iommu(2, 8)), List.of(), PLACES))
                .withMessage("no node is named for the host bridge of PCI segment 2");
        assertThatIllegalArgumentException()
                .isThrownBy(() ->
                        decoded(List.of(IOMMU), List.of(new MmioEndpoint(0, 0x4000, 1)), PLACES))
                .withMessage("no node is named for the device at 0x4000");
    }

    @Test
    void iommuBehindABridgeIsRefused() {
        assertThatIllegalArgumentException()
                .isThrownBy(
                        () -> decoded(List.of(new Iommu(0, Viot.bdf(3, 2, 1))), List.of(), PLACES))
                .withMessage("IOMMU 0000:03:02.1 is not on bus 0, the host bridge's own");
    }

    @Test
    void functionOrEndpointIdOfTwoIsRefusedAsInTheTable() {
        assertThatIllegalArgumentException()
                .isThrownBy(() ->
                        decoded(
                                List.of(IOMMU),
                                List.of(
                                        new PciRange(0, 0, 0x10, 0x20, 0),
                                        new PciRange(0, 0, 0x20, 0x30, 0x100)),
                                PLACES))
                .withMessageContaining("overlap");
        assertThatIllegalArgumentException()
                .isThrownBy(() ->
                        decoded(
                                List.of(IOMMU),
                                List.of(
                                        new PciRange(0, 0, 0x10, 0x20, 0),
                                        new MmioEndpoint(0, 0x3000, 0x10)),
                                PLACES))
                .withMessageContaining("share endpoint ids");
    }

    @Test
    void pathsThatAreNoneAndNodesOfTwoAreRefused() {
        for (String path : List.of("", "/", "pcie@1", "/pcie@1/", "/a//b", "/a b", "/ä", "/a\0")) {
            assertThatIllegalArgumentException()
                    .isThrownBy(() -> new Places(Map.of(0, path), Map.of()))
                    .withMessageContaining("no path of a node");
        }
        assertThatIllegalArgumentException()
                .isThrownBy(() -> new Places(Map.of(0, "/a"), Map.of(1L, "/a")))
                .withMessage("two places are the node /a");
    }
}
