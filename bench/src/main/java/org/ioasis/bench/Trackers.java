// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import com.sun.management.ThreadMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.function.LongFunction;
import org.ioasis.output.OutputFile;
import org.ioasis.output.OutputKind;
import org.ioasis.vfio.tracker.ContiguousIova;
import org.ioasis.vfio.tracker.DeviceParsed;
import org.ioasis.vfio.tracker.PinAll;
import org.ioasis.vfio.tracker.PinTracker;
import org.ioasis.vfio.tracker.SparseArray;
import org.ioasis.vfio.tracker.SparseList;
import org.ioasis.vfio.tracker.SparsePageTable;
import org.ioasis.vfio.tracker.SparseRedBlackTree;

/**
 * The ways to keep what a mediated device has pinned, side by side: memory and time over the part
 * of a region of 512 MiB that is pinned. Prints a table, and draws it where it is told to. CPU time
 * of the thread, the median of repetitions after warm-up. Main thread.
 */
public final class Trackers {
    private static final long PAGES = (512L << 20) / PinTracker.PAGE;
    private static final long BASE = 1L << 40;
    private static final int CLUSTER = 64;
    private static final int REPETITIONS = 9;

    /** Pages that a repetition pins at least, so that the clock's grain is nothing. */
    private static final int WORK = 1 << 16;

    /** More of them would be a benchmark of patience. */
    private static final int LIST_MAX = 1 << 11;

    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    /** What keeps the compiler from dropping a look-up. */
    private static long sum;

    /**
     * One line of the table; nanoseconds are negative where there is no such call.
     *
     * @param bytes for each page that is pinned
     */
    record Figure(
            String tracker,
            boolean isClustered,
            long pinned,
            double bytes,
            double pin,
            double lookUp,
            double unpin) {}

    private Trackers() {}

    private static Map<String, LongFunction<PinTracker>> kinds() {
        Map<String, LongFunction<PinTracker>> kinds = new LinkedHashMap<>();
        kinds.put("array", SparseArray::new);
        kinds.put("red-black tree", SparseRedBlackTree::new);
        kinds.put("page table", SparsePageTable::new);
        kinds.put("contiguous IOVA", pages -> new ContiguousIova(pages, BASE));
        kinds.put("list", SparseList::new);
        kinds.put("device-parsed", DeviceParsed::new);
        kinds.put("pin-all", PinAll::new);
        return kinds;
    }

    /**
     * @param args where the drawing goes, or nothing
     */
    public static void main(String[] args) throws IOException {
        String refusal =
                args.length == 0 ? null : OutputFile.refusal(Path.of(args[0]), OutputKind.PLOT);
        if (refusal != null) {
            throw new IOException("--trackers: " + refusal);
        }
        // The compiler sees all of them first: none is measured as the only one there is.
        kinds().forEach((name, kind) ->
                measure(name, kind, false, (int) PAGES / 512, name.equals("pin-all")));
        List<Figure> figures = new ArrayList<>();
        System.out.println(
                "| tracker | pinned pages lie | part pinned | B/page | pin ns | look-up ns | unpin ns |");
        System.out.println("|---|---|---|---|---|---|---|");
        kinds().forEach((name, kind) -> {
            for (boolean isClustered : new boolean[] {false, true}) {
                for (long part : new long[] {512, 64, 8, 2, 1}) {
                    long count = PAGES / part;
                    boolean isOne = name.equals("pin-all");
                    boolean isLong = name.equals("list") && count > LIST_MAX;
                    if (isLong || (isOne && (count != PAGES || isClustered))) {
                        continue;
                    }
                    Figure figure = measure(name, kind, isClustered, (int) count, isOne);
                    figures.add(figure);
                    System.out.printf(
                            Locale.ROOT,
                            "| %s | %s | 1/%d | %.1f | %s | %s | %s |%n",
                            name,
                            isOne ? "everywhere" : isClustered ? "in runs of 64" : "anywhere",
                            part,
                            figure.bytes(),
                            text(figure.pin()),
                            text(figure.lookUp()),
                            text(figure.unpin()));
                }
            }
        });
        if (sum == 42) {
            System.out.println();
        }
        if (args.length > 0) {
            byte[] svg = TrackerPlot.draw(figures, PAGES).getBytes(StandardCharsets.UTF_8);
            OutputFile.write(Path.of(args[0]), OutputKind.PLOT, svg);
        }
    }

    private static String text(double nanos) {
        return nanos < 0 ? "–" : String.format(Locale.ROOT, "%.1f", nanos);
    }

    /** The pages that are pinned, in the order in which they are. */
    private static long[] pages(boolean isClustered, int count, boolean isInOrder) {
        long[] all = new long[(int) PAGES];
        Random random = new Random(count);
        int group = isClustered ? CLUSTER : 1;
        List<Long> groups = new ArrayList<>();
        for (long at = 0; at < PAGES; at += group) {
            groups.add(at);
        }
        if (!isInOrder) {
            Collections.shuffle(groups, random);
        }
        int next = 0;
        for (long first : groups) {
            for (int i = 0; i < group; i++) {
                all[next++] = first + i;
            }
        }
        return Arrays.copyOf(all, count);
    }

    private static Figure measure(
            String name,
            LongFunction<PinTracker> kind,
            boolean isClustered,
            int count,
            boolean isInOrder) {
        long[] pages = pages(isClustered, count, isInOrder);
        int rounds = Math.max(1, WORK / count);
        int warmUps = 4;
        double[] pin = new double[REPETITIONS];
        double[] lookUp = new double[REPETITIONS];
        double[] unpin = new double[REPETITIONS];
        double bytes = 0;
        for (int repetition = -warmUps; repetition < REPETITIONS; repetition++) {
            long[] nanos = new long[3];
            PinTracker tracker = kind.apply(PAGES);
            for (int round = 0; round < rounds; round++) {
                long start = THREADS.getCurrentThreadCpuTime();
                for (long page : pages) {
                    if (!tracker.retain(page)) {
                        tracker.add(page, BASE + page * PinTracker.PAGE);
                    }
                }
                long pinned = THREADS.getCurrentThreadCpuTime();
                bytes = (double) tracker.bytes() / count;
                for (long page : pages) {
                    sum += tracker.address(page);
                }
                long found = THREADS.getCurrentThreadCpuTime();
                for (int i = 0; i < count; i++) {
                    // In the order of pinning; what was pinned as a whole goes from its end.
                    sum += tracker.release(pages[isInOrder ? count - 1 - i : i]);
                }
                long end = THREADS.getCurrentThreadCpuTime();
                nanos[0] += pinned - start;
                nanos[1] += found - pinned;
                nanos[2] += end - found;
            }
            if (repetition >= 0) {
                double operations = (double) rounds * count;
                pin[repetition] = nanos[0] / operations;
                lookUp[repetition] = nanos[1] / operations;
                unpin[repetition] = nanos[2] / operations;
            }
        }
        boolean hasLookUp = !name.equals("device-parsed");
        return new Figure(
                name,
                isClustered,
                count,
                bytes,
                median(pin),
                hasLookUp ? median(lookUp) : -1,
                median(unpin));
    }

    private static double median(double[] values) {
        Arrays.sort(values);
        return values[values.length / 2];
    }
}
