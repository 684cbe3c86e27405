// SPDX-License-Identifier: Apache-2.0
package org.ioasis.config;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.ioasis.config.Problem.Place;
import org.ioasis.config.ServeConfig.DeviceConfig;
import org.ioasis.config.ServeConfig.IommuConfig;
import org.ioasis.config.ServeConfig.MachineConfig;
import org.ioasis.config.ServeConfig.PresentConfig;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.live.Unsigned;
import org.ioasis.machine.DeviceKind;
import org.ioasis.machine.DevicePlace;
import org.ioasis.machine.IommuTransport;
import org.ioasis.topology.Viot;
import org.ioasis.virtio.iommu.Injection;
import org.ioasis.virtio.iommu.Profile;
import org.ioasis.virtqueue.RingFormat;
import org.jspecify.annotations.Nullable;

/**
 * A configuration as it was written, before it is checked as a whole and what was left out is
 * filled in. One thread.
 */
final class Draft {
    /** Slot 0 of a q35 is its host bridge and slot 31 its LPC bridge. */
    static final int SLOT_FIRST = 1;

    static final int SLOT_LAST = 30;

    /**
     * Those that a QEMU gives to devices of its own: on a pc the chipset, VGA and network in 1 to
     * 3, on a q35 the last two in 1 and 2. With {@code -usb} a q35 uses 1a and 1d, and libvirt has
     * a bridge in 1e.
     */
    private static final List<Integer> SLOTS_LAST_CHOSEN = List.of(0x1e, 0x1d, 0x1a, 3, 2, 1);

    /**
     * In which order slots are chosen. QEMU gives a device without an address the lowest that is
     * free, so ours begin in the middle and come to the low ones from above.
     */
    private static final List<Integer> SLOTS =
            Stream.concat(
                            IntStream.concat(
                                            IntStream.rangeClosed(0x10, 0x1c),
                                            IntStream.iterate(0xf, s -> s >= 4, s -> s - 1))
                                    .boxed()
                                    .filter(slot -> !SLOTS_LAST_CHOSEN.contains(slot)),
                            SLOTS_LAST_CHOSEN.stream())
                    .toList();

    /** What sun_path of unix(7) has room for, without the final zero. */
    private static final int SOCKET_PATH_BYTES = 107;

    static final long U32_MAX = 0xffff_ffffL;

    /** What machines and devices can be called. */
    static final String NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,39}";

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
            int maxDmaMaps,
            RingFormat rings,
            @Nullable Path viot,
            List<IommuDraft> iommus) {}

    /** One IOMMU as written; a slot of 0 is to be chosen. */
    record IommuDraft(
            Place place,
            @Nullable String name,
            Path socket,
            IommuTransport transport,
            int slot,
            IommuOptions options,
            @Nullable Profile profile,
            List<DeviceDraft> devices,
            Present present,
            List<Injection> injections) {}

    /**
     * Endpoints whose accesses do not come through us.
     *
     * @param properties what all of them have; an alias has those of its device
     */
    record Present(List<Ids> ids, EndpointProperties properties) {}

    /** Endpoint ids, both ends included, 32-bit unsigned. */
    record Ids(long first, long last) {
        /** One id as 16 or 0x10, or two with a dash between; null if it is neither. */
        static @Nullable Ids parse(String text) {
            try {
                int dash = text.indexOf('-');
                long first = Unsigned.parse(dash < 0 ? text : text.substring(0, dash), U32_MAX);
                long last = dash < 0 ? first : Unsigned.parse(text.substring(dash + 1), U32_MAX);
                return last < first ? null : new Ids(first, last);
            } catch (NumberFormatException e) {
                return null;
            }
        }
    }

    /**
     * One device behind an IOMMU as written; a slot of 0 and an endpoint of -1 are to be chosen.
     *
     * @param aliases ids by which a guest knows it too, because a bridge stands before it
     */
    record DeviceDraft(
            Place place,
            @Nullable String name,
            Path socket,
            long endpoint,
            List<Ids> aliases,
            int slot,
            EndpointProperties properties,
            DeviceKind kind,
            DeviceKind.Described described) {}

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
            machines.add(
                    new MachineConfig(
                            draft.name,
                            draft.pollNanos,
                            draft.maxDmaMaps,
                            draft.rings,
                            viot,
                            iommus(draft)));
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
                slots.keep(device.endpoint);
            }
        }
        // IOMMUs choose first: where a guest looks for the functions behind one, it must be known.
        Map<IommuDraft, Integer> iommuSlots = new HashMap<>();
        for (IommuDraft iommu : machine.iommus) {
            iommuSlots.put(iommu, iommu.slot != 0 ? iommu.slot : slots.next(iommu.place));
        }
        Set<String> names = new HashSet<>();
        List<IommuConfig> iommus = new ArrayList<>();
        Map<DeviceKind, Integer> numbers = new HashMap<>();
        for (IommuDraft iommu : machine.iommus) {
            String name = iommu.name != null ? iommu.name : "iommu" + iommus.size();
            checkName(iommu.place, name, names);
            checkSocket(iommu.place, iommu.socket);
            Map<Long, String> endpoints = new HashMap<>();
            List<DeviceConfig> devices = new ArrayList<>();
            for (DeviceDraft device : iommu.devices) {
                int number = numbers.merge(device.kind, 1, Integer::sum) - 1;
                String usual = device.kind.usualName() + number;
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
                DevicePlace place =
                        new DevicePlace(
                                deviceName, device.socket, (int) endpoint, device.properties);
                devices.add(new DeviceConfig(device.described.at(place), bdf));
            }
            List<PresentConfig> present = present(iommu, endpoints);
            int count = devices.size() + present.size();
            if (count > iommu.options.endpointLimit()) {
                problem(
                        iommu.place,
                        "%d endpoints are more than endpoints_max, %d"
                                .formatted(count, iommu.options.endpointLimit()));
            }
            int slot = iommuSlots.getOrDefault(iommu, SLOT_FIRST);
            iommus.add(
                    new IommuConfig(
                            name,
                            iommu.socket,
                            iommu.transport,
                            Viot.bdf(0, slot, 0),
                            iommu.options,
                            iommu.profile,
                            devices,
                            present,
                            iommu.injections));
        }
        return iommus;
    }

    /**
     * The aliases of the devices, which those behind one bridge share, and what else is declared;
     * ids that are a device's own are left out of a range.
     *
     * @param endpoints who has which id
     */
    private List<PresentConfig> present(IommuDraft iommu, Map<Long, String> endpoints) {
        Map<Long, EndpointProperties> present = new LinkedHashMap<>();
        int limit = iommu.options.endpointLimit();
        for (DeviceDraft device : iommu.devices) {
            for (Ids alias : device.aliases) {
                String other = endpoints.get(alias.first);
                if (other != null) {
                    problem(
                            device.place,
                            "the alias 0x%x is the endpoint of %s".formatted(alias.first, other));
                }
                present.putIfAbsent(alias.first, device.properties);
            }
        }
        for (Ids ids : iommu.present.ids) {
            for (long id = ids.first; id <= ids.last && present.size() <= limit; id++) {
                if (!endpoints.containsKey(id)) {
                    present.putIfAbsent(id, iommu.present.properties);
                }
            }
        }
        return present.entrySet().stream()
                .map(one -> new PresentConfig(one.getKey().intValue(), one.getValue()))
                .toList();
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
        device.described.check(text -> problem(device.place, text));
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

    /** The slots of a machine's root bus. */
    private final class Slots {
        private final Set<Integer> taken = new HashSet<>();
        private final Set<Integer> kept = new HashSet<>();

        void take(Place place, int slot) {
            if (slot != 0 && !taken.add(slot)) {
                problem(place, "two functions at 00:%02x.0".formatted(slot));
            }
        }

        /** Leaves a slot to whoever has its function's number as endpoint, as long as it goes. */
        void keep(long endpoint) {
            if (endpoint >= 0 && endpoint <= 0xff) {
                kept.add((int) endpoint >>> 3);
            }
        }

        /** The slot whose function has the endpoint's id as its number, if it is free. */
        int choose(Place place, long endpoint) {
            if (endpoint >= 0 && endpoint <= 0xff && (endpoint & 7) == 0) {
                int slot = (int) endpoint >>> 3;
                if (SLOTS.contains(slot) && !SLOTS_LAST_CHOSEN.contains(slot) && taken.add(slot)) {
                    return slot;
                }
            }
            return next(place);
        }

        int next(Place place) {
            for (int slot : SLOTS) {
                if (!kept.contains(slot) && taken.add(slot)) {
                    return slot;
                }
            }
            for (int slot : SLOTS) {
                if (taken.add(slot)) {
                    return slot;
                }
            }
            problem(
                    place,
                    "no slot of the root bus is free: at most %d devices and IOMMUs"
                            .formatted(SLOTS.size()));
            return 0;
        }
    }
}
