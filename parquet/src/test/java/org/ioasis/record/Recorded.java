// SPDX-License-Identifier: Apache-2.0
package org.ioasis.record;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** What is in a recording, for tests. */
final class Recorded {
    private Recorded() {}

    /** Its rows as text, without numbers and times. */
    static List<String> rows(Path file) throws IOException {
        List<String> rows = new ArrayList<>();
        try (RowFiles.Reader reader = RowFiles.found().open(file)) {
            Row row = new Row();
            while (reader.next(row)) {
                rows.add(row.toString());
            }
        }
        return rows;
    }

    /** One of the words that it says of itself. */
    static String about(Path file, String key) throws IOException {
        try (RowFiles.Reader reader = RowFiles.found().open(file)) {
            return reader.about().getOrDefault(key, "");
        }
    }
}
