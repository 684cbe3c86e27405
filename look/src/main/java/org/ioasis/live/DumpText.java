// SPDX-License-Identifier: Apache-2.0
package org.ioasis.live;

import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.StringJoiner;
import org.ioasis.iommu.DomainView;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.live.MachineView.DeviceView;
import org.ioasis.live.MachineView.EndpointView;
import org.ioasis.live.MachineView.IommuView;
import org.ioasis.live.MachineView.PresentView;
import org.ioasis.machine.Machine;
import org.ioasis.peer.ServedInfo;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.iommu.RequestType;

/** Machines as text for people. Pure functions; any thread. */
final class DumpText {
    private DumpText() {}

    static String of(List<MachineView> machines) {
        StringBuilder out = new StringBuilder();
        for (MachineView machine : machines) {
            out.append("machine ").append(machine.name());
            if (!machine.answers()) {
                out.append(": its loop does not answer");
            }
            if (machine.internalFailures() > 0) {
                out.append(", %d internal failures".formatted(machine.internalFailures()));
            }
            out.append('\n');
            machine.loop().lines().forEach(line -> out.append("  ").append(line).append('\n'));
            for (IommuView iommu : machine.iommus()) {
                append(out, iommu);
            }
        }
        return out.toString();
    }

    private static void append(StringBuilder out, IommuView iommu) {
        out.append("  iommu ").append(iommu.name()).append('\n');
        out.append("    session: ").append(session(iommu.server())).append('\n');
        out.append("    driver: ").append(driver(iommu.device())).append('\n');
        out.append(
                "    bypass %d, %d domains, %d mappings, %d refused by a limit%n"
                        .formatted(
                                iommu.isBypassing() ? 1 : 0,
                                iommu.domainCount(),
                                iommu.mappingCount(),
                                iommu.refusedByLimit()));
        out.append("    requests: ").append(requests(iommu)).append('\n');
        out.append(
                "    faults: %d, %d dropped, %d events delivered%n"
                        .formatted(iommu.faults(), iommu.faultsDropped(), iommu.eventsDelivered()));
        for (Fault fault : iommu.recentFaults()) {
            out.append("      ").append(Machine.describe(fault)).append('\n');
        }
        for (DomainView domain : iommu.domains()) {
            append(out, domain);
        }
        if (iommu.domainCount() > iommu.domains().size()) {
            out.append(
                    "    and %d more domains%n"
                            .formatted(iommu.domainCount() - iommu.domains().size()));
        }
        for (EndpointView endpoint : iommu.endpoints()) {
            append(out, endpoint);
        }
        for (PresentView present : iommu.present()) {
            out.append(
                    "    endpoint 0x%x, present; its accesses do not come through us%s%n"
                            .formatted(
                                    present.id(),
                                    present.domain() < 0
                                            ? ""
                                            : ", attached to domain 0x%x"
                                                    .formatted(present.domain())));
        }
        if (iommu.presentCount() > iommu.present().size()) {
            out.append(
                    "    and %d more that are present%n"
                            .formatted(iommu.presentCount() - iommu.present().size()));
        }
    }

    private static void append(StringBuilder out, DomainView domain) {
        StringJoiner endpoints = new StringJoiner(" ");
        endpoints.setEmptyValue("none");
        domain.endpoints().forEach(id -> endpoints.add("0x%x".formatted(id)));
        out.append("    domain 0x%x: ".formatted(domain.id()));
        out.append(
                domain.isBypass()
                        ? "bypass"
                        : "granule 0x%x, %d mappings"
                                .formatted(domain.granule(), domain.mappingCount()));
        out.append(", endpoints ").append(endpoints).append('\n');
        for (DomainView.MappingView mapping : domain.mappings()) {
            out.append(
                    "      0x%x..0x%x -> 0x%x %s%n"
                            .formatted(
                                    mapping.first(),
                                    mapping.last(),
                                    mapping.output(),
                                    flags(mapping.flags())));
        }
        long rest = domain.mappingCount() - domain.mappings().size();
        if (rest > 0) {
            out.append("      and %d more%n".formatted(rest));
        }
    }

    static String flags(int flags) {
        StringJoiner names = new StringJoiner("|");
        names.setEmptyValue("none");
        if ((flags & MapFlags.READ) != 0) {
            names.add("READ");
        }
        if ((flags & MapFlags.WRITE) != 0) {
            names.add("WRITE");
        }
        if ((flags & MapFlags.MMIO) != 0) {
            names.add("MMIO");
        }
        return names.toString();
    }

    private static void append(StringBuilder out, EndpointView endpoint) {
        EndpointCounts counts = endpoint.counts();
        out.append("    %s, endpoint 0x%x%n".formatted(endpoint.name(), endpoint.id()));
        out.append("      session: ").append(session(endpoint.server())).append('\n');
        out.append("      driver: ").append(driver(endpoint)).append('\n');
        out.append("      ")
                .append(
                        endpoint.domain() < 0
                                ? "not attached"
                                : "attached to domain 0x%x".formatted(endpoint.domain()))
                .append(endpoint.isIdentity() ? " (bypass)\n" : "\n");
        out.append(
                "      accesses: %d translated (%d bytes), %d identity, %d bypassed (%d after attach), %d faults%n"
                        .formatted(
                                counts.translations(),
                                counts.translatedBytes(),
                                counts.identity(),
                                counts.bypassed(),
                                counts.bypassedAfterAttach(),
                                counts.faults()));
        if (!endpoint.facts().isEmpty()) {
            StringJoiner facts = new StringJoiner(", ");
            endpoint.facts().forEach((name, fact) -> facts.add(name + " " + fact));
            out.append("      device: ").append(facts).append('\n');
        }
        StringJoiner work = new StringJoiner(", ");
        endpoint.work().forEach((name, count) -> work.add(name + " " + count));
        out.append("      work: ").append(work).append('\n');
    }

    private static String session(ServedInfo server) {
        String now =
                server.hasClient()
                        ? "connected, %d messages, %d errors (last: %s), %d regions (%d without descriptor, %d accesses refused there), %d MiB shared"
                                .formatted(
                                        server.messages(),
                                        server.errors(),
                                        server.lastError(),
                                        server.regions(),
                                        server.regionsWithoutDescriptor(),
                                        server.unreachableAccesses(),
                                        server.sharedBytes() >>> 20)
                        : "no VMM connected";
        return "%s; %d so far, %d refused%s at %s"
                .formatted(
                        now,
                        server.sessions(),
                        server.refused(),
                        server.lastEnd().isEmpty() ? "" : ", last end: " + server.lastEnd(),
                        server.socket());
    }

    private static String driver(EndpointView endpoint) {
        DeviceView device = endpoint.device();
        if (device != null) {
            return driver(device);
        }
        return endpoint.isMaster()
                ? "lets it touch memory (COMMAND.MASTER)"
                : "does not let it touch memory (COMMAND.MASTER is 0)";
    }

    private static String driver(DeviceView device) {
        String state;
        if (device.broken() != null) {
            state = "needs reset: " + device.broken();
        } else if (device.isStarted()) {
            state = "running, rings " + device.ring().name().toLowerCase(Locale.ROOT);
        } else if ((device.status() & Virtio.STATUS_FAILED) != 0) {
            state = "has given up";
        } else {
            state = device.status() == 0 ? "none" : "starting";
        }
        return "%s (status 0x%x, features 0x%x)"
                .formatted(state, device.status(), device.features());
    }

    private static String requests(IommuView iommu) {
        StringJoiner all = new StringJoiner(" ");
        for (RequestType type : RequestType.values()) {
            Map<Status, Long> byStatus = iommu.requests().getOrDefault(type, Map.of());
            for (Status status : Status.values()) {
                long count = byStatus.getOrDefault(status, 0L);
                if (count > 0) {
                    all.add("%s/%s=%d".formatted(type, status, count));
                }
            }
        }
        return all.add("unanswered=" + iommu.unanswered()).toString();
    }
}
