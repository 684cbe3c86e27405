// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import static java.util.stream.Collectors.joining;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * One workload: how the peers are asked for it, and which benchmark of ours it is.
 *
 * @param name as in the peers' output
 * @param peerArgument that gives this line among others; empty if the peers have no such line
 * @param benchmark class and method of ours
 * @param parameters for it
 * @param isQuick belongs to the short run
 */
record Case(
        String name,
        String peerArgument,
        String benchmark,
        Map<String, String> parameters,
        boolean isQuick) {

    static final List<Case> ALL =
            List.of(
                    change("W1-map-65536", "w1", "w1Map", Map.of("n", "65536"), true),
                    change("W1-unmap-65536", "w1", "w1Unmap", Map.of("n", "65536"), true),
                    change("W1-map-1048576", "w1m", "w1Map", Map.of("n", "1048576"), false),
                    change("W1-unmap-1048576", "w1m", "w1Unmap", Map.of("n", "1048576"), false),
                    change("W2-pair-256", "w2s", "w2", Map.of("n", "256"), true),
                    change("W2-pair-4096", "w2l", "w2", Map.of("n", "4096"), true),
                    change("W2-pair-65536", "w2x", "w2", Map.of("n", "65536"), false),
                    translate("W3-rand-1024", "w3s", "w3", Map.of("n", "1024"), false),
                    translate("W3-rand-65536", "w3", "w3", Map.of("n", "65536"), true),
                    translate("W3-rand-1048576", "w3m", "w3", Map.of("n", "1048576"), true),
                    translate("W3-lat-65536", "w3l", "w3Latency", Map.of("n", "65536"), false),
                    translate("W3-lat-1048576", "w3ml", "w3Latency", Map.of("n", "1048576"), false),
                    translate("W4-hot16", "w4", "w4", Map.of(), true),
                    translate("W5-64k-scatter", "w5s", "w5", Map.of("range", "scatter"), true),
                    translate("W5-64k-contig", "w5c", "w5", Map.of("range", "contig"), true),
                    change("W6-pair-1g", "w6-1g", "w6Pair", Map.of("range", "1g"), false),
                    translate("W6-rand-1g", "w6-1g", "w6", Map.of("range", "1g"), true),
                    change("W6-pair-64g", "w6-64g", "w6Pair", Map.of("range", "64g"), false),
                    translate("W6-rand-64g", "w6-64g", "w6", Map.of("range", "64g"), false),
                    change("W6-pair-1gm", "w6-1gm", "w6Pair", Map.of("range", "1gm"), false),
                    translate("W6-rand-1gm", "w6-1gm", "w6", Map.of("range", "1gm"), true),
                    change("W7-unmap-64k", "w7", "w7", Map.of("n", "65536"), true),
                    mixed("W8-rnd-xlate-alone", "w8", "rnd", "translate", true),
                    mixed("W8-rnd-xlate-both", "w8", "rnd", "both", true),
                    mixed("W8-rnd-pair-alone", "w8", "rnd", "map", false),
                    mixed("W8-rnd-pair-both", "w8", "rnd", "both", true),
                    mixed("W8-hot-xlate-alone", "w8h", "hot", "translate", false),
                    mixed("W8-hot-xlate-both", "w8h", "hot", "both", false),
                    mixed("W8-hot-pair-both", "w8h", "hot", "both", false),
                    new Case(
                            "own-refused",
                            "",
                            "ChangeBenchmarks.refused",
                            Map.of("n", "1024"),
                            true),
                    new Case(
                            "own-fault",
                            "",
                            "TranslateBenchmarks.fault",
                            Map.of("n", "1024"),
                            true),
                    requests("W9-req-b1", "w9b1", "w9Requests", "1", false),
                    requests("W9-req-b64", "w9b64", "w9Requests", "64", true),
                    new Case(
                            "W9-packed-b64",
                            "",
                            "RequestBenchmarks.w9Requests",
                            Map.of("batch", "64", "ring", "PACKED"),
                            true),
                    requests("W9-evfd-b1", "w9e1", "w9EventFd", "1", false),
                    requests("W9-evfd-b64", "w9e64", "w9EventFd", "64", false),
                    host("map-page-1", "map", "map", Map.of("domains", "1"), true),
                    host("map-page-2", "map", "map", Map.of("domains", "2"), false),
                    host("map-page-8", "map", "map", Map.of("domains", "8"), false),
                    host("map-2m-1", "map", "map", huge("1"), false),
                    host("map-2m-2", "map", "map", huge("2"), false),
                    host("map-2m-8", "map", "map", huge("8"), false),
                    host("copy-page", "copy", "copy", Map.of("domains", "1"), true),
                    host("copy-2m", "copy", "copy", huge("1"), false),
                    host("auto-100", "auto", "automatic", Map.of("n", "100"), false),
                    host("auto-1000", "auto", "automatic", Map.of("n", "1000"), false),
                    host("auto-10000", "auto", "automatic", Map.of("n", "10000"), true),
                    host("auto-100000", "auto", "automatic", Map.of("n", "100000"), false),
                    host("auto-1000000", "auto", "automatic", Map.of("n", "1000000"), false),
                    host("insert-100", "insert", "map", Map.of("n", "100"), false),
                    host("insert-10000", "insert", "map", Map.of("n", "10000"), true),
                    host("insert-1000000", "insert", "map", Map.of("n", "1000000"), false),
                    host("read-64", "access", "read", bytes("64"), true),
                    host("read-4096", "access", "read", bytes("4096"), false),
                    host("write-64", "access", "write", bytes("64"), false),
                    host("write-4096", "access", "write", bytes("4096"), false),
                    host("lookup-alone", "lookup", "lookUp", Map.of(), false),
                    host("lookup-churn", "lookup", "lookUp", Map.of("isChurned", "true"), true),
                    tce("put", "tce-put", "true"),
                    tce("put-user", "", "false"),
                    ioasid("alone", false),
                    ioasid("churn", true),
                    ioasid("reader", false),
                    nested("native", "1", true),
                    nested("native", "8", false),
                    nested("native", "63", false),
                    nested("native", "512", true),
                    nested("virtio", "1", false),
                    nested("virtio", "8", false),
                    nested("virtio", "63", false),
                    nested("virtio", "512", true),
                    nested("direct", "1", true),
                    nested("direct", "8", false),
                    nested("direct", "63", false),
                    nested("direct", "512", true),
                    new Case(
                            "host-nested-request",
                            "nested-request",
                            "NestedBenchmarks.pageRequest",
                            Map.of(),
                            true),
                    walk("vtd2-1", true),
                    walk("vtd1-1", false),
                    walk("amd-1", false),
                    walk("arm-1", false),
                    walk("vtd-2", true),
                    walk("amd-2", false),
                    walk("arm-2", true),
                    cached("hit", "vtd1-1", 16, true),
                    cached("hit", "vtd-2", 16, true),
                    cached("hit", "arm-2", 16, false),
                    cached("mixed", "vtd1-1", 65_536, false),
                    cached("mixed", "vtd-2", 65_536, true),
                    cached("mixed", "arm-2", 65_536, false),
                    new Case(
                            "host-nested-plain",
                            "",
                            "WalkBenchmarks.plain",
                            Map.of("form", "vtd-2", "n", "16"),
                            true),
                    iova("256-16", "256", "16", true),
                    iova("65536-16", "65536", "16", false),
                    iova("4096-512", "4096", "512", true),
                    new Case("host-iova-full", "iova-full", "IovaBenchmarks.full", Map.of(), true),
                    new Case("host-ioctl", "", "", Map.of(), true));

    /**
     * The workloads of a run.
     *
     * @param isQuick the short list
     * @param only what their names contain
     * @throws IllegalArgumentException no name does; the message has all
     */
    static List<Case> chosen(boolean isQuick, String only) {
        List<Case> listed = ALL.stream().filter(one -> one.isQuick || !isQuick).toList();
        List<Case> chosen = listed.stream().filter(one -> one.name.contains(only)).toList();
        if (chosen.isEmpty()) {
            throw new IllegalArgumentException(
                    "no workload%s has %s in its name; there are %s"
                            .formatted(
                                    isQuick ? " of the short list" : "",
                                    only,
                                    listed.stream().map(Case::name).collect(joining(", "))));
        }
        return chosen;
    }

    private static Case change(
            String name,
            String peerArgument,
            String method,
            Map<String, String> parameters,
            boolean isQuick) {
        return new Case(name, peerArgument, "ChangeBenchmarks." + method, parameters, isQuick);
    }

    private static Case host(
            String name,
            String what,
            String method,
            Map<String, String> parameters,
            boolean isQuick) {
        Map<String, String> all = new HashMap<>(parameters);
        all.put("what", what);
        return new Case("host-" + name, name, "HostBenchmarks." + method, all, isQuick);
    }

    private static Case tce(String name, String peerArgument, String isDirect) {
        return new Case(
                "host-tce-" + name,
                peerArgument,
                "TceBenchmarks.put",
                Map.of("isDirect", isDirect),
                true);
    }

    /** Look-ups of a PASID's owner, beside somebody. */
    private static Case ioasid(String beside, boolean isQuick) {
        return new Case(
                "host-ioasid-" + beside,
                "ioasid-" + beside,
                "IoasidBenchmarks.find",
                Map.of("beside", beside),
                isQuick);
    }

    /** A table of one or two stages, walked for each access. */
    private static Case walk(String form, boolean isQuick) {
        return new Case(
                "host-nested-walk-" + form,
                "walk-" + form,
                "WalkBenchmarks.walk",
                Map.of("form", form, "n", "65536"),
                isQuick);
    }

    /** The same with an IOTLB in front, which has room for all pages or for a sixteenth. */
    private static Case cached(String what, String form, int pages, boolean isQuick) {
        return new Case(
                "host-nested-" + what + "-" + form,
                what + "-" + form,
                "WalkBenchmarks.cached",
                Map.of("form", form, "n", Integer.toString(pages)),
                isQuick);
    }

    /** A driver's IOVAs: so many are live, of up to so many pages. */
    private static Case iova(String name, String live, String most, boolean isQuick) {
        return new Case(
                "host-iova-" + name,
                "iova-" + name,
                "IovaBenchmarks.churn",
                Map.of("live", live, "most", most),
                isQuick);
    }

    /** Invalidations of a guest, in so many entries at a time. */
    private static Case nested(String format, String batch, boolean isQuick) {
        return new Case(
                "host-nested-" + format + "-" + batch,
                "nested-" + format + "-" + batch,
                "NestedBenchmarks.invalidate",
                Map.of("format", format, "batch", batch),
                isQuick);
    }

    /** Mappings of 2 MiB. */
    private static Map<String, String> huge(String domains) {
        return Map.of("domains", domains, "length", "2097152", "n", "64");
    }

    private static Map<String, String> bytes(String length) {
        return Map.of("domains", "1", "n", length);
    }

    private static Case translate(
            String name,
            String peerArgument,
            String method,
            Map<String, String> parameters,
            boolean isQuick) {
        return new Case(name, peerArgument, "TranslateBenchmarks." + method, parameters, isQuick);
    }

    private static Case mixed(
            String name, String peerArgument, String addresses, String threads, boolean isQuick) {
        return new Case(
                name,
                peerArgument,
                "MixedBenchmarks.w8",
                Map.of("addresses", addresses, "threads", threads),
                isQuick);
    }

    private static Case requests(
            String name, String peerArgument, String method, String batch, boolean isQuick) {
        return new Case(
                name, peerArgument, "RequestBenchmarks." + method, Map.of("batch", batch), isQuick);
    }

    /** What stands behind {@code /dev/iommu}, which has a peer of its own. */
    boolean isHost() {
        return name.startsWith("host-");
    }

    /** Whom it is measured beside. */
    List<Peer> peers() {
        if (benchmark.startsWith("WalkBenchmarks.")) {
            return List.of(Peer.WALKER);
        }
        if (benchmark.startsWith("IovaBenchmarks.")) {
            return List.of(Peer.IOVA);
        }
        return isHost() ? List.of(Peer.KERNEL) : Peer.ALL;
    }

    /** A program under a supervisor, and no benchmark of one process. */
    boolean isRoundTrip() {
        return benchmark.isEmpty();
    }

    /** Wall time of several threads, and not CPU time of one. */
    boolean isWallTime() {
        return name.startsWith("W8") || name.startsWith("W9-evfd");
    }

    /** Two threads, each with a processor of its own: the process must not be pinned. */
    boolean isMixed() {
        return name.startsWith("W8")
                || name.equals("host-lookup-churn")
                || name.equals("host-ioasid-churn")
                || name.equals("host-ioasid-reader");
    }

    /** Prefix of the counters of {@link MixedBenchmarks.Meters} that this line is about. */
    String mixedCounter() {
        return name.contains("xlate") ? "translate" : "map";
    }
}
