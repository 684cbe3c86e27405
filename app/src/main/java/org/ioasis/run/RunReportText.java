// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.iommu.Status;
import org.ioasis.virtio.iommu.RequestType;
import org.ioasis.virtio.net.NetCounters;

/** A report for people. Pure functions; any thread. */
public final class RunReportText {
    private static final long MIB = 1L << 20;

    private RunReportText() {}

    /** Several lines, the verdict last. */
    public static String of(RunReport report) {
        StringBuilder text = new StringBuilder();
        row(text, "kernel", report.kernel().orElse("unknown") + ", " + report.accel());
        report.driver().forEach((pci, driver) -> row(text, "IOMMU", pci + ", driver " + driver));
        for (RunReport.DeviceReport device : report.devices()) {
            EndpointCounts accesses = device.accesses();
            row(
                    text,
                    device.kind().equals(device.name())
                            ? device.name()
                            : device.kind() + " " + device.name(),
                    String.format(
                            Locale.ROOT,
                            "%s, group %s (%s), %,d translations, %,d MiB%s, bypassed %,d (%,d after ATTACH)",
                            device.pci(),
                            device.iommuGroup(),
                            device.domainType(),
                            accesses.translations(),
                            accesses.translatedBytes() / MIB,
                            identity(accesses),
                            accesses.bypassed(),
                            accesses.bypassedAfterAttach()));
        }
        row(
                text,
                "rings",
                report.rings().entrySet().stream()
                        .map(ring -> ring.getKey() + " " + ring.getValue())
                        .collect(Collectors.joining(", ")));
        StringBuilder requests = new StringBuilder();
        for (Map.Entry<RequestType, Map<Status, Long>> type : report.requests().entrySet()) {
            for (Map.Entry<Status, Long> status : type.getValue().entrySet()) {
                requests.append(
                        String.format(
                                Locale.ROOT,
                                "%s%s %,d %s",
                                requests.isEmpty() ? "" : ", ",
                                type.getKey(),
                                status.getValue(),
                                status.getKey()));
            }
        }
        if (report.unanswered() > 0) {
            requests.append(", unanswered ").append(report.unanswered());
        }
        row(text, "requests", requests.toString());
        report.guestTables()
                .ifPresent(tables ->
                        row(
                                text,
                                "nested",
                                String.format(
                                        Locale.ROOT,
                                        "%,d tables of the guest's, %,d times attached, %,d native invalidations,"
                                                + " %,d accesses: %,d by walks, the rest from the IOTLB",
                                        tables.made(),
                                        tables.attachments(),
                                        tables.nativeEntries(),
                                        report.accesses().walked(),
                                        tables.walks())));
        row(text, "faults", Long.toString(report.faults()));
        StringBuilder steps = new StringBuilder();
        report.steps()
                .forEach((name, seconds) ->
                        steps.append(
                                String.format(
                                        Locale.ROOT,
                                        "%s%s %.1f s",
                                        steps.isEmpty() ? "" : ", ",
                                        name,
                                        seconds)));
        row(text, "guest", steps.toString());
        report.network().ifPresent(network -> row(text, "network", network(network)));
        row(
                text,
                "verified",
                String.format(
                        Locale.ROOT,
                        "%,d bytes, seed 0x%016x, %.1f s in all",
                        report.bytesVerified(),
                        report.seed(),
                        report.seconds()));
        for (String problem : report.problems()) {
            text.append("PROBLEM: ").append(problem).append('\n');
        }
        return text.append(report.isOk() ? "OK" : "FAILED").append('\n').toString();
    }

    private static String network(RunReport.NetworkReport network) {
        NetCounters frames = network.frames();
        return String.format(
                Locale.ROOT,
                "%,d bytes down in %,d frames, %,d bytes up in %,d frames, %,d dropped, %.1f MiB/s",
                network.downBytes(),
                frames.received(),
                network.upBytes(),
                frames.sent(),
                frames.overrun() + frames.lost(),
                (network.downBytes() + network.upBytes())
                        / (double) MIB
                        / Math.max(1e-6, network.exchangeSeconds()));
    }

    /** Only where there is something to tell: it is the exception. */
    private static String identity(EndpointCounts accesses) {
        return accesses.identity() == 0
                ? ""
                : String.format(
                        Locale.ROOT,
                        ", in bypass domains %,d, %,d MiB",
                        accesses.identity(),
                        accesses.identityBytes() / MIB);
    }

    private static void row(StringBuilder text, String name, String value) {
        text.append(String.format(Locale.ROOT, "%-12s %s%n", name, value));
    }
}
