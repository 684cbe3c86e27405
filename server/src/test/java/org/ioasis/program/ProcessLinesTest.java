// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Text of the kernel's in which a process has chosen some bytes. */
class ProcessLinesTest {
    /**
     * @param piece most bytes of a read
     */
    private static List<String> lines(String text, int piece) throws IOException {
        InputStream bytes =
                new ByteArrayInputStream(text.getBytes(ISO_8859_1)) {
                    @Override
                    public synchronized int read(byte[] to, int at, int length) {
                        return super.read(to, at, Math.min(piece, length));
                    }
                };
        List<String> all = new ArrayList<>();
        try (ProcessLines lines = new ProcessLines(bytes)) {
            for (String line = lines.next(); line != null; line = lines.next()) {
                all.add(line);
            }
            assertThat(lines.next()).as("and no more").isNull();
        }
        return all;
    }

    @Test
    void aLineFeedEndsALineAndNothingElseDoes() throws IOException {
        for (int piece : new int[] {1, 2, 5, 8192}) {
            assertThat(lines("a\rTgid:\t1\n\n\u0085\f\u000b\u00ff\r\nlast", piece))
                    .as("in pieces of " + piece)
                    .containsExactly("a\rTgid:\t1", "", "\u0085\f\u000b\u00ff\r", "last");
        }
        assertThat(lines("", 1)).isEmpty();
        assertThat(lines("\n", 1)).containsExactly("");
    }

    @Test
    void aLineIsAsLongAsItIs() throws IOException {
        String line = "x".repeat(100_000);
        assertThat(lines("a\n" + line + "\nb\n", 7000)).containsExactly("a", line, "b");
    }
}
