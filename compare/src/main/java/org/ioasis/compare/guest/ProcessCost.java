// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.guest;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * What the threads of a process have cost so far, by their names without numbers (proc(5)). Threads
 * that have ended are not in it. Immutable.
 *
 * @param ticks of processor time
 * @param wakeups how often a thread went to sleep and was woken
 */
record ProcessCost(Map<String, Long> ticks, Map<String, Long> wakeups) {
    /** USER_HZ, which Linux shows to every program on every architecture that we know. */
    private static final double TICKS_PER_SECOND = 100;

    /** Of the fields behind the name in parentheses: utime and stime (proc_pid_stat(5)). */
    private static final int UTIME = 11;

    private static final int STIME = 12;
    private static final String WAKEUPS = "voluntary_ctxt_switches:";

    static ProcessCost of(long pid) throws IOException {
        Map<String, Long> ticks = new TreeMap<>();
        Map<String, Long> wakeups = new TreeMap<>();
        Path tasks = Path.of("/proc", Long.toString(pid), "task");
        List<Path> folders;
        try (Stream<Path> all = Files.list(tasks)) {
            folders = all.toList();
        }
        for (Path task : folders) {
            try {
                String stat = Files.readString(task.resolve("stat"));
                String name =
                        stat.substring(stat.indexOf('(') + 1, stat.lastIndexOf(')'))
                                .replaceAll("[-_ #]*\\d+$", "");
                String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ", -1);
                ticks.merge(
                        name,
                        Long.parseLong(fields[UTIME]) + Long.parseLong(fields[STIME]),
                        Long::sum);
                for (String line : Files.readAllLines(task.resolve("status"))) {
                    if (line.startsWith(WAKEUPS)) {
                        String number = line.substring(WAKEUPS.length()).strip();
                        wakeups.merge(name, Long.parseLong(number), Long::sum);
                    }
                }
            } catch (NoSuchFileException gone) {
                // The thread has ended since the folder was read.
            }
        }
        return new ProcessCost(ticks, wakeups);
    }

    /** Seconds of processor time that were spent since {@code earlier}. */
    Map<String, Double> secondsSince(ProcessCost earlier) {
        Map<String, Double> seconds = new TreeMap<>();
        ticks.forEach((name, now) -> {
            long spent = now - earlier.ticks.getOrDefault(name, 0L);
            if (spent > 0) {
                seconds.put(name, spent / TICKS_PER_SECOND);
            }
        });
        return seconds;
    }

    /** Wake-ups of all threads since {@code earlier}. */
    long wakeupsSince(ProcessCost earlier) {
        long sum = 0;
        for (Map.Entry<String, Long> one : wakeups.entrySet()) {
            sum += Math.max(0, one.getValue() - earlier.wakeups.getOrDefault(one.getKey(), 0L));
        }
        return sum;
    }
}
