// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.io.InputStream;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.ioasis.config.ConfigException;
import org.ioasis.config.ConfigFile;
import org.ioasis.config.ServeConfig;
import org.ioasis.config.ServeConfig.DeviceConfig;
import org.ioasis.config.ServeConfig.IommuConfig;
import org.ioasis.config.ServeConfig.MachineConfig;
import org.ioasis.config.ServeConfig.PresentConfig;
import org.ioasis.live.Unsigned;
import org.ioasis.output.OutputKind;
import org.ioasis.topology.Viot;
import org.ioasis.topology.ViotReport;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code ioasis viot}: writes topology tables, and says what is wrong with one. Main thread. */
@Command(
        name = "viot",
        description = {
            "Write a VIOT, the ACPI table that tells a guest which PCI functions and which platform devices are behind"
                    + " which IOMMU, or check one, whoever wrote it."
        },
        mixinStandardHelpOptions = true,
        exitCodeListHeading = "%nExit codes:%n",
        exitCodeList = {
            "0:written; or nothing is wrong with the table",
            "1:something is wrong with it, or the file cannot be read or written",
            "2:wrong arguments"
        })
final class ViotCommand implements Callable<Integer> {
    private static final JsonFactory JSON = new JsonFactory();
    private static final Pattern DEVICE =
            Pattern.compile("([^,]+),(endpoint=[^,]+)(?:,iommu=([0-9]{1,5}))?");

    @Option(
            names = "--check",
            paramLabel = "FILE",
            description = "Explain everything that is wrong with the table in FILE.")
    private @Nullable Path check;

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description = {
                "With --check: what `ioasis serve --config FILE` serves. Ids of the table that no endpoint answers for are"
                        + " warned of."
            })
    private @Nullable Path config;

    @Option(
            names = "--machine",
            paramLabel = "NAME",
            description = "With --config: whose table it is (default: the first).")
    private @Nullable String machine;

    @Option(names = "--json", description = "With --check: nodes and findings as JSON.")
    private boolean json;

    @Mixin private TopologyOptions topology = new TopologyOptions();

    @Option(
            names = "--mmio-iommu",
            paramLabel = "BASE",
            description = {
                "A virtio-mmio IOMMU, by the address of its registers, as 0xa000000; repeatable. These are counted after"
                        + " those on PCI."
            })
    private List<String> mmioIommus = List.of();

    @Option(
            names = "--device",
            paramLabel = "BASE,endpoint=ID[,iommu=N]",
            description = {
                "A platform device behind an IOMMU, as 0xa000200,endpoint=0x20; repeatable. Without iommu= it is the first"
                        + " one (0)."
            })
    private List<String> devices = List.of();

    @Override
    public Integer call() throws IOException {
        Path file = check;
        if (file != null) {
            if (!topology.isEmpty() || !mmioIommus.isEmpty() || !devices.isEmpty()) {
                throw new UsageException(
                        "--check reads a table; --output, --iommu, --range, --pci-bridge, --mmio-iommu and --device"
                                + " write one");
            }
            if (Files.isDirectory(file)) {
                throw new UsageException("--check: %s is a folder".formatted(file));
            }
            if (Files.exists(file) && !Files.isRegularFile(file)) {
                throw new UsageException("--check: %s is no regular file".formatted(file));
            }
            return check(file);
        }
        if (config != null || machine != null) {
            throw new UsageException("--config and --machine are for what --check finds");
        }
        if (json) {
            throw new UsageException("--json is for what --check finds");
        }
        List<Viot.Unit> iommus = new ArrayList<>(topology.iommus());
        mmioIommus.forEach(text -> iommus.add(new Viot.MmioIommu(base("--mmio-iommu", text))));
        if (iommus.isEmpty()) {
            throw new UsageException(
                    "--check FILE, or --output FILE with --iommu or --mmio-iommu and --range");
        }
        topology.write(
                OutputKind.VIOT,
                () -> {
                    List<Viot.Behind> behind = new ArrayList<>(topology.ranges());
                    devices.forEach(text -> behind.add(device(text)));
                    return Viot.table(Viot.Oem.IOASIS, iommus, behind, Viot.OwnFunction.REFUSED);
                });
        return 0;
    }

    private static Viot.MmioEndpoint device(String text) {
        Matcher matcher = DEVICE.matcher(text);
        if (!matcher.matches()) {
            throw new UsageException("--device: not BASE,endpoint=ID[,iommu=N]: " + text);
        }
        return new Viot.MmioEndpoint(
                matcher.group(3) == null ? 0 : Integer.parseInt(matcher.group(3)),
                base("--device", matcher.group(1)),
                TopologyOptions.number("--device", matcher.group(2), "endpoint="));
    }

    /** The address of a device's registers. */
    private static long base(String option, String text) {
        try {
            return Unsigned.parse(text);
        } catch (NumberFormatException e) {
            throw new UsageException("%s: %s".formatted(option, e.getMessage()));
        }
    }

    private int check(Path file) throws IOException {
        Optional<Map<Integer, SortedSet<Long>>> served = served();
        byte[] bytes;
        // One byte more than the largest table shows that a file is larger.
        try (InputStream in = Files.newInputStream(file)) {
            bytes = in.readNBytes(ViotReport.SIZE_MAX + 1);
        }
        ViotReport report = ViotReport.of(bytes);
        List<ViotReport.Finding> warnings =
                served.isPresent() ? report.unserved(served.get()) : report.warnings();
        System.out.print(json ? json(report, warnings) : text(file, report, warnings));
        return report.isValid() ? 0 : 1;
    }

    /** The endpoints of each IOMMU, if there is a configuration. */
    private Optional<Map<Integer, SortedSet<Long>>> served() throws IOException {
        Path file = config;
        if (file == null) {
            if (machine != null) {
                throw new UsageException("--machine is one of --config FILE");
            }
            return Optional.empty();
        }
        ServeConfig what;
        try {
            what = ConfigFile.read(file);
        } catch (ConfigException e) {
            throw new UsageException(String.valueOf(e.getMessage()));
        }
        MachineConfig chosen =
                what.machines().stream()
                        .filter(one -> machine == null || one.name().equals(machine))
                        .findFirst()
                        .orElseThrow(() ->
                                new UsageException(
                                        "%s has no machine %s".formatted(file, machine)));
        Map<Integer, SortedSet<Long>> served = new HashMap<>();
        for (IommuConfig iommu : chosen.iommus()) {
            SortedSet<Long> ids = new TreeSet<>();
            for (DeviceConfig device : iommu.devices()) {
                ids.add(Integer.toUnsignedLong(device.options().place().endpoint()));
            }
            for (PresentConfig present : iommu.present()) {
                ids.add(Integer.toUnsignedLong(present.endpoint()));
            }
            served.put(iommu.bdf(), ids);
        }
        return Optional.of(served);
    }

    private static String text(Path file, ViotReport report, List<ViotReport.Finding> warnings) {
        List<String> lines = new ArrayList<>();
        report.nodes().forEach(node -> lines.add(node.text()));
        report.findings()
                .forEach(finding ->
                        lines.add(
                                "%s at 0x%x: %s"
                                        .formatted(
                                                finding.isError() ? "ERROR" : "note",
                                                finding.offset(),
                                                finding.text())));
        for (ViotReport.Finding warning : warnings) {
            lines.add("warning at 0x%x: %s".formatted(warning.offset(), warning.text()));
        }
        long errors = report.findings().stream().filter(ViotReport.Finding::isError).count();
        lines.add(
                errors == 0
                        ? file + ": nothing is wrong with this table"
                        : "%s: %d %s".formatted(file, errors, errors == 1 ? "error" : "errors"));
        return String.join("\n", lines) + "\n";
    }

    private static String json(ViotReport report, List<ViotReport.Finding> warnings)
            throws IOException {
        StringWriter text = new StringWriter();
        try (JsonGenerator json = JSON.createGenerator(text).useDefaultPrettyPrinter()) {
            json.writeStartObject();
            json.writeBooleanField("valid", report.isValid());
            json.writeArrayFieldStart("nodes");
            for (ViotReport.Node node : report.nodes()) {
                json.writeStartObject();
                json.writeNumberField("offset", node.offset());
                json.writeNumberField("type", node.type());
                writeFields(json, node);
                json.writeStringField("text", node.text());
                json.writeEndObject();
            }
            json.writeEndArray();
            json.writeArrayFieldStart("findings");
            for (ViotReport.Finding finding : report.findings()) {
                write(json, finding.isError() ? "error" : "note", finding);
            }
            for (ViotReport.Finding warning : warnings) {
                write(json, "warning", warning);
            }
            json.writeEndArray();
            json.writeEndObject();
        }
        return text + "\n";
    }

    /** What the node is made of; functions as lspci(8) writes them. */
    private static void writeFields(JsonGenerator json, ViotReport.Node node) throws IOException {
        switch (node) {
            case ViotReport.PciRange range -> {
                json.writeStringField("kind", "PCI range");
                json.writeStringField(
                        "first", Viot.function(range.segmentStart(), range.bdfStart()));
                json.writeStringField("last", Viot.function(range.segmentEnd(), range.bdfEnd()));
                json.writeNumberField("endpoint", range.endpointStart());
                json.writeNumberField("iommu", range.outputNode());
            }
            case ViotReport.MmioEndpoint device -> {
                json.writeStringField("kind", "MMIO endpoint");
                json.writeStringField("base", "0x%x".formatted(device.base()));
                json.writeNumberField("endpoint", device.endpoint());
                json.writeNumberField("iommu", device.outputNode());
            }
            case ViotReport.PciIommu iommu -> {
                json.writeStringField("kind", "virtio-iommu on PCI");
                json.writeStringField("function", Viot.function(iommu.segment(), iommu.bdf()));
            }
            case ViotReport.MmioIommu iommu -> {
                json.writeStringField("kind", "virtio-iommu on MMIO");
                json.writeStringField("base", "0x%x".formatted(iommu.base()));
            }
        }
    }

    private static void write(JsonGenerator json, String severity, ViotReport.Finding finding)
            throws IOException {
        json.writeStartObject();
        json.writeStringField("severity", severity);
        json.writeNumberField("offset", finding.offset());
        json.writeStringField("text", finding.text());
        json.writeEndObject();
    }
}
