// SPDX-License-Identifier: Apache-2.0
package org.ioasis.demo;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.ioasis.virtio.iommu.driver.FaultReport;

/** A demonstration in 80 columns and 24 lines, and in one. Any thread. */
public final class DemoScreen {
    /** Columns of a line. */
    public static final int COLUMNS = 80;

    /** Lines at most. */
    public static final int LINES = 24;

    private static final int BAR = 56;

    private DemoScreen() {}

    /** What is shown while it runs. */
    public static List<String> lines(Demo demo, String ring, double seconds, double of) {
        DemoFigures figures = demo.figures();
        List<String> lines = new ArrayList<>();
        lines.add("Ioasis: a driver, an IOMMU, a disk and a rogue in one process");
        lines.add("");
        lines.add(bar(seconds, of));
        lines.add("");
        lines.add(
                "  disk    %s requests of 64 KiB, %s"
                        .formatted(count(figures.requests()), rate(figures.bytes(), seconds)));
        lines.add(
                "          %s read back and compared, %s wrong"
                        .formatted(size(figures.verifiedBytes()), count(figures.wrong())));
        lines.add("");
        lines.add(
                "  IOMMU   %s MAP, %s UNMAP over a %s ring, %s each second"
                        .formatted(
                                count(figures.maps()),
                                count(figures.unmaps()),
                                ring,
                                count(
                                        (long)
                                                ((figures.maps() + figures.unmaps())
                                                        / Math.max(seconds, 0.001)))));
        lines.add("          mapped now: %s".formatted(count(demo.mappings())));
        lines.add("");
        lines.add(
                "  rogue   %s shots at memory, at anything, and at what was unmapped"
                        .formatted(count(figures.shots())));
        lines.add(
                "          %s stopped, %s got out"
                        .formatted(
                                count(figures.stopped()),
                                count(figures.shots() - figures.stopped())));
        lines.add("");
        lines.add(
                "  faults  %s told to the driver; the last ones:"
                        .formatted(count(figures.faults())));
        demo.faults().forEach(fault -> lines.add("          " + text(fault)));
        return lines.stream()
                .limit(LINES)
                .map(line -> line.substring(0, Math.min(COLUMNS, line.length())))
                .toList();
    }

    private static String bar(double seconds, double of) {
        int done = (int) Math.clamp((long) (BAR * seconds / of), 0L, BAR);
        return "  [%s%s] %.1f of %.0f s"
                .formatted("#".repeat(done), ".".repeat(BAR - done), seconds, of);
    }

    private static String text(FaultReport fault) {
        return "endpoint %d %s 0x%016x %s"
                .formatted(
                        fault.endpoint(),
                        fault.isWrite() ? "write" : "read ",
                        fault.address(),
                        fault.reason());
    }

    /** What is said in the end. */
    public static String figures(DemoFigures figures, String ring, double seconds) {
        return ("%s: %.1f s, ring %s: %s requests, %s, %s verified, %s in the file; %s mappings came and"
                        + " went; %s shots of a rogue, %s got out")
                .formatted(
                        figures.isOk() ? "ok" : "FAILED",
                        seconds,
                        ring,
                        count(figures.requests()),
                        rate(figures.bytes(), seconds),
                        size(figures.verifiedBytes()),
                        size(figures.fileBytes()),
                        count(figures.unmaps()),
                        count(figures.shots()),
                        count(figures.shots() - figures.stopped()));
    }

    private static String count(long value) {
        return String.format(Locale.ROOT, "%,d", value);
    }

    private static String rate(long bytes, double seconds) {
        return size((long) (bytes / Math.max(seconds, 0.001))) + "/s";
    }

    private static String size(long bytes) {
        return bytes < 10L << 30
                ? count(bytes >> 20) + " MiB"
                : String.format(Locale.ROOT, "%.1f GiB", (double) bytes / (1L << 30));
    }
}
