// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.ioasis.live.Unsigned;
import org.ioasis.output.OutputFile;
import org.ioasis.output.OutputKind;
import org.ioasis.topology.Viot;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/**
 * The options of commands that write a topology: IOMMUs on PCI, what is behind them, and where it
 * is written. Main thread.
 */
final class TopologyOptions {
    private static final String FUNCTION =
            "(?:([0-9a-fA-F]{1,4}):)?([0-9a-fA-F]{1,2}):([01]?[0-9a-fA-F])\\.([0-7])";
    private static final Pattern ONE = Pattern.compile(FUNCTION);
    private static final Pattern BUS =
            Pattern.compile("(?:([0-9a-fA-F]{1,4}):)?([0-9a-fA-F]{1,2})");
    private static final Pattern RANGE =
            Pattern.compile(
                    FUNCTION + "(?:-" + FUNCTION + ")?((?:,endpoint=[^,]+|,iommu=[0-9]{1,5})*)");

    @Option(names = "--output", paramLabel = "FILE", description = "Where to write it.")
    private @Nullable Path output;

    @Option(
            names = "--iommu",
            paramLabel = "[SEGMENT:]BUS:DEV.FN",
            description = "An IOMMU's own function, as 00:01.0 or 0001:00:01.0; repeatable.")
    private List<String> iommus = List.of();

    @Option(
            names = "--range",
            paramLabel = "FIRST[-LAST][,endpoint=ID][,iommu=N]",
            description = {
                "Functions behind an IOMMU; repeatable. Without endpoint= the ids are the functions' numbers"
                        + " (0x10 for 00:02.0), without iommu= it is the first one (0)."
            })
    private List<String> ranges = List.of();

    @Option(
            names = "--pci-bridge",
            paramLabel = "[SEGMENT:]BUS",
            description = {
                "The bus behind a PCIe-to-PCI bridge, as 01; repeatable. A guest knows what is on it as function 00.0 of"
                        + " that bus too, and asks for that alias: it is added, and its endpoint is printed."
            })
    private List<String> bridges = List.of();

    boolean isEmpty() {
        return output == null && iommus.isEmpty() && ranges.isEmpty() && bridges.isEmpty();
    }

    List<Viot.Iommu> iommus() {
        return iommus.stream().map(TopologyOptions::iommu).toList();
    }

    /** What was named, and the aliases of bridges that are in none of it. */
    List<Viot.PciRange> ranges() {
        List<Viot.PciRange> all = new ArrayList<>();
        ranges.forEach(text -> all.add(range(text)));
        for (Alias alias : aliases(all)) {
            if (alias.isMissing) {
                all.add(
                        new Viot.PciRange(
                                alias.iommu, alias.segment, alias.bdf, alias.bdf, alias.endpoint));
            }
        }
        return all;
    }

    /**
     * Function 0 of a bus behind a PCIe-to-PCI bridge.
     *
     * @param isMissing no range names it
     */
    private record Alias(int iommu, int segment, int bdf, long endpoint, boolean isMissing) {
        private String text() {
            return "alias %04x:%02x:00.0 is endpoint 0x%x: serve each device behind that bridge with alias=0x%x"
                    .formatted(segment, bdf >> 8, endpoint, endpoint);
        }
    }

    private List<Alias> aliases(List<Viot.PciRange> named) {
        List<Alias> aliases = new ArrayList<>();
        for (String text : bridges) {
            Matcher matcher = BUS.matcher(text);
            if (!matcher.matches()) {
                throw new UsageException("--pci-bridge: not [SEGMENT:]BUS, as 01: " + text);
            }
            int segment = segment(matcher, 1);
            int bdf = Viot.bdf(Integer.parseInt(matcher.group(2), 16), 0, 0);
            Viot.PciRange behind =
                    named.stream()
                            .filter(range -> range.segment() == segment)
                            .filter(range ->
                                    range.bdfFirst() <= (bdf | 0xff) && bdf <= range.bdfLast())
                            .findFirst()
                            .orElseThrow(() ->
                                    new UsageException(
                                            "--pci-bridge %s: no --range has a function of that bus"
                                                    .formatted(text)));
            // Counted on from the range, so that ids go on meaning what they do there.
            long endpoint = behind.endpointFirst() + bdf - behind.bdfFirst();
            aliases.add(
                    new Alias(
                            behind.iommu(),
                            segment,
                            bdf,
                            endpoint < 0 ? bdf : endpoint,
                            bdf < behind.bdfFirst()));
        }
        return aliases;
    }

    /**
     * Makes the topology, writes it where it was asked for and says so.
     *
     * @param topology refuses what cannot be with an IllegalArgumentException
     */
    void write(OutputKind kind, Supplier<byte[]> topology) throws IOException {
        if (output == null) {
            throw new UsageException("--output FILE is needed");
        }
        Outputs.check("--output", output, kind);
        byte[] content;
        try {
            content = topology.get();
        } catch (IllegalArgumentException e) {
            throw new UsageException(String.valueOf(e.getMessage()));
        }
        OutputFile.write(output, kind, content);
        System.out.printf("%s: %d bytes%n", output, content.length);
        List<Viot.PciRange> named = ranges.stream().map(TopologyOptions::range).toList();
        aliases(named).forEach(alias -> System.out.println(alias.text()));
        named.forEach(range ->
                range.warning().ifPresent(text -> System.err.println("ioasis: warning: " + text)));
    }

    private static Viot.Iommu iommu(String text) {
        Matcher matcher = ONE.matcher(text);
        if (!matcher.matches()) {
            throw new UsageException("--iommu: not [SEGMENT:]BUS:DEV.FN, as 00:01.0: " + text);
        }
        return new Viot.Iommu(segment(matcher, 1), bdf(matcher, 1));
    }

    private static Viot.PciRange range(String text) {
        Matcher matcher = RANGE.matcher(text);
        if (!matcher.matches()) {
            throw new UsageException("--range: not FIRST[-LAST][,endpoint=ID][,iommu=N]: " + text);
        }
        int first = bdf(matcher, 1);
        int last = matcher.group(6) == null ? first : bdf(matcher, 5);
        if (matcher.group(6) != null
                && matcher.group(5) != null
                && segment(matcher, 5) != segment(matcher, 1)) {
            throw new UsageException("--range: both ends must be in one segment: " + text);
        }
        long endpoint = first;
        int iommu = 0;
        for (String option : matcher.group(9).split(",", -1)) {
            if (option.startsWith("endpoint=")) {
                endpoint = number("--range", option, "endpoint=");
            } else if (option.startsWith("iommu=")) {
                iommu = Integer.parseInt(option.substring("iommu=".length()));
            }
        }
        return new Viot.PciRange(iommu, segment(matcher, 1), first, last, endpoint);
    }

    /** The number of 32 bits behind {@code key}. */
    static long number(String argument, String option, String key) {
        try {
            return Unsigned.parse(option.substring(key.length()), 0xffff_ffffL);
        } catch (NumberFormatException e) {
            throw new UsageException("%s %s %s".formatted(argument, key, e.getMessage()));
        }
    }

    private static int segment(Matcher matcher, int group) {
        String text = matcher.group(group);
        return text == null ? 0 : Integer.parseInt(text, 16);
    }

    private static int bdf(Matcher matcher, int group) {
        return Viot.bdf(
                Integer.parseInt(matcher.group(group + 1), 16),
                Integer.parseInt(matcher.group(group + 2), 16),
                Integer.parseInt(matcher.group(group + 3), 16));
    }
}
