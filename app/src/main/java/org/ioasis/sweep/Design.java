// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.function.Function;
import org.ioasis.iommu.iotlb.Iotlb;

/**
 * One way to build an IOMMU and its driver. Immutable.
 *
 * @param granuleLg2 buffers are mapped in whole granules
 * @param iotlb entries, or 0 for none
 */
public record Design(TableKind format, int granuleLg2, Flush flush, int iotlb)
        implements Serializable {
    /** Most designs of one sweep. */
    public static final int DESIGNS_MAX = 4096;

    private static final List<Integer> GRANULES_LG2 = List.of(12, 14, 16);
    private static final int KIB_LG2 = 10;

    /**
     * Each with each, in the order of the lists, formats outermost.
     *
     * @throws IllegalArgumentException with the option that is wrong and what it can be
     */
    public static List<Design> all(
            List<String> formats,
            List<String> granules,
            List<String> flushes,
            List<String> iotlbs) {
        Set<TableKind> kinds = each("--format", formats, TableKind::of);
        Set<Integer> sizes = each("--granule", granules, Design::granuleLg2);
        Set<Flush> ways = each("--flush", flushes, Flush::of);
        Set<Integer> entries = each("--iotlb", iotlbs, Design::iotlb);
        List<Design> designs = new ArrayList<>();
        for (TableKind kind : kinds) {
            for (int granuleLg2 : sizes) {
                for (Flush flush : ways) {
                    for (int iotlb : entries) {
                        designs.add(new Design(kind, granuleLg2, flush, iotlb));
                    }
                }
            }
        }
        if (designs.size() > DESIGNS_MAX) {
            throw new IllegalArgumentException(
                    "%d designs, and a sweep has %d at most"
                            .formatted(designs.size(), DESIGNS_MAX));
        }
        return designs;
    }

    private static <T> Set<T> each(String option, List<String> texts, Function<String, T> of) {
        Set<T> values = new LinkedHashSet<>();
        for (String text : texts) {
            try {
                values.add(of.apply(text));
            } catch (IllegalArgumentException e) {
                throw new IllegalArgumentException(option + " is " + e.getMessage(), e);
            }
        }
        if (values.isEmpty()) {
            throw new IllegalArgumentException(option + " needs a value");
        }
        return values;
    }

    private static int granuleLg2(String text) {
        for (int lg2 : GRANULES_LG2) {
            if (granule(lg2).equals(text.toLowerCase(Locale.ROOT))) {
                return lg2;
            }
        }
        throw new IllegalArgumentException("4k, 16k or 64k, not " + text);
    }

    private static String granule(int lg2) {
        return (1 << (lg2 - KIB_LG2)) + "k";
    }

    private static int iotlb(String text) {
        if (text.equals("none")) {
            return 0;
        }
        int entries = text.matches("\\d{1,7}") ? Integer.parseInt(text) : 0;
        if (entries < Iotlb.ENTRIES_MIN
                || entries > Iotlb.ENTRIES_MAX
                || Integer.bitCount(entries) != 1) {
            throw new IllegalArgumentException(
                    "none or a power of two of %d to %d, not %s"
                            .formatted(Iotlb.ENTRIES_MIN, Iotlb.ENTRIES_MAX, text));
        }
        return entries;
    }

    public long granule() {
        return 1L << granuleLg2;
    }

    /** The granule as the option has it. */
    public String granuleText() {
        return granule(granuleLg2);
    }

    /** The IOTLB as the option has it. */
    public String iotlbText() {
        return iotlb == 0 ? "none" : Integer.toString(iotlb);
    }

    /** What the tables depend on alone. */
    public String tablesText() {
        return format + " " + granuleText();
    }

    @Override
    public String toString() {
        return "%s %s iotlb %s".formatted(tablesText(), flush, iotlbText());
    }
}
