// SPDX-License-Identifier: Apache-2.0
package org.ioasis.live;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import org.ioasis.iommu.DomainView;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.Refusal;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.fault.FaultReason;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.loop.LoopCounts;
import org.ioasis.machine.EndpointDevice;
import org.ioasis.machine.IommuUnit;
import org.ioasis.machine.Machine;
import org.ioasis.peer.ServedInfo;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.OfferedDevice;
import org.ioasis.virtio.VirtioDevice;
import org.ioasis.virtio.iommu.RequestCounts;
import org.ioasis.virtio.iommu.RequestType;
import org.ioasis.virtqueue.RingFormat;
import org.jspecify.annotations.Nullable;

/**
 * A machine at one moment, taken on its loop thread. Immutable.
 *
 * @param answers false if its loop does not: then nothing else is known
 * @param loop what the loop is doing, with its thread's stack; empty if all is well
 * @param internalFailures calls on the loop that failed, each a bug of ours
 * @param counts what the loop has done so far
 */
public record MachineView(
        String name,
        boolean answers,
        long internalFailures,
        String loop,
        LoopCounts counts,
        List<IommuView> iommus) {

    private static final int DOMAINS_MAX = 64;
    private static final int MAPPINGS_MAX = 32;
    private static final int PRESENT_MAX = 32;

    public MachineView {
        iommus = List.copyOf(iommus);
    }

    /**
     * A virtio device.
     *
     * @param id its device id (virtio 1.4, chapter 5)
     * @param status its status field
     * @param features what the driver has accepted
     * @param broken why it stands until it is reset, or null
     * @param kicks of the driver
     * @param interrupts to it
     */
    public record DeviceView(
            int id,
            int status,
            long features,
            @Nullable String broken,
            long kicks,
            long interrupts) {
        /** A driver has started it. */
        public boolean isStarted() {
            return (status & Virtio.STATUS_DRIVER_OK) != 0;
        }

        /** The driver may have started the device before it gave up. */
        boolean hasGivenUp() {
            return (status & Virtio.STATUS_FAILED) != 0;
        }

        /** How its virtqueues lie in memory. Only if it is started. */
        RingFormat ring() {
            return RingFormat.of(features);
        }

        boolean has(long feature) {
            return (features & feature) != 0;
        }
    }

    /**
     * An IOMMU.
     *
     * @param domains the first of {@code domainCount}
     * @param requests how many of each type ended how; none that is 0
     * @param unknownEndpoint one that the driver asked for and that is not there, or -1
     * @param present the first of {@code presentCount} endpoints whose accesses do not come through
     *     us
     * @param options that it was built with: its limits
     * @param unmapWaits UNMAPs whose answer had to wait for accesses to end
     */
    public record IommuView(
            String name,
            ServedInfo server,
            DeviceView device,
            boolean isBypassing,
            int domainCount,
            long mappingCount,
            List<DomainView> domains,
            Map<RequestType, Map<Status, Long>> requests,
            long unanswered,
            long refusedByLimit,
            @Nullable Refusal lastLimit,
            long faults,
            long faultsDropped,
            long eventsDelivered,
            List<Fault> recentFaults,
            List<Fault> firstFaults,
            long unknownEndpoint,
            List<EndpointView> endpoints,
            int presentCount,
            List<PresentView> present,
            IommuOptions options,
            Map<FaultReason, Long> faultsByReason,
            long unmapWaits) {
        public IommuView {
            faultsByReason = Map.copyOf(faultsByReason);
            domains = List.copyOf(domains);
            requests = Map.copyOf(requests);
            recentFaults = List.copyOf(recentFaults);
            firstFaults = List.copyOf(firstFaults);
            endpoints = List.copyOf(endpoints);
            present = List.copyOf(present);
        }
    }

    /**
     * A device behind an IOMMU.
     *
     * @param id of the endpoint, {@code 0..2^32-1}
     * @param domain that it is attached to, or -1
     * @param isIdentity that is a bypass domain
     * @param device null if it is no virtio device
     * @param isMaster its driver lets it touch memory (COMMAND.MASTER)
     * @param work what the device has done, by the name of what is counted
     * @param facts what else there is to know of it, by name
     * @param trouble what keeps it from its work besides, or null
     * @param silence what there is to say of it while no access of its has been seen, or nothing
     */
    public record EndpointView(
            String name,
            long id,
            ServedInfo server,
            @Nullable DeviceView device,
            boolean isMaster,
            boolean wasProbed,
            boolean wasAttached,
            long domain,
            boolean isIdentity,
            EndpointCounts counts,
            Map<String, Long> work,
            Map<String, String> facts,
            EndpointDevice.@Nullable Trouble trouble,
            String silence) {}

    /**
     * An endpoint that is only answered for.
     *
     * @param id {@code 0..2^32-1}
     * @param domain that it is attached to, or -1
     */
    public record PresentView(long id, boolean wasProbed, long domain) {}

    /** Takes a view of the machine; waits for its loop, two seconds at most. Any thread. */
    public static MachineView of(Machine machine) {
        return of(machine, MAPPINGS_MAX);
    }

    /** The same with at most so many mappings of each domain. */
    public static MachineView of(Machine machine, int mappingsMax) {
        List<IommuView> iommus = new ArrayList<>();
        List<List<IommuView>> taken = new ArrayList<>();
        boolean answers =
                machine.onLoop(() -> {
                    List<IommuView> views = new ArrayList<>();
                    for (IommuUnit unit : machine.iommus()) {
                        views.add(view(unit, mappingsMax));
                    }
                    taken.add(views);
                });
        if (answers && !taken.isEmpty()) {
            iommus.addAll(taken.getFirst());
        }
        boolean isKnown = answers && !taken.isEmpty();
        long failures = machine.internalFailures();
        return new MachineView(
                machine.name(),
                isKnown,
                failures,
                isKnown && failures == 0 ? "" : machine.loopState(),
                machine.loopCounts(),
                iommus);
    }

    /** For people. */
    public String text() {
        return DumpText.of(List.of(this));
    }

    private static IommuView view(IommuUnit unit, int mappingsMax) {
        Iommu engine = unit.engine();
        RequestCounts counts = unit.device().counts();
        return new IommuView(
                unit.name(),
                unit.server().info(),
                view(unit.offered()),
                engine.isBypassing(),
                engine.domainCount(),
                engine.mappingCount(),
                engine.domains(DOMAINS_MAX, mappingsMax),
                requests(counts),
                counts.unansweredRequests(),
                engine.refusedByLimit(),
                engine.lastLimit(),
                engine.faults().reported(),
                engine.faults().dropped(),
                unit.device().eventsDelivered(),
                engine.faults().recent(),
                engine.faults().firsts(),
                unit.device().unknownEndpoint(),
                unit.devices().stream().map(device -> view(device)).toList(),
                unit.present().size(),
                unit.present().stream()
                        .limit(PRESENT_MAX)
                        .map(endpoint ->
                                new PresentView(
                                        Integer.toUnsignedLong(endpoint.id()),
                                        endpoint.wasProbed(),
                                        endpoint.domainId()))
                        .toList(),
                engine.options(),
                faults(engine),
                engine.unmapWaits());
    }

    private static Map<FaultReason, Long> faults(Iommu engine) {
        Map<FaultReason, Long> faults = new EnumMap<>(FaultReason.class);
        for (FaultReason reason : FaultReason.values()) {
            faults.put(reason, engine.faults().reported(reason));
        }
        return faults;
    }

    private static DeviceView view(OfferedDevice offered) {
        VirtioDevice device = offered.device();
        return new DeviceView(
                device.id(),
                device.status(),
                device.driverFeatures(),
                device.brokenReason(),
                offered.kicks(),
                offered.interrupts());
    }

    private static EndpointView view(EndpointDevice device) {
        long domain = device.endpoint().domainId();
        return new EndpointView(
                device.name(),
                Integer.toUnsignedLong(device.endpoint().id()),
                device.server().info(),
                device.function() instanceof OfferedDevice function ? view(function) : null,
                device.function().isMaster(),
                device.endpoint().wasProbed(),
                device.endpoint().wasAttached(),
                domain,
                device.endpoint().attachment().kind() == Kind.IDENTITY,
                device.accesses(),
                device.work(),
                device.facts(),
                device.trouble().orElse(null),
                device.silence());
    }

    private static Map<RequestType, Map<Status, Long>> requests(RequestCounts counts) {
        Map<RequestType, Map<Status, Long>> requests = new EnumMap<>(RequestType.class);
        for (RequestType type : RequestType.values()) {
            Map<Status, Long> byStatus = new EnumMap<>(Status.class);
            for (Status status : Status.values()) {
                long count = counts.answeredWith(type, status);
                if (count > 0) {
                    byStatus.put(status, count);
                }
            }
            if (!byStatus.isEmpty()) {
                requests.put(type, byStatus);
            }
        }
        return requests;
    }
}
