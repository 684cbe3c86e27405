// SPDX-License-Identifier: Apache-2.0
package org.ioasis.topology;

import static org.ioasis.spec.Devicetree.*;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.ioasis.topology.DeviceTreeBlob.Node;
import org.jspecify.annotations.Nullable;

/**
 * Writes what {@link Viot} writes as a device tree overlay, for guests that boot without ACPI: a
 * node for each IOMMU, {@code iommu-map} for host bridges, {@code iommus} for platform devices. The
 * VMM's own tree stays as it is but for what is added; {@code fdtoverlay}, U-Boot or a VMM puts the
 * two together. Any thread.
 *
 * <p>After the bindings virtio/pci-iommu, virtio/mmio, pci/pci-iommu and virtio/iommu of Linux. An
 * IOMMU on PCI is a child of its host bridge, and its own function is left out of the bridge's map;
 * one on virtio-mmio is a node of the VMM's that gets {@code #iommu-cells}.
 */
public final class DeviceTree {
    private static final int ROUTING_IDS = 0x10000;

    private DeviceTree() {}

    /**
     * Where things are in the VMM's tree.
     *
     * @param bridges path of the host bridge of each PCI segment
     * @param devices path of each virtio-mmio or platform device, by the address of its registers
     */
    public record Places(Map<Integer, String> bridges, Map<Long, String> devices) {
        public Places {
            bridges = Map.copyOf(bridges);
            devices = Map.copyOf(devices);
            List<String> paths = new ArrayList<>(bridges.values());
            paths.addAll(devices.values());
            for (String path : paths) {
                if (!path.matches("(/[\\w,.+@-]+)+")) {
                    throw new IllegalArgumentException("no path of a node: \"" + path + "\"");
                }
                if (paths.indexOf(path) != paths.lastIndexOf(path)) {
                    throw new IllegalArgumentException("two places are the node " + path);
                }
            }
        }

        private String bridge(int segment) {
            return place(bridges.get(segment), "the host bridge of PCI segment " + segment);
        }

        private String device(long base) {
            return place(devices.get(base), "the device at 0x%x".formatted(base));
        }

        private static String place(@Nullable String path, String what) {
            if (path == null) {
                throw new IllegalArgumentException("no node is named for " + what);
            }
            return path;
        }
    }

    /**
     * The overlay as a blob of version 17.
     *
     * @throws IllegalArgumentException if a function would have two IOMMUs or two functions one
     *     endpoint id, if a place is missing, or if an IOMMU is not on its host bridge's own bus,
     *     where it would have to be a child of a node that only the VMM knows
     */
    public static byte[] overlay(
            List<? extends Viot.Unit> iommus, List<? extends Viot.Behind> behind, Places places) {
        Viot.checkBehind(iommus, behind, Viot.OwnFunction.ALLOWED);
        // By target, in the order of first use.
        Map<String, Node> changes = new LinkedHashMap<>();
        Map<String, Node> fixups = new LinkedHashMap<>();
        for (int i = 0; i < iommus.size(); i++) {
            switch (iommus.get(i)) {
                case Viot.Iommu pci ->
                        // The cells are those of every bus of PCI (IEEE 1275 binding, 2.2.1 and
                        // 4.1.1): who reads the overlay alone cannot tell how long a reg is.
                        change(changes, places.bridge(pci.segment()))
                                .cells(ADDRESS_CELLS, 3)
                                .cells(SIZE_CELLS, 2)
                                .add(pciNode(pci, phandle(i)));
                case Viot.MmioIommu mmio ->
                        change(changes, places.device(mmio.base()))
                                .cells(IOMMU_CELLS, 1)
                                .cells(PHANDLE, phandle(i));
            }
        }
        Map<Integer, List<Integer>> maps = new LinkedHashMap<>();
        for (Viot.Behind one : behind) {
            switch (one) {
                case Viot.PciRange range ->
                        pieces(range, iommus)
                                .forEach(
                                        maps.computeIfAbsent(
                                                        range.segment(), _ -> new ArrayList<>())
                                                ::add);
                case Viot.MmioEndpoint device -> {
                    String path = places.device(device.base());
                    change(changes, path)
                            .cells(IOMMUS, phandle(device.iommu()), (int) device.endpoint());
                    change(fixups, path).cells(IOMMUS, 0);
                }
            }
        }
        maps.forEach((segment, cells) -> {
            String path = places.bridge(segment);
            // Whatever mask the tree had: the map is of whole routing ids.
            change(changes, path)
                    .cells(IOMMU_MAP, array(cells))
                    .cells(IOMMU_MAP_MASK, ROUTING_IDS - 1);
            change(fixups, path).cells(IOMMU_MAP, phandlePlaces(cells.size()));
        });
        return DeviceTreeBlob.of(root(changes, fixups));
    }

    private static int phandle(int iommu) {
        return iommu + 1;
    }

    private static Node change(Map<String, Node> nodes, String path) {
        return nodes.computeIfAbsent(path, _ -> new Node(OVERLAY));
    }

    private static Node pciNode(Viot.Iommu iommu, int phandle) {
        int device = iommu.bdf() >> 3 & 0x1f;
        int function = iommu.bdf() & 7;
        if (iommu.bdf() >> 8 != 0) {
            throw new IllegalArgumentException(
                    "IOMMU %04x:%02x:%02x.%x is not on bus 0, the host bridge's own"
                            .formatted(iommu.segment(), iommu.bdf() >> 8, device, function));
        }
        return new Node("iommu@%x,%x".formatted(device, function))
                .texts("compatible", "virtio,pci-iommu", "pci1af4,1057")
                .cells("reg", iommu.bdf() << 8, 0, 0, 0, 0)
                .cells(IOMMU_CELLS, 1)
                .cells(PHANDLE, phandle);
    }

    /** Entries of the map for a range, without the IOMMUs' own functions in it. */
    private static List<Integer> pieces(Viot.PciRange range, List<? extends Viot.Unit> iommus) {
        List<Integer> own =
                iommus.stream()
                        .filter(unit -> unit instanceof Viot.Iommu pci && range.holds(pci))
                        .map(unit -> ((Viot.Iommu) unit).bdf())
                        .sorted()
                        .toList();
        List<Integer> cells = new ArrayList<>();
        int first = range.bdfFirst();
        for (int bdf : own) {
            piece(cells, range, first, bdf);
            first = bdf + 1;
        }
        piece(cells, range, first, range.bdfLast() + 1);
        return cells;
    }

    private static void piece(List<Integer> cells, Viot.PciRange range, int first, int end) {
        if (first < end) {
            cells.add(first);
            cells.add(phandle(range.iommu()));
            cells.add((int) (range.endpointFirst() + first - range.bdfFirst()));
            cells.add(end - first);
        }
    }

    /** Byte offsets of the phandles, which change when the overlay is applied. */
    private static int[] phandlePlaces(int cells) {
        int[] offsets = new int[cells / IOMMU_MAP_CELLS];
        for (int i = 0; i < offsets.length; i++) {
            offsets[i] = (i * IOMMU_MAP_CELLS + IOMMU_MAP_PHANDLE) * Integer.BYTES;
        }
        return offsets;
    }

    private static int[] array(List<Integer> cells) {
        return cells.stream().mapToInt(Integer::intValue).toArray();
    }

    private static Node root(Map<String, Node> changes, Map<String, Node> fixups) {
        // Not for the one who applies it: by this it is known as ours.
        Node root = new Node("").texts("generator", "ioasis devicetree");
        Node local = new Node(LOCAL_FIXUPS);
        int number = 0;
        for (Map.Entry<String, Node> change : changes.entrySet()) {
            String name = FRAGMENT + "@" + number++;
            root.add(new Node(name).texts(TARGET_PATH, change.getKey()).add(change.getValue()));
            Node fixup = fixups.get(change.getKey());
            if (fixup != null) {
                local.add(new Node(name).add(fixup));
            }
        }
        return fixups.isEmpty() ? root : root.add(local);
    }
}
