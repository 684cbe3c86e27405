// SPDX-License-Identifier: Apache-2.0
package org.ioasis.selftests;

import java.util.ArrayList;
import java.util.List;

/**
 * The table that a test program prints of its cases: a block for each fixture, with its variants in
 * one column and its tests in another; each variant has each test. Any thread.
 */
final class CaseTable {
    private static final String HEAD = "# FIXTURE ";

    /** Where a fixture's name ends and a variant's begins; longer ones move what follows. */
    private static final int VARIANT_COLUMN = 21;

    private CaseTable() {}

    /**
     * Names of the cases.
     *
     * @param output the table, perhaps behind what else the program says
     */
    static List<String> names(String output) {
        List<String> names = new ArrayList<>();
        List<String> variants = new ArrayList<>();
        List<String> tests = new ArrayList<>();
        String fixture = "";
        boolean isFirst = true;
        int head = output.indexOf(HEAD);
        String table = head < 0 ? "" : output.substring(head);
        for (String line : (table + "\n---").lines().toList()) {
            if (line.startsWith("---")) {
                add(fixture, variants, tests, names);
                variants.clear();
                tests.clear();
                isFirst = true;
            } else if (!line.startsWith("#")) {
                int column = VARIANT_COLUMN;
                if (isFirst) {
                    fixture = line.substring(0, firstBlank(line));
                    column = Math.max(VARIANT_COLUMN, fixture.length() + 1);
                    isFirst = false;
                }
                String rest = column < line.length() ? line.substring(column) : "";
                String variant = rest.substring(0, firstBlank(rest));
                String test = rest.substring(variant.length()).strip();
                if (!variant.isEmpty()) {
                    variants.add(variant);
                }
                if (!test.isEmpty()) {
                    tests.add(test);
                }
            }
        }
        return names;
    }

    private static int firstBlank(String line) {
        int blank = line.indexOf(' ');
        return blank < 0 ? line.length() : blank;
    }

    private static void add(
            String fixture, List<String> variants, List<String> tests, List<String> names) {
        if (variants.isEmpty()) {
            tests.forEach(test -> names.add(fixture + "." + test));
        }
        for (String variant : variants) {
            tests.forEach(test -> names.add(fixture + "." + variant + "." + test));
        }
    }
}
