// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.io.IOException;
import java.io.InputStream;
import java.util.function.Consumer;

/**
 * Splits what a child process writes into lines, with a limit: of a longer line only the first part
 * is delivered. A guest's console is untrusted, so bytes outside printable ASCII become a question
 * mark and reach neither the user's terminal nor a parser. One thread.
 */
public final class BoundedLines {
    /** The longest line that is delivered whole, in bytes. */
    public static final int LIMIT = 1024;

    private BoundedLines() {}

    /** Reads to the end of {@code in}; {@code sink} gets each line without its end. */
    public static void read(InputStream in, Consumer<String> sink) throws IOException {
        byte[] buffer = new byte[8192];
        StringBuilder line = new StringBuilder();
        boolean hasText = false;
        for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
            for (int i = 0; i < n; i++) {
                int b = buffer[i] & 0xff;
                if (b == '\n') {
                    sink.accept(line.toString());
                    line.setLength(0);
                    hasText = false;
                } else if (b != '\r') {
                    hasText = true;
                    if (line.length() < LIMIT) {
                        line.append(isPrintable(b) ? (char) b : '?');
                    }
                }
            }
        }
        if (hasText) {
            sink.accept(line.toString());
        }
    }

    private static boolean isPrintable(int b) {
        return (b >= 0x20 && b < 0x7f) || b == '\t';
    }
}
