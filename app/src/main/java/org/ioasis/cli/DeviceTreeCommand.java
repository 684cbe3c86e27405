// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.ioasis.output.OutputKind;
import org.ioasis.topology.DeviceTree;
import org.ioasis.topology.Viot;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * {@code ioasis devicetree}: writes topologies for guests that boot with a device tree. Main
 * thread.
 */
@Command(
        name = "devicetree",
        description = {
            "Write a device tree overlay that tells a guest without ACPI what is behind which IOMMU.",
            "The IOMMU's own function is left out of the ranges. Apply it to the VMM's own tree: fdtoverlay -i base.dtb"
                    + " -o all.dtb FILE"
        },
        mixinStandardHelpOptions = true,
        exitCodeListHeading = "%nExit codes:%n",
        exitCodeList = {"0:written", "1:the file cannot be written", "2:wrong arguments"})
final class DeviceTreeCommand implements Callable<Integer> {
    private static final String NODE = "(/[^,=]*@([0-9a-f]{1,16}))";
    private static final Pattern UNIT = Pattern.compile(NODE);
    private static final Pattern BRIDGE = Pattern.compile("(?:([0-9a-fA-F]{1,4})=)?(/[^,=]*)");
    private static final Pattern DEVICE =
            Pattern.compile(NODE + ",(endpoint=[^,]+)(?:,iommu=([0-9]{1,5}))?");

    @Mixin private TopologyOptions topology = new TopologyOptions();

    @Option(
            names = "--mmio-iommu",
            paramLabel = "NODE",
            description = {
                "A virtio-mmio IOMMU's node, as /virtio_mmio@a000000; repeatable. These are counted"
                        + " after those on PCI."
            })
    private List<String> mmioIommus = List.of();

    @Option(
            names = "--bridge",
            paramLabel = "[SEGMENT=]NODE",
            description = "The host bridge of a PCI segment (0), as /pcie@10000000; repeatable.")
    private List<String> bridges = List.of();

    @Option(
            names = "--device",
            paramLabel = "NODE,endpoint=ID[,iommu=N]",
            description = {
                "A platform device behind an IOMMU, as /soc/ethernet@3000,endpoint=0x20; repeatable. Without iommu= it is"
                        + " the first one (0)."
            })
    private List<String> devices = List.of();

    @Override
    public Integer call() throws IOException {
        topology.write(OutputKind.OVERLAY, this::overlay);
        return 0;
    }

    private byte[] overlay() {
        Map<Integer, String> bridgePlaces = new HashMap<>();
        Map<Long, String> devicePlaces = new HashMap<>();
        List<Viot.Unit> units = new ArrayList<>(topology.iommus());
        List<Viot.Behind> behind = new ArrayList<>(topology.ranges());
        if (units.isEmpty() && mmioIommus.isEmpty()) {
            throw new UsageException("an --iommu or --mmio-iommu is needed");
        }
        for (String text : bridges) {
            Matcher matcher = match(BRIDGE, text, "--bridge [SEGMENT=]/NODE");
            int segment = matcher.group(1) == null ? 0 : Integer.parseInt(matcher.group(1), 16);
            if (bridgePlaces.put(segment, matcher.group(2)) != null) {
                throw new UsageException("--bridge: PCI segment " + segment + " has two nodes");
            }
        }
        for (String text : mmioIommus) {
            units.add(
                    new Viot.MmioIommu(
                            place(devicePlaces, match(UNIT, text, "--mmio-iommu /NODE@ADDRESS"))));
        }
        for (String text : devices) {
            Matcher matcher = match(DEVICE, text, "--device /NODE@ADDRESS,endpoint=ID[,iommu=N]");
            int iommu = matcher.group(4) == null ? 0 : Integer.parseInt(matcher.group(4));
            long endpoint = TopologyOptions.number("--device", matcher.group(3), "endpoint=");
            behind.add(new Viot.MmioEndpoint(iommu, place(devicePlaces, matcher), endpoint));
        }
        return DeviceTree.overlay(units, behind, new DeviceTree.Places(bridgePlaces, devicePlaces));
    }

    private static Matcher match(Pattern pattern, String text, String form) {
        Matcher matcher = pattern.matcher(text);
        if (!matcher.matches()) {
            throw new UsageException("not %s: %s".formatted(form, text));
        }
        return matcher;
    }

    /** Notes the node of a device; returns the address behind its {@code @}. */
    private static long place(Map<Long, String> places, Matcher matcher) {
        long base = Long.parseUnsignedLong(matcher.group(2), 16);
        String other = places.put(base, matcher.group(1));
        if (other != null) {
            throw new UsageException(other + " and " + matcher.group(1) + " are at one address");
        }
        return base;
    }
}
