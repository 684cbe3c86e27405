// SPDX-License-Identifier: Apache-2.0
package org.ioasis.config;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.ioasis.config.Problem.Place;
import org.ioasis.config.ServeConfig.DeviceConfig;
import org.ioasis.config.ServeConfig.IommuConfig;
import org.ioasis.config.ServeConfig.MachineConfig;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.machine.DeviceOptions;
import org.ioasis.machine.DiskOptions;
import org.ioasis.machine.RngOptions;
import org.ioasis.spec.VirtioBlk;
import org.ioasis.topology.Viot;
import org.ioasis.virtio.blk.BlkSettings;
import org.ioasis.virtio.iommu.Injection;
import org.jspecify.annotations.Nullable;

/**
 * A configuration as it was written, before it is checked as a whole and what was left out is
 * filled in. One thread.
 */
final class Draft {
    /** Slot 0 of a q35 is its host bridge and slot 31 its LPC bridge. */
    static final int SLOT_FIRST = 1;

    static final int SLOT_LAST = 30;

    /** What sun_path of unix(7) has room for, without the final zero. */
    private static final int SOCKET_PATH_BYTES = 107;

    private static final String NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,39}";

    /**
     * Properties of 24 bytes in the 512 of our probe_size, with a head of zeroes behind them
     * (virtio 1.4, 5.13.6.7).
     */
    private static final int REGIONS_MAX = 21;

    /** One machine as written. */
    record MachineDraft(
            Place place,
            String name,
            long pollNanos,
            @Nullable Path viot,
            List<IommuDraft> iommus) {}

    /** One IOMMU as written; a slot of 0 is to be chosen. */
    record IommuDraft(
            Place place,
            @Nullable String name,
            Path socket,
            int slot,
            IommuOptions options,
            List<DeviceDraft> devices,
            List<Injection> injections) {}

    /**
     * One device behind an IOMMU as written; a slot of 0 and an endpoint of -1 are to be chosen.
     */
    record DeviceDraft(
            Place place,
            @Nullable String name,
            Path socket,
            long endpoint,
            int slot,
            EndpointProperties properties,
            Kind kind) {}

    /** What only one kind of device has. */
    sealed interface Kind {
        /** A disk; its settings have no serial number yet. */
        record Blk(
                Path file,
                boolean isWritable,
                boolean isLocked,
                @Nullable String serial,
                BlkSettings settings)
                implements Kind {}

        /** An entropy device. */
        record Rng(boolean isRogue) implements Kind {}
    }

    private final List<Problem> problems;
    private final Set<Path> sockets = new HashSet<>();

    Draft(List<Problem> problems) {
        this.problems = problems;
    }

    private void problem(Place place, String text) {
        problems.add(new Problem(place, text));
    }

    /** The machines with everything filled in; only meant to be used if no problem was found. */
    List<MachineConfig> resolve(List<MachineDraft> drafts, @Nullable Path control) {
        if (control != null) {
            checkSocket(Place.COMMAND_LINE, control);
        }
        List<MachineConfig> machines = new ArrayList<>();
        Set<String> names = new HashSet<>();
        Set<Path> tables = new HashSet<>();
        for (MachineDraft draft : drafts) {
            if (!draft.name.matches(NAME)) {
                problem(draft.place, "\"" + draft.name + "\" is not a name: " + NAME);
            } else if (!names.add(draft.name)) {
                problem(draft.place, "a second machine is called " + draft.name);
            }
            if (draft.iommus.isEmpty()) {
                problem(draft.place, "machine " + draft.name + " has no IOMMU");
                continue;
            }
            Path viot = draft.viot != null ? draft.viot : table(draft.iommus.getFirst().socket);
            if (!tables.add(viot.toAbsolutePath().normalize())) {
                problem(draft.place, "two machines write their table to " + viot);
            }
            machines.add(new MachineConfig(draft.name, draft.pollNanos, viot, iommus(draft)));
        }
        return machines;
    }

    /** Beside the socket and under its name, which no other server of the folder has. */
    private static Path table(Path socket) {
        return socket.resolveSibling(socket.getFileName() + ".viot");
    }

    private List<IommuConfig> iommus(MachineDraft machine) {
        Slots slots = new Slots();
        for (IommuDraft iommu : machine.iommus) {
            slots.take(iommu.place, iommu.slot);
            for (DeviceDraft device : iommu.devices) {
                slots.take(device.place, device.slot);
            }
        }
        // IOMMUs choose first: where a guest looks for the functions behind one, it must be known.
        Map<IommuDraft, Integer> iommuSlots = new HashMap<>();
        for (IommuDraft iommu : machine.iommus) {
            iommuSlots.put(iommu, iommu.slot != 0 ? iommu.slot : slots.next(iommu.place));
        }
        Set<String> names = new HashSet<>();
        List<IommuConfig> iommus = new ArrayList<>();
        Numbers numbers = new Numbers();
        for (IommuDraft iommu : machine.iommus) {
            String name = iommu.name != null ? iommu.name : "iommu" + iommus.size();
            checkName(iommu.place, name, names);
            checkSocket(iommu.place, iommu.socket);
            Map<Long, String> endpoints = new HashMap<>();
            List<DeviceConfig> devices = new ArrayList<>();
            for (DeviceDraft device : iommu.devices) {
                String usual = numbers.nameOf(device.kind);
                String deviceName = device.name != null ? device.name : usual;
                checkName(device.place, deviceName, names);
                check(device, iommu.options);
                int slot =
                        device.slot != 0
                                ? device.slot
                                : slots.choose(device.place, device.endpoint);
                int bdf = Viot.bdf(0, slot, 0);
                long endpoint = device.endpoint >= 0 ? device.endpoint : bdf;
                String other = endpoints.put(endpoint, deviceName);
                if (other != null) {
                    problem(
                            device.place,
                            "%s and %s have the same endpoint 0x%x behind %s"
                                    .formatted(other, deviceName, endpoint, name));
                }
                devices.add(new DeviceConfig(options(device, deviceName, (int) endpoint), bdf));
            }
            if (devices.size() > iommu.options.endpointLimit()) {
                problem(
                        iommu.place,
                        "%d endpoints are more than endpoints_max, %d"
                                .formatted(devices.size(), iommu.options.endpointLimit()));
            }
            int slot = iommuSlots.getOrDefault(iommu, SLOT_FIRST);
            iommus.add(
                    new IommuConfig(
                            name,
                            iommu.socket,
                            Viot.bdf(0, slot, 0),
                            iommu.options,
                            devices,
                            iommu.injections));
        }
        return iommus;
    }

    /** Counts the devices of a machine by their kind. */
    private static final class Numbers {
        private int disks;
        private int rngs;

        /** The name of the next of that kind, unless it has another. */
        String nameOf(Kind kind) {
            return switch (kind) {
                case Kind.Blk _ -> "disk" + disks++;
                case Kind.Rng _ -> "rng" + rngs++;
            };
        }
    }

    private static DeviceOptions options(DeviceDraft device, String name, int endpoint) {
        return switch (device.kind) {
            case Kind.Blk blk ->
                    new DiskOptions(
                            name,
                            blk.file,
                            blk.isWritable,
                            blk.isLocked,
                            device.socket,
                            endpoint,
                            device.properties,
                            blk.settings.withSerial(serial(blk, name)));
            case Kind.Rng rng ->
                    new RngOptions(name, device.socket, endpoint, device.properties, rng.isRogue);
        };
    }

    private void checkName(Place place, String name, Set<String> names) {
        if (!name.matches(NAME)) {
            problem(place, "\"" + name + "\" is not a name: " + NAME);
        } else if (!names.add(name)) {
            problem(place, "a second device of the machine is called " + name);
        }
    }

    private void checkSocket(Place place, Path socket) {
        if (socket.toString().getBytes(StandardCharsets.UTF_8).length > SOCKET_PATH_BYTES) {
            problem(
                    place,
                    "socket path is longer than %d bytes: %s".formatted(SOCKET_PATH_BYTES, socket));
        }
        Path absolute = socket.toAbsolutePath().normalize();
        if (!sockets.add(absolute)) {
            problem(place, "a second socket at " + socket);
        }
        Path folder = absolute.getParent();
        if (folder == null || !Files.isDirectory(folder)) {
            problem(place, "there is no folder for the socket " + socket);
        }
    }

    private void check(DeviceDraft device, IommuOptions options) {
        checkSocket(device.place, device.socket);
        if (device.kind instanceof Kind.Blk blk) {
            check(device.place, blk);
        }
        long mask = device.properties.pageSizeMask();
        if (mask != 0 && (mask & options.pageSizeMask()) == 0) {
            problem(
                    device.place,
                    "page_size_mask 0x%x of the endpoint and 0x%x of its IOMMU have no size in common"
                            .formatted(mask, options.pageSizeMask()));
        }
        List<ReservedRegion> regions = device.properties.reserved().regions();
        if (regions.size() > REGIONS_MAX) {
            problem(
                    device.place,
                    "%d reserved regions; PROBE has room for %d"
                            .formatted(regions.size(), REGIONS_MAX));
        }
        if (regions.stream().filter(r -> r.kind() == ReservedRegion.Kind.MSI).count() > 1) {
            problem(device.place, "more than one MSI region");
        }
    }

    private void check(Place place, Kind.Blk disk) {
        if (!Files.exists(disk.file)) {
            problem(place, "there is no file " + disk.file);
        } else if (Files.isDirectory(disk.file)) {
            problem(place, disk.file + " is a folder");
        } else if (!Files.isReadable(disk.file)
                || (disk.isWritable && !Files.isWritable(disk.file))) {
            problem(
                    place,
                    "no permission to %s %s"
                            .formatted(disk.isWritable ? "write" : "read", disk.file));
        }
        String serial = disk.serial;
        if (serial != null && !BlkSettings.isSerial(serial)) {
            problem(
                    place,
                    "serial \"%s\" is not up to %d ASCII characters"
                            .formatted(serial, VirtioBlk.ID_BYTES));
        }
    }

    /** What was chosen, or the name as far as it fits; empty where neither is possible. */
    private static String serial(Kind.Blk disk, String name) {
        String chosen =
                disk.serial != null
                        ? disk.serial
                        : name.substring(0, Math.min(name.length(), VirtioBlk.ID_BYTES));
        return BlkSettings.isSerial(chosen) ? chosen : "";
    }

    /** The slots of a machine's root bus. */
    private final class Slots {
        private final Set<Integer> taken = new HashSet<>();

        void take(Place place, int slot) {
            if (slot != 0 && !taken.add(slot)) {
                problem(place, "two functions at 00:%02x.0".formatted(slot));
            }
        }

        /** The slot whose function has the endpoint's id as its number, if it is free. */
        int choose(Place place, long endpoint) {
            if (endpoint >= 0 && endpoint <= 0xff && (endpoint & 7) == 0) {
                int slot = (int) endpoint >>> 3;
                if (slot >= SLOT_FIRST && slot <= SLOT_LAST && taken.add(slot)) {
                    return slot;
                }
            }
            return next(place);
        }

        int next(Place place) {
            for (int slot = SLOT_FIRST; slot <= SLOT_LAST; slot++) {
                if (taken.add(slot)) {
                    return slot;
                }
            }
            problem(
                    place,
                    "no slot of the root bus is free: at most %d devices and IOMMUs"
                            .formatted(SLOT_LAST - SLOT_FIRST + 1));
            return SLOT_FIRST;
        }
    }
}
