// SPDX-License-Identifier: Apache-2.0
package org.ioasis.selftests;

import java.util.ArrayList;
import java.util.List;

/**
 * The table that a test program prints of its cases: a block for each fixture, with its variants in
 * one column and its tests in another; each variant has each test. Any thread.
 */
final class CaseTable {
    private static final int VARIANT_COLUMN = 21;
    private static final int TEST_COLUMN = 47;

    private CaseTable() {}

    static List<String> names(String table) {
        List<String> names = new ArrayList<>();
        List<String> variants = new ArrayList<>();
        List<String> tests = new ArrayList<>();
        String fixture = "";
        boolean isFirst = true;
        for (String line : (table + "\n---").lines().toList()) {
            if (line.startsWith("---")) {
                add(fixture, variants, tests, names);
                variants.clear();
                tests.clear();
                isFirst = true;
            } else if (isFirst && !line.startsWith("#")) {
                // A long name of a fixture moves the columns of its line.
                List<String> words = List.of(line.strip().split("\\s+", -1));
                fixture = words.getFirst();
                if (words.size() == 3) {
                    variants.add(words.get(1));
                }
                if (words.size() >= 2) {
                    tests.add(words.getLast());
                }
                isFirst = false;
            } else if (!line.startsWith("#")) {
                String variant = column(line, VARIANT_COLUMN, TEST_COLUMN);
                if (!variant.isEmpty()) {
                    variants.add(variant);
                }
                String test = column(line, TEST_COLUMN, line.length());
                if (!test.isEmpty()) {
                    tests.add(test);
                }
            }
        }
        return names;
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

    private static String column(String line, int from, int to) {
        return from >= line.length()
                ? ""
                : line.substring(from, Math.min(to, line.length())).strip();
    }
}
