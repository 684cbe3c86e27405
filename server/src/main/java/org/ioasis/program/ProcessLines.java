// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Lines of what the kernel writes of a process. A line feed ends one and nothing else does: there
 * are names in them that the process has chosen, of itself and of files, in which the kernel leaves
 * every other byte as it is. A carriage return that ended a line would let the process write the
 * next one. One thread.
 */
class ProcessLines implements AutoCloseable {
    private static final int PIECE = 8192;

    private final InputStream text;
    private byte[] bytes = new byte[PIECE];

    /** Of what is read, what was not given out. */
    private int at;

    private int end;

    /** Takes ownership of the text. */
    ProcessLines(InputStream text) {
        this.text = text;
    }

    /**
     * @param name of a file below {@code /proc/PROCESS}
     * @throws IOException the process is gone, or we may not look
     */
    static ProcessLines open(int process, String name) throws IOException {
        return new ProcessLines(Files.newInputStream(Path.of("/proc/" + process + "/" + name)));
    }

    /** The next line without its end; null: there is none. A byte each is a character. */
    @Nullable String next() throws IOException {
        for (int i = at; ; i++) {
            if (i == end) {
                i -= at;
                if (!readOn()) {
                    return end == 0 ? null : line(end);
                }
            }
            if (bytes[i] == '\n') {
                String line = line(i);
                at++;
                return line;
            }
        }
    }

    private String line(int to) {
        String line = new String(bytes, at, to - at, ISO_8859_1);
        at = to;
        return line;
    }

    /** Reads more behind what was not given out, which stands at the beginning then. */
    private boolean readOn() throws IOException {
        int begun = end - at;
        System.arraycopy(bytes, at, bytes, 0, begun);
        at = 0;
        end = begun;
        if (begun == bytes.length) {
            bytes = Arrays.copyOf(bytes, 2 * begun);
        }
        int more = text.read(bytes, begun, bytes.length - begun);
        end += Math.max(more, 0);
        return more > 0;
    }

    @Override
    public void close() throws IOException {
        text.close();
    }
}
