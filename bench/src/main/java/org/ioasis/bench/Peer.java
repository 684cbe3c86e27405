// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * One of the baseline programs of {@code bench/peers}: the algorithm of another project, in C or
 * Rust.
 *
 * @param subject its name in results
 * @param program file in the folder where they were built
 * @param variant last argument of a program that holds several, or nothing
 */
record Peer(String subject, String program, String variant) {
    static final String C_RADIX = "radix-fast";

    /** What stands behind {@code /dev/iommu} in a kernel. */
    static final Peer KERNEL = new Peer("kernel-c", "hostmodel", "");

    /** Walks of page tables in software. */
    static final Peer WALKER = new Peer("kernel-c", "walker", "");

    /** IOVAs of a driver. */
    static final Peer IOVA = new Peer("kernel-c", "iova", "");

    /** The same for a program's calls. */
    static final Peer SUPERVISOR = new Peer("kernel-c", "hostserve", "");

    static final List<Peer> ALL =
            List.of(
                    new Peer("qemu-gtree", "qemu", ""),
                    new Peer("qemu-iovatree", "iovatree", ""),
                    new Peer("linux-rbtree", "rbtree", ""),
                    new Peer("ch-btreemap", "btree", "ch"),
                    new Peer("crosvm-btreemap", "btree", "crosvm"),
                    new Peer(C_RADIX, "fast", ""));

    /** One figure. */
    record Figure(String workload, double nsPerOp, long peakRssKiB) {}

    boolean isBuilt(Path folder) {
        return Files.isExecutable(folder.resolve(program));
    }

    /** Runs one workload; an answer without lines is one that the peer cannot do. */
    List<Figure> run(Path folder, Case workload, int repetitions, String processor)
            throws IOException, InterruptedException {
        List<String> command = new ArrayList<>();
        if (!workload.isMixed()) {
            command.addAll(List.of("taskset", "-c", processor));
        }
        command.add(folder.resolve(program).toString());
        command.add(workload.peerArgument());
        command.add(Integer.toString(repetitions));
        if (!variant.isEmpty()) {
            command.add(variant);
        }
        Process process =
                new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        process.waitFor();
        List<Figure> figures = new ArrayList<>();
        for (String line : output.lines().toList()) {
            String[] fields = line.split(",", -1);
            // A peer that cannot do it says so in words, or leaves the figure out.
            if (fields.length >= 7 && !fields[2].isEmpty()) {
                figures.add(
                        new Figure(
                                fields[1],
                                Double.parseDouble(fields[2]),
                                fields[6].isEmpty() ? 0 : Long.parseLong(fields[6])));
            }
        }
        return figures;
    }
}
