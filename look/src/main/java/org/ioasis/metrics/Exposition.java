// SPDX-License-Identifier: Apache-2.0
package org.ioasis.metrics;

import io.prometheus.metrics.config.EscapingScheme;
import io.prometheus.metrics.expositionformats.PrometheusTextFormatWriter;
import io.prometheus.metrics.model.snapshots.MetricSnapshot;
import io.prometheus.metrics.model.snapshots.MetricSnapshots;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.FaultReason;
import org.ioasis.live.MachineView;
import org.ioasis.live.MachineView.DeviceView;
import org.ioasis.live.MachineView.EndpointView;
import org.ioasis.live.MachineView.IommuView;
import org.ioasis.loop.LoopCounts;
import org.ioasis.peer.ServedInfo;
import org.ioasis.virtio.iommu.RequestType;
import org.ioasis.web.WebCounts;
import org.jspecify.annotations.Nullable;

/**
 * What machines have counted as metrics: names, units and labels by the conventions of Prometheus.
 * Labels are names of the configuration and words of ours, so that there are as many series as the
 * configuration makes, whatever a guest does. One thread, for one answer.
 */
final class Exposition {
    private static final String MACHINE = "machine";
    private static final String IOMMU = "iommu";
    private static final String DEVICE = "device";

    private final List<Family> families = new ArrayList<>();

    private final Family up =
            gauge("ioasis_machine_up", "1 if the machine's loop answers", MACHINE);
    private final Family failures =
            counter(
                    "ioasis_internal_failures",
                    "Calls on the machine's loop that failed, each a bug of Ioasis",
                    MACHINE);
    private final Family turns = counter("ioasis_loop_turns", "Turns of the loop", MACHINE);
    private final Family sleeps =
            counter("ioasis_loop_sleeps", "Turns in which the loop may have slept", MACHINE);
    private final Family events =
            counter("ioasis_loop_events", "Descriptors that were ready", MACHINE);
    private final Family tasks = counter("ioasis_loop_tasks", "Tasks that were run", MACHINE);
    private final Family looks =
            counter("ioasis_loop_looks", "Looks at all rings that are looked at", MACHINE);
    private final Family finds =
            counter("ioasis_loop_finds", "Devices for which a look has found work", MACHINE);
    private final Family crowded =
            counter(
                    "ioasis_loop_crowded",
                    "Times that looking was given up because others wanted the processor",
                    MACHINE);

    private final Family connected =
            gauge(
                    "ioasis_session_active",
                    "1 while a VMM is connected to the device",
                    MACHINE,
                    DEVICE);
    private final Family sessions =
            counter(
                    "ioasis_sessions",
                    "Sessions so far, the present one included",
                    MACHINE,
                    DEVICE);
    private final Family sessionsRefused =
            counter(
                    "ioasis_sessions_refused",
                    "Clients turned away because one was being served",
                    MACHINE,
                    DEVICE);
    private final Family shared =
            gauge(
                    "ioasis_shared_memory_bytes",
                    "Guest memory that the VMM shares with the device",
                    MACHINE,
                    DEVICE);
    private final Family unreachable =
            counter(
                    "ioasis_unreachable_accesses",
                    "Accesses that met memory which the VMM does not share",
                    MACHINE,
                    DEVICE);

    private final Family broken =
            gauge(
                    "ioasis_device_needs_reset",
                    "1 if the device stands until it is reset",
                    MACHINE,
                    DEVICE);
    private final Family started =
            gauge("ioasis_device_started", "1 if a driver has started the device", MACHINE, DEVICE);
    private final Family kicks =
            counter("ioasis_device_kicks", "Notifications of the driver", MACHINE, DEVICE);
    private final Family interrupts =
            counter("ioasis_device_interrupts", "Interrupts to the driver", MACHINE, DEVICE);

    private final Family domains =
            gauge("ioasis_domains", "Domains that are there", MACHINE, IOMMU);
    private final Family domainLimit =
            gauge("ioasis_domains_limit", "Most domains that there may be", MACHINE, IOMMU);
    private final Family mappings =
            gauge("ioasis_mappings", "Mappings that are there", MACHINE, IOMMU);
    private final Family mappingLimit =
            gauge("ioasis_mappings_limit", "Most mappings that there may be", MACHINE, IOMMU);
    private final Family requests =
            counter(
                    "ioasis_requests",
                    "Requests of the driver by what was asked and answered",
                    MACHINE,
                    IOMMU,
                    "type",
                    "status");
    private final Family unanswered =
            counter(
                    "ioasis_requests_unanswered",
                    "Requests given back unwritten: unknown ones and what cannot be parsed",
                    MACHINE,
                    IOMMU);
    private final Family limits =
            counter(
                    "ioasis_limit_refusals",
                    "Requests refused because a limit was reached, which Linux does not show",
                    MACHINE,
                    IOMMU);
    private final Family waits =
            counter(
                    "ioasis_unmap_waits",
                    "UNMAPs whose answer had to wait for accesses to end",
                    MACHINE,
                    IOMMU);
    private final Family faults =
            counter(
                    "ioasis_faults",
                    "Refused accesses: the endpoint is in no domain, or the domain has no such mapping",
                    MACHINE,
                    IOMMU,
                    "reason");
    private final Family faultsDropped =
            counter(
                    "ioasis_faults_dropped",
                    "Refused accesses that came faster than the driver is told of",
                    MACHINE,
                    IOMMU);
    private final Family faultEvents =
            counter("ioasis_fault_events", "Faults that the driver was told of", MACHINE, IOMMU);

    private final Family attached =
            gauge(
                    "ioasis_endpoint_attached",
                    "1 if it is attached to a domain",
                    MACHINE,
                    IOMMU,
                    DEVICE);
    private final Family accesses =
            counter(
                    "ioasis_dma_accesses",
                    "Accesses of the device by what answered them",
                    MACHINE,
                    IOMMU,
                    DEVICE,
                    "through");
    private final Family bytes =
            counter(
                    "ioasis_dma_bytes",
                    "Bytes that the device has copied through mappings or in bypass domains",
                    MACHINE,
                    IOMMU,
                    DEVICE,
                    "through");
    private final Family bypassed =
            counter(
                    "ioasis_dma_bypassed_after_attach",
                    "Accesses past the IOMMU although the endpoint had been attached before",
                    MACHINE,
                    IOMMU,
                    DEVICE);
    private final Family refused =
            counter(
                    "ioasis_dma_faults",
                    "Accesses of the device that were refused",
                    MACHINE,
                    IOMMU,
                    DEVICE);
    private final Family operations =
            counter(
                    "ioasis_device_operations",
                    "What the device has done, by its own counters",
                    MACHINE,
                    DEVICE,
                    "operation");
    private final Family deviceBytes =
            counter(
                    "ioasis_device_bytes",
                    "Bytes that the device has moved, by its own counters",
                    MACHINE,
                    DEVICE,
                    "operation");

    private final Family http =
            counter("ioasis_metrics_requests", "Requests to the server of these metrics");
    private final Family httpRefused =
            counter(
                    "ioasis_metrics_connections_refused",
                    "Connections to it that came while as many were open as may be");

    private Exposition() {}

    /** The text that a scrape gets. */
    static String of(List<MachineView> machines, WebCounts web) {
        Exposition exposition = new Exposition();
        machines.forEach(exposition::add);
        exposition.http.put(web.requests());
        exposition.httpRefused.put(web.connectionsRefused());
        return exposition.text();
    }

    private Family counter(String name, String help, String... labels) {
        return family(new Family(true, name, help, labels));
    }

    private Family gauge(String name, String help, String... labels) {
        return family(new Family(false, name, help, labels));
    }

    private Family family(Family family) {
        families.add(family);
        return family;
    }

    private void add(MachineView machine) {
        String name = machine.name();
        LoopCounts counts = machine.counts();
        up.put(machine.answers(), name);
        failures.put(machine.internalFailures(), name);
        turns.put(counts.turns(), name);
        sleeps.put(counts.sleeps(), name);
        events.put(counts.events(), name);
        tasks.put(counts.tasks(), name);
        looks.put(counts.looks(), name);
        finds.put(counts.finds(), name);
        crowded.put(counts.crowded(), name);
        machine.iommus().forEach(iommu -> add(name, iommu));
    }

    private void add(String machine, IommuView view) {
        String iommu = view.name();
        add(machine, iommu, view.server());
        add(machine, iommu, view.device());
        domains.put(view.domainCount(), machine, iommu);
        domainLimit.put(view.options().domainLimit(), machine, iommu);
        mappings.put(view.mappingCount(), machine, iommu);
        mappingLimit.put(view.options().mappingLimit(), machine, iommu);
        for (RequestType type : RequestType.values()) {
            for (Status status : Status.values()) {
                long count = view.requests().getOrDefault(type, Map.of()).getOrDefault(status, 0L);
                // What goes well is there from the start, so that a rate has where to begin.
                if (count > 0 || (status == Status.OK && type != RequestType.UNKNOWN)) {
                    requests.put(count, machine, iommu, word(type), word(status));
                }
            }
        }
        unanswered.put(view.unanswered(), machine, iommu);
        limits.put(view.refusedByLimit(), machine, iommu);
        waits.put(view.unmapWaits(), machine, iommu);
        for (FaultReason reason : FaultReason.values()) {
            faults.put(
                    view.faultsByReason().getOrDefault(reason, 0L), machine, iommu, word(reason));
        }
        faultsDropped.put(view.faultsDropped(), machine, iommu);
        faultEvents.put(view.eventsDelivered(), machine, iommu);
        view.endpoints().forEach(endpoint -> add(machine, iommu, endpoint));
    }

    private void add(String machine, String device, ServedInfo server) {
        connected.put(server.hasClient(), machine, device);
        sessions.put(server.sessions(), machine, device);
        sessionsRefused.put(server.refused(), machine, device);
        shared.put(server.sharedBytes(), machine, device);
        unreachable.put(server.unreachableAccesses(), machine, device);
    }

    private void add(String machine, String device, @Nullable DeviceView view) {
        if (view != null) {
            broken.put(view.broken() != null, machine, device);
            started.put(view.isStarted(), machine, device);
            kicks.put(view.kicks(), machine, device);
            interrupts.put(view.interrupts(), machine, device);
        }
    }

    private void add(String machine, String iommu, EndpointView view) {
        String device = view.name();
        EndpointCounts counts = view.counts();
        add(machine, device, view.server());
        add(machine, device, view.device());
        attached.put(view.domain() >= 0, machine, iommu, device);
        accesses.put(counts.translations(), machine, iommu, device, "mapping");
        accesses.put(counts.identity(), machine, iommu, device, "identity");
        accesses.put(counts.bypassed(), machine, iommu, device, "bypass");
        bytes.put(counts.translatedBytes(), machine, iommu, device, "mapping");
        bytes.put(counts.identityBytes(), machine, iommu, device, "identity");
        bypassed.put(counts.bypassedAfterAttach(), machine, iommu, device);
        refused.put(counts.faults(), machine, iommu, device);
        view.work()
                .forEach((work, count) ->
                        (isOfBytes(work) ? deviceBytes : operations)
                                .put(count, machine, device, work));
    }

    private static boolean isOfBytes(String work) {
        return work.toLowerCase(Locale.ROOT).contains("bytes");
    }

    private static String word(Enum<?> value) {
        return value.name().toLowerCase(Locale.ROOT);
    }

    private String text() {
        List<MetricSnapshot> filled =
                families.stream()
                        .filter(family -> !family.isEmpty())
                        .map(Family::snapshot)
                        .toList();
        ByteArrayOutputStream text = new ByteArrayOutputStream();
        try {
            PrometheusTextFormatWriter.create()
                    .write(text, new MetricSnapshots(filled), EscapingScheme.UNDERSCORE_ESCAPING);
        } catch (IOException e) {
            throw new IllegalStateException("writing to memory failed", e);
        }
        return text.toString(StandardCharsets.UTF_8);
    }
}
