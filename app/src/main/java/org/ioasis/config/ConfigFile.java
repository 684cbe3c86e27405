// SPDX-License-Identifier: Apache-2.0
package org.ioasis.config;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.ioasis.config.Draft.DeviceDraft;
import org.ioasis.config.Draft.Ids;
import org.ioasis.config.Draft.IommuDraft;
import org.ioasis.config.Draft.MachineDraft;
import org.ioasis.config.Draft.Present;
import org.ioasis.config.Problem.Place;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommu.ReservedWindows;
import org.ioasis.kind.Kinds;
import org.ioasis.live.TraceConfig;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.DeviceKind;
import org.ioasis.machine.IommuTransport;
import org.ioasis.machine.Machine;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Ranges;
import org.ioasis.virtio.iommu.Injection;
import org.ioasis.virtio.iommu.Profile;
import org.ioasis.virtqueue.RingFormat;
import org.jspecify.annotations.Nullable;
import org.tomlj.Toml;
import org.tomlj.TomlParseResult;

/**
 * Reads the configuration of {@code ioasis serve}, TOML 1.0; docs/config.md names every key. Keys
 * that the virtio specification has a name for have that name. Any thread.
 */
public final class ConfigFile {
    private static final long SIZE_MAX = 1 << 20;
    private static final long POLL_MICROS = IdlePolicy.ADAPTIVE.lookNanos() / 1000;

    /** Pages of the processors that guests run on: 4 KiB to 1 GiB. */
    private static final long GRANULE_MIN = 0x1000;

    private static final long GRANULE_MAX = 0x4000_0000;

    private static final Pattern ADDRESS = Pattern.compile("00:([0-9a-f]{2})\\.0");

    private final List<Problem> problems = new ArrayList<>();

    /** What endpoints of the present machine have unless they say otherwise. */
    private EndpointProperties usualEndpoint = Machine.X86_ENDPOINT;

    private ConfigFile() {}

    /**
     * Reads and checks the file. Paths in it are relative to its folder.
     *
     * @throws ConfigException with everything that is wrong
     * @throws IOException it cannot be read
     */
    public static ServeConfig read(Path file) throws IOException, ConfigException {
        if (Files.isDirectory(file)) {
            throw new IOException(file + " is a folder");
        }
        // A pipe would be waited for.
        if (Files.exists(file) && !Files.isRegularFile(file)) {
            throw new IOException(file + " is no regular file");
        }
        if (Files.size(file) > SIZE_MAX) {
            throw new IOException(file + " is larger than 1 MiB");
        }
        Path parent = file.getParent();
        try {
            return parse(
                    Files.readString(file), parent == null ? Path.of("") : parent, file.toString());
        } catch (CharacterCodingException e) {
            throw new IOException(file + " is not text in UTF-8", e);
        }
    }

    static ServeConfig parse(String text, Path folder, String name) throws ConfigException {
        ConfigFile reader = new ConfigFile();
        TomlParseResult toml;
        try {
            toml = Toml.parse(text);
        } catch (StackOverflowError e) {
            throw new ConfigException(
                    name,
                    List.of(
                            new Problem(
                                    new Place(1, 1), "arrays or tables are nested too deeply")));
        }
        if (toml.hasErrors()) {
            // What does not parse has no keys to judge.
            toml.errors()
                    .forEach(error ->
                            reader.problems.add(
                                    new Problem(
                                            new Place(
                                                    error.position().line(),
                                                    error.position().column()),
                                            String.valueOf(error.getMessage()))));
            throw new ConfigException(name, reader.problems);
        }
        ServeConfig config =
                reader.config(new TableReader(toml, new Place(1, 1), folder, reader.problems));
        if (!reader.problems.isEmpty()) {
            throw new ConfigException(name, reader.problems);
        }
        return config;
    }

    private ServeConfig config(TableReader file) {
        Path control = file.path("control");
        Path traceFile = file.path("trace");
        String format = file.string("trace_format", "text");
        if (!format.equals("text") && !format.equals("json")) {
            file.problem("trace_format", "must be \"text\" or \"json\"");
        }
        int limit =
                (int)
                        file.integer(
                                "trace_limit", 1, TraceConfig.LIMIT_MIB_MAX, TraceConfig.LIMIT_MIB);
        List<MachineDraft> machines = new ArrayList<>();
        for (TableReader machine : file.tables("machine")) {
            machines.add(machine(machine, machines.size()));
        }
        if (!file.has("machine")) {
            problems.add(new Problem(file.place(), "there is no [[machine]]"));
        }
        file.finish();
        return new ServeConfig(
                new Draft(problems).resolve(machines, control),
                control,
                traceFile == null ? null : TraceConfig.of(traceFile, format.equals("json"), limit));
    }

    private MachineDraft machine(TableReader machine, int index) {
        String name = machine.string("name", "machine" + index);
        long pollMicros = machine.integer("poll_us", 0, 1_000_000, POLL_MICROS);
        int maps =
                (int)
                        machine.integer(
                                "max_dma_maps",
                                1,
                                GuestMemory.REGION_LIMIT,
                                GuestMemory.REGION_LIMIT);
        RingFormat rings = rings(machine);
        Path viot = machine.path("viot");
        usualEndpoint = usualEndpoint(machine);
        List<IommuDraft> iommus = new ArrayList<>();
        for (TableReader iommu : machine.tables("iommu")) {
            iommus.add(iommu(iommu));
        }
        machine.finish();
        return new MachineDraft(
                machine.place(), name, pollMicros * 1000, maps, rings, viot, iommus);
    }

    private static RingFormat rings(TableReader machine) {
        String ring = machine.string("ring", "split");
        if (!ring.equals("split") && !ring.equals("packed")) {
            machine.problem("ring", "must be \"split\" or \"packed\"");
        }
        return ring.equals("packed") ? RingFormat.PACKED : RingFormat.SPLIT;
    }

    /** With the doorbells of the machine's interrupt controller. */
    private static EndpointProperties usualEndpoint(TableReader machine) {
        String msi = machine.string("msi");
        try {
            return msi == null ? Machine.X86_ENDPOINT : Doorbells.endpoint(msi, machine.folder());
        } catch (IOException e) {
            machine.problem("msi", String.valueOf(e.getMessage()));
            return Machine.X86_ENDPOINT;
        }
    }

    private IommuDraft iommu(TableReader iommu) {
        String name = iommu.string("name");
        Path socket = iommu.requiredPathOrFolder("socket");
        IommuTransport transport = transport(iommu);
        int slot = slot(iommu);
        IommuOptions usual = IommuOptions.DEFAULT;
        long mask = iommu.unsigned("page_size_mask", 64, usual.pageSizeMask());
        long granule = Long.lowestOneBit(mask);
        if (mask == 0) {
            iommu.problem("page_size_mask", "needs at least one bit");
            mask = usual.pageSizeMask();
        } else if (granule < GRANULE_MIN || granule > GRANULE_MAX) {
            iommu.problem(
                    "page_size_mask",
                    "0x%x: its lowest bit is the smallest page, 0x%x to 0x%x, as a guest has them"
                            .formatted(mask, GRANULE_MIN, GRANULE_MAX));
            mask = usual.pageSizeMask();
        }
        Range input =
                range(iommu, "input_range", 64, new Range(usual.inputFirst(), usual.inputLast()));
        Range domain = range(iommu, "domain_range", 32, new Range(0, 0xffff_ffffL));
        long mappings = iommu.integer("mappings_max", 1, 1L << 32, usual.mappingLimit());
        long tables = tableBytes(iommu, "tables_max", usual.tableLimit());
        IommuOptions options =
                IommuOptions.builder()
                        .pageSizeMask(mask)
                        .inputRange(input.start, input.end)
                        .domainRange((int) domain.start, (int) domain.end)
                        .bypassAtStart(iommu.bool("bypass", usual.bypassAtStart()))
                        .detachByEndpoint(
                                iommu.bool("detach_by_endpoint", usual.detachByEndpoint()))
                        .identityBesideNone(
                                iommu.bool("identity_beside_none", usual.identityBesideNone()))
                        .endpointLimit(
                                (int)
                                        iommu.integer(
                                                "endpoints_max", 1, 1 << 20, usual.endpointLimit()))
                        .domainLimit(
                                (int) iommu.integer("domains_max", 1, 1 << 20, usual.domainLimit()))
                        .mappingLimit(mappings)
                        .tableLimit(tables)
                        .endpointMappingLimit(
                                iommu.integer("endpoint_mappings_max", 1, 1L << 32, mappings))
                        .endpointTableLimit(tableBytes(iommu, "endpoint_tables_max", tables))
                        .build();
        List<DeviceDraft> devices = new ArrayList<>();
        for (DeviceKind kind : Kinds.ALL) {
            for (TableReader device : iommu.tables(kind.key())) {
                addDevice(devices, device, kind);
            }
        }
        Present present = new Present(iommu.ids("present"), usualEndpoint);
        List<Injection> injections = injections(iommu);
        Profile profile = profile(iommu, options);
        iommu.finish();
        return new IommuDraft(
                iommu.place(),
                name,
                socket,
                transport,
                slot,
                options,
                profile,
                devices,
                present,
                injections);
    }

    private static IommuTransport transport(TableReader iommu) {
        String transport = iommu.string("transport", "vfio-user");
        if (!transport.equals("vfio-user") && !transport.equals("vhost-user")) {
            iommu.problem("transport", "must be \"vfio-user\" or \"vhost-user\"");
        }
        return transport.equals("vhost-user")
                ? IommuTransport.VHOST_USER
                : IommuTransport.VFIO_USER;
    }

    private static @Nullable Profile profile(TableReader iommu, IommuOptions options) {
        String label = iommu.string("profile");
        Profile profile = label == null ? null : Profile.of(label);
        if (label != null && profile == null) {
            iommu.problem(
                    "profile",
                    "\"%s\" is not one of %s"
                            .formatted(
                                    label,
                                    Arrays.stream(Profile.values())
                                            .map(Profile::label)
                                            .collect(Collectors.joining(", "))));
        }
        if (profile != null && (options.inputFirst() != 0 || options.inputLast() != -1L)) {
            iommu.problem("profile", "a table of the driver's own keeps to no input_range");
        }
        return profile;
    }

    /** Bytes of mapping tables; they are used as whole tables of 4 KiB. */
    private static long tableBytes(TableReader iommu, String key, long usual) {
        return iommu.integer(key, 64 << 10, 1L << 40, usual);
    }

    private static List<Injection> injections(TableReader iommu) {
        List<Injection> injections = new ArrayList<>();
        TableReader table = iommu.table("inject");
        if (table == null) {
            return injections;
        }
        for (String name : Injection.NAMES) {
            long value = table.integer(name, Long.MIN_VALUE, Long.MAX_VALUE, Long.MIN_VALUE);
            if (value != Long.MIN_VALUE) {
                try {
                    injections.add(Injection.of(name, value));
                } catch (IllegalArgumentException e) {
                    table.problem(name, String.valueOf(e.getMessage()));
                }
            }
        }
        table.finish();
        return injections;
    }

    private void addDevice(List<DeviceDraft> devices, TableReader device, DeviceKind kind) {
        DeviceKind.Described described = kind.read(device);
        String name = device.string("name");
        Path socket = device.requiredPathOrFolder("socket");
        long endpoint = device.unsigned("endpoint", 32, -1);
        List<Ids> aliases = aliases(device);
        int slot = slot(device);
        EndpointProperties properties = properties(device);
        device.finish();
        if (described != null) {
            devices.add(
                    new DeviceDraft(
                            device.place(),
                            name,
                            socket,
                            endpoint,
                            aliases,
                            slot,
                            properties,
                            kind,
                            described));
        }
    }

    private static List<Ids> aliases(TableReader device) {
        List<Ids> aliases = device.ids("aliases");
        if (aliases.stream().anyMatch(ids -> ids.first() != ids.last())) {
            device.problem("aliases", "an alias is one id");
        }
        return aliases;
    }

    private EndpointProperties properties(TableReader endpoint) {
        EndpointProperties usual = usualEndpoint;
        long mask = endpoint.unsigned("page_size_mask", 64, 0);
        Range input =
                range(
                        endpoint,
                        "input_range",
                        64,
                        new Range(usual.inputFirst(), usual.inputLast()));
        ReservedWindows reserved = usual.reserved();
        if (endpoint.has("resv_mem")) {
            List<ReservedRegion> regions = new ArrayList<>();
            for (TableReader region : endpoint.tables("resv_mem")) {
                ReservedRegion.Kind kind = kind(region);
                Range range = startAndEnd(region, 64, null);
                region.finish();
                if (kind != null && range != null) {
                    refuseOverlap(region, range, regions);
                    regions.add(new ReservedRegion(range.start, range.end, kind));
                }
            }
            reserved = ReservedWindows.of(regions);
        }
        return new EndpointProperties(mask, input.start, input.end, reserved);
    }

    private static void refuseOverlap(
            TableReader region, Range range, List<ReservedRegion> others) {
        for (ReservedRegion other : others) {
            if (Ranges.overlap(range.start, range.end, other.first(), other.last())) {
                region.problem(
                        "start",
                        "0x%x to 0x%x overlaps 0x%x to 0x%x"
                                .formatted(range.start, range.end, other.first(), other.last()));
            }
        }
    }

    private ReservedRegion.@Nullable Kind kind(TableReader region) {
        String subtype = region.string("subtype", "RESERVED");
        return switch (subtype.toUpperCase(Locale.ROOT)) {
            case "RESERVED" -> ReservedRegion.Kind.RESERVED;
            case "MSI" -> ReservedRegion.Kind.MSI;
            case "IDENTITY" -> ReservedRegion.Kind.IDENTITY;
            default -> {
                region.problem("subtype", "must be RESERVED, MSI or IDENTITY, not " + subtype);
                yield null;
            }
        };
    }

    /** Both inclusive, unsigned. */
    private record Range(long start, long end) {}

    private Range range(TableReader table, String key, int bits, Range otherwise) {
        TableReader inner = table.table(key);
        if (inner == null) {
            return otherwise;
        }
        Range range = startAndEnd(inner, bits, otherwise);
        inner.finish();
        return range == null ? otherwise : range;
    }

    /** A range; null, and a problem, if it is none. What is left out is as in {@code otherwise}. */
    private @Nullable Range startAndEnd(TableReader table, int bits, @Nullable Range otherwise) {
        if (otherwise == null && !(table.has("start") && table.has("end"))) {
            problems.add(new Problem(table.place(), "needs start and end"));
            return null;
        }
        long start = table.unsigned("start", bits, otherwise == null ? 0 : otherwise.start);
        long end = table.unsigned("end", bits, otherwise == null ? -1L : otherwise.end);
        if (Long.compareUnsigned(end, start) < 0) {
            table.problem("end", "is before start (both are inclusive)");
            return null;
        }
        return new Range(start, end);
    }

    /** The slot of {@code address}; 0 if there is none. */
    private int slot(TableReader table) {
        String address = table.string("address");
        if (address == null) {
            return 0;
        }
        Matcher matcher = ADDRESS.matcher(address);
        if (matcher.matches()) {
            int slot = Integer.parseInt(matcher.group(1), 16);
            if (slot >= Draft.SLOT_FIRST && slot <= Draft.SLOT_LAST) {
                return slot;
            }
        }
        table.problem("address", "must be 00:01.0 to 00:1e.0, not " + address);
        return 0;
    }
}
