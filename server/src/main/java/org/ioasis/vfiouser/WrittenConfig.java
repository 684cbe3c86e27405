// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import org.ioasis.spec.Pci;

/**
 * What the VMM has written to the registers of a function's header since its reset: where its BARs
 * are, and what it may do. A server that comes again is told, or it would be a function that nobody
 * has set up. Loop thread.
 */
final class WrittenConfig {
    /** Takes what is to be written. */
    interface Writer {
        void write(int offset, int count, MemorySegment data, long at);
    }

    private static final int HEADER_BYTES = 64;
    private static final int WORD_BYTES = Integer.BYTES;

    private final MemorySegment bytes = MemorySegment.ofArray(new byte[HEADER_BYTES]);
    private final boolean[] isWritten = new boolean[HEADER_BYTES];

    /** {@code count} bytes of {@code data} from {@code at} on are written to {@code offset}. */
    void written(long offset, int count, MemorySegment data, long at) {
        for (long to = offset; to < Math.min(HEADER_BYTES, offset + count); to++) {
            // Writing to the status clears what has happened, and to BIST begins a test.
            boolean isEvent = to == Pci.STATUS || to == Pci.STATUS + 1 || to == Pci.BIST;
            if (!isEvent) {
                byte value = data.get(ValueLayout.JAVA_BYTE, at + (to - offset));
                bytes.set(ValueLayout.JAVA_BYTE, to, value);
                isWritten[(int) to] = true;
            }
        }
    }

    /** The function has been reset. */
    void forget() {
        Arrays.fill(isWritten, false);
    }

    /** Writes it all, what lets the function work last. */
    void writeTo(Writer writer) {
        for (int word = Pci.COMMAND + WORD_BYTES; word < HEADER_BYTES; word += WORD_BYTES) {
            write(word, writer);
        }
        write(Pci.COMMAND, writer);
    }

    /** The bytes of one word that are written, neighbours together. */
    private void write(int word, Writer writer) {
        int from = word;
        while (from < word + WORD_BYTES) {
            int end = from;
            while (end < word + WORD_BYTES && isWritten[end]) {
                end++;
            }
            if (end > from) {
                writer.write(from, end - from, bytes, from);
            }
            from = end + 1;
        }
    }
}
