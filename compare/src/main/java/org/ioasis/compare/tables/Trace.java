// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.tables;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What QEMU's IOMMUs write to its log ("-trace"), as events. The names and words are those of QEMU
 * 11; a line of an event that is not known here is of no interest. That a cache is emptied because
 * it is full is none either: what it held still holds. Any thread.
 */
final class Trace {
    private static final String HEX = "0x([0-9a-f]+)";

    /**
     * In entries of VT-d of both stages, as {@code Rights} has them: read or present, and write.
     */
    private static final int ENTRY_RIGHTS = 3;

    /** ARM counts levels of tables from the top. */
    private static final int LAST_LEVEL = 3;

    private static final int ENTRY_LG2 = 3;

    /** Bus, device and function. */
    private static final String BDF = "([0-9a-f]{2}):([0-9a-f]{2})\\.0?([0-7])";

    /** An event by the beginning of its line, and what becomes of what its line says. */
    private record Rule(String name, Pattern pattern, Function<Matcher, TraceEvent> made) {
        static Rule of(String name, String words, Function<Matcher, TraceEvent> made) {
            return new Rule(name, Pattern.compile(name + " " + words), made);
        }

        /** Something that must not be, whatever its words are. */
        static Rule trouble(String name) {
            return of(name, ".*", line -> new TraceEvent.Trouble(line.group()));
        }
    }

    private static final List<Rule> VTD =
            List.of(
                    Rule.of(
                            "vtd_dmar_translate",
                            "dev " + BDF + " iova " + HEX + " -> gpa " + HEX + " mask " + HEX,
                            m ->
                                    new TraceEvent.Translated(
                                            device(m, 1),
                                            hex(m, 4),
                                            hex(m, 5),
                                            Long.bitCount(hex(m, 6)),
                                            0)),
                    Rule.of(
                            "vtd_iotlb_page_update",
                            ".*sid " + HEX + " iova " + HEX + " slpte " + HEX + " domain " + HEX,
                            m ->
                                    new TraceEvent.Filled(
                                            (int) hex(m, 1),
                                            (int) hex(m, 4),
                                            hex(m, 2),
                                            0,
                                            (int) hex(m, 3) & ENTRY_RIGHTS)),
                    Rule.of(
                            "vtd_iotlb_page_hit",
                            ".*sid " + HEX + " iova " + HEX + " slpte " + HEX + " domain " + HEX,
                            m -> new TraceEvent.Found((int) hex(m, 1), (int) hex(m, 4), hex(m, 2))),
                    Rule.of(
                            "vtd_inv_desc",
                            "invalidate desc type .* high " + HEX + " low " + HEX,
                            m -> new TraceEvent.Command(hex(m, 2), hex(m, 1))),
                    Rule.trouble("vtd_dmar_fault"),
                    Rule.trouble("vtd_inv_desc_wait_write_fail"),
                    Rule.trouble("vtd_warn_invalid_qi_tail"));

    private static final List<Rule> AMD =
            List.of(
                    Rule.of(
                            "amdvi_translation_result",
                            "devid: " + BDF + " gpa " + HEX + " hpa " + HEX,
                            m ->
                                    new TraceEvent.Translated(
                                            device(m, 1), hex(m, 4), hex(m, 5), 0, 0)),
                    Rule.of(
                            "amdvi_cache_update",
                            ".*domid " + HEX + " devid: " + BDF + " gpa " + HEX + " hpa " + HEX,
                            m ->
                                    new TraceEvent.Filled(
                                            device(m, 2), (int) hex(m, 1), hex(m, 5), 0, 0)),
                    Rule.of(
                            "amdvi_iotlb_hit",
                            ".*devid " + BDF + " gpa " + HEX + " hpa " + HEX,
                            m -> new TraceEvent.Found(device(m, 1), TraceEvent.UNTOLD, hex(m, 4))),
                    Rule.of(
                            "amdvi_pages_inval",
                            ".*domain " + HEX + " invalidated",
                            m -> new TraceEvent.Dropped((int) hex(m, 1), 0, -1)),
                    Rule.of("amdvi_all_inval", ".*", _ -> allDropped()),
                    Rule.of("amdvi_devtab_inval", ".*", _ -> allDropped()),
                    Rule.of("amdvi_iotlb_inval", ".*", _ -> allDropped()),
                    Rule.trouble("amdvi_page_fault"),
                    Rule.trouble("amdvi_get_pte_hwerror"),
                    Rule.trouble("amdvi_mode_invalid"),
                    Rule.trouble("amdvi_dte_get_fail"),
                    Rule.trouble("amdvi_command_read_fail"),
                    Rule.trouble("amdvi_completion_wait_fail"),
                    Rule.trouble("amdvi_unhandled_command"));

    private static final List<Rule> SMMUV3 =
            List.of(
                    Rule.of(
                            "smmuv3_translate_success",
                            ".* sid="
                                    + HEX
                                    + " iova="
                                    + HEX
                                    + " translated="
                                    + HEX
                                    + " perm="
                                    + HEX
                                    + " .*",
                            m ->
                                    new TraceEvent.Translated(
                                            (int) hex(m, 1),
                                            hex(m, 2),
                                            hex(m, 3),
                                            0,
                                            (int) hex(m, 4))),
                    Rule.of(
                            "smmu_iotlb_insert",
                            ".*asid=(\\d+) vmid=.* addr=" + HEX + " tg=(\\d+) level=(\\d+)",
                            m -> {
                                int lg2 = granuleLg2(decimal(m, 3));
                                int above = LAST_LEVEL - decimal(m, 4);
                                return new TraceEvent.Filled(
                                        TraceEvent.UNTOLD,
                                        decimal(m, 1),
                                        hex(m, 2),
                                        lg2 + above * (lg2 - ENTRY_LG2),
                                        0);
                            }),
                    Rule.of(
                            "smmu_iotlb_lookup_hit",
                            ".*asid=(\\d+) vmid=.* addr=" + HEX + " .*",
                            m -> new TraceEvent.Found(TraceEvent.UNTOLD, decimal(m, 1), hex(m, 2))),
                    Rule.of(
                            "smmuv3_range_inval",
                            ".*asid=(-?\\d+) addr=" + HEX + " tg=(\\d+) num_pages=" + HEX + " .*",
                            m -> {
                                long first = hex(m, 2);
                                long bytes = hex(m, 4) << granuleLg2(decimal(m, 3));
                                return new TraceEvent.Dropped(
                                        decimal(m, 1), first, first + bytes - 1);
                            }),
                    Rule.of(
                            "smmuv3_cmdq_tlbi_nh_asid",
                            "asid=(\\d+)",
                            m -> new TraceEvent.Dropped(decimal(m, 1), 0, -1)),
                    Rule.of("smmuv3_cmdq_tlbi_nh", ".*", _ -> allDropped()),
                    Rule.of("smmuv3_cmdq_tlbi_nsnh", ".*", _ -> allDropped()),
                    Rule.trouble("smmuv3_translate_abort"),
                    Rule.trouble("smmu_ptw_invalid_pte"),
                    Rule.trouble("smmuv3_cmdq_consume_error"),
                    Rule.trouble("smmuv3_unhandled_cmd"));

    private Trace() {}

    /** What of QEMU's is listened to. */
    static List<String> names(Subject.Family family) {
        return rules(family).stream().map(Rule::name).toList();
    }

    private static List<Rule> rules(Subject.Family family) {
        return switch (family) {
            case VTD -> VTD;
            case AMD -> AMD;
            case SMMUV3 -> SMMUV3;
        };
    }

    /** The events of a log, in its order. */
    static List<TraceEvent> events(Subject.Family family, Iterable<String> lines) {
        List<TraceEvent> events = new ArrayList<>();
        for (String line : lines) {
            for (Rule rule : rules(family)) {
                Matcher matcher = rule.pattern().matcher(line);
                if (matcher.matches()) {
                    events.add(rule.made().apply(matcher));
                    break;
                }
            }
        }
        return events;
    }

    private static TraceEvent allDropped() {
        return new TraceEvent.Dropped(TraceEvent.UNTOLD, 0, -1);
    }

    private static long hex(Matcher m, int group) {
        return Long.parseUnsignedLong(m.group(group), 16);
    }

    private static int decimal(Matcher m, int group) {
        return Integer.parseInt(m.group(group));
    }

    /** SMMUv3, 4.4.1: TG of a command; without one it is about one page of the smallest size. */
    private static int granuleLg2(int tg) {
        return tg == 0 ? 12 : 10 + 2 * tg;
    }

    /** Its requester id, of the groups from {@code first} on. */
    private static int device(Matcher m, int first) {
        return (int) (hex(m, first) << 8 | hex(m, first + 1) << 3 | hex(m, first + 2));
    }
}
