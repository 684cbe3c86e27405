// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * The flattened device tree (Devicetree Specification 0.4, chapter 5), and the nodes and properties
 * that an overlay of it is made of. Numbers are big-endian, tokens and values padded to 4 bytes.
 * Any thread.
 */
public final class Devicetree {
    // 5.2, the header: offsets of 32-bit fields.
    public static final int MAGIC = 0xd00dfeed;
    public static final int TOTALSIZE = 4;
    public static final int OFF_DT_STRUCT = 8;
    public static final int OFF_DT_STRINGS = 12;
    public static final int OFF_MEM_RSVMAP = 16;
    public static final int VERSION = 20;
    public static final int LAST_COMP_VERSION = 24;
    public static final int SIZE_DT_STRINGS = 32;
    public static final int SIZE_DT_STRUCT = 36;
    public static final int HEADER_SIZE = 40;
    public static final int VERSION_17 = 17;
    public static final int COMPATIBLE_VERSION = 16;

    /** 5.3: address and size of 0 end the list of reserved memory. */
    public static final int RSVMAP_ENTRY_SIZE = 16;

    // 5.4.1, the tokens of the structure block.
    public static final int FDT_BEGIN_NODE = 1;
    public static final int FDT_END_NODE = 2;
    public static final int FDT_PROP = 3;
    public static final int FDT_NOP = 4;
    public static final int FDT_END = 9;

    // What overlays are made of, as dtc writes and libfdt reads them.
    public static final String FRAGMENT = "fragment";
    public static final String TARGET_PATH = "target-path";
    public static final String OVERLAY = "__overlay__";
    public static final String LOCAL_FIXUPS = "__local_fixups__";

    // 2.3, and the bindings of controllers that take messages (Linux: interrupt-controller/
    // arm,gic.yaml and arm,gic-v3.yaml).
    public static final String COMPATIBLE = "compatible";
    public static final String REG = "reg";
    public static final String ADDRESS_CELLS = "#address-cells";
    public static final String SIZE_CELLS = "#size-cells";
    public static final String GIC_V2M = "arm,gic-v2m-frame";
    public static final String GIC_V3_ITS = "arm,gic-v3-its";

    // 2.3.3 and the bindings of IOMMUs and their masters (Linux: iommu/iommu.txt,
    // pci/pci-iommu.txt).
    public static final String PHANDLE = "phandle";
    public static final String IOMMU_CELLS = "#iommu-cells";
    public static final String IOMMUS = "iommus";
    public static final String IOMMU_MAP = "iommu-map";
    public static final String IOMMU_MAP_MASK = "iommu-map-mask";

    /** Cells of one entry of {@link #IOMMU_MAP}, and the place of the phandle among them. */
    public static final int IOMMU_MAP_CELLS = 4;

    public static final int IOMMU_MAP_PHANDLE = 1;

    private Devicetree() {}
}
