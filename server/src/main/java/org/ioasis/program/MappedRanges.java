// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What a process has at its addresses while one call of it is answered. The kernel shows that as
 * text, in the order of addresses: it is read once for a call, as far as the call asks, and not for
 * each of the pieces of memory that the call names. A program can cut its memory into as many
 * pieces as the kernel allows, 65,530 by default, and hand them over in one call. Supervisor's
 * thread.
 */
final class MappedRanges implements AutoCloseable {
    /** Opens the text of a process. */
    @FunctionalInterface
    interface Source {
        ProcessLines open(int process) throws IOException;
    }

    private final Source source;
    private final List<MappedRange> read = new ArrayList<>();

    /** Of those that are files; made when all is read and somebody asks for one. */
    private final Map<MappedRange.FileKey, OfFile> byFile = new HashMap<>();

    private boolean isIndexed;

    private int process;
    private @Nullable ProcessLines rest;
    private boolean isInCall;

    MappedRanges() {
        this(MappedRange::open);
    }

    MappedRanges(Source source) {
        this.source = source;
    }

    /** The ranges of one file, among which no more than some are looked at for a piece of it. */
    private static final class OfFile {
        private final List<MappedRange> byOffset = new ArrayList<>();

        /** For each of them, which of those that begin no later ends last. */
        private int[] furthest = {};

        private static long end(MappedRange range) {
            return range.offsetOf(range.last());
        }

        /** All are there. */
        void sort() {
            byOffset.sort(Comparator.comparingLong(MappedRange::offset));
            furthest = new int[byOffset.size()];
            for (int i = 1; i < furthest.length; i++) {
                int before = furthest[i - 1];
                furthest[i] = end(byOffset.get(i)) > end(byOffset.get(before)) ? i : before;
            }
        }

        @Nullable MappedRange holding(long offset, long length) {
            int low = 0;
            int high = byOffset.size();
            while (low < high) {
                int middle = (low + high) >>> 1;
                if (byOffset.get(middle).offset() <= offset) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            if (low == 0) {
                return null;
            }
            MappedRange found = byOffset.get(furthest[low - 1]);
            return found.hasOffset(offset, length) ? found : null;
        }
    }

    /** What is read from now on is true until {@link #close}: a call begins. */
    void open() {
        isInCall = true;
    }

    /** The call has ended, and the program goes on. Twice is fine. */
    @Override
    public void close() {
        isInCall = false;
        forget();
    }

    /**
     * The range with an address; null if nothing is mapped there or the process is gone. Outside a
     * call as it is at this moment.
     */
    @Nullable MappedRange at(int of, long address) {
        if (of != process) {
            begin(of);
        }
        MappedRange found = find(address);
        if (!isInCall) {
            forget();
        }
        return found;
    }

    /**
     * A range with all of some bytes of a file; null as above. A device's or a call's bytes are
     * asked for page by page, and a file may be mapped in as many pieces.
     */
    @Nullable MappedRange holding(int of, MappedRange.FileKey file, long offset, long length) {
        if (of != process) {
            begin(of);
        }
        while (readOn()) {
            // To its end.
        }
        if (!isIndexed) {
            isIndexed = true;
            for (MappedRange range : read) {
                if (range.inode() != 0) {
                    byFile.computeIfAbsent(range.key(), _ -> new OfFile()).byOffset.add(range);
                }
            }
            byFile.values().forEach(OfFile::sort);
        }
        OfFile ranges = byFile.get(file);
        MappedRange found = ranges == null ? null : ranges.holding(offset, length);
        if (!isInCall) {
            forget();
        }
        return found;
    }

    private @Nullable MappedRange find(long address) {
        while (read.isEmpty() || Long.compareUnsigned(read.getLast().last(), address) < 0) {
            if (!readOn()) {
                return null;
            }
        }
        int low = 0;
        int high = read.size() - 1;
        while (low < high) {
            int middle = (low + high) >>> 1;
            if (Long.compareUnsigned(read.get(middle).last(), address) < 0) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        MappedRange found = read.get(low);
        return Long.compareUnsigned(address, found.first()) < 0 ? null : found;
    }

    private void begin(int of) {
        forget();
        process = of;
        try {
            rest = source.open(of);
        } catch (IOException e) {
            // The process is gone, or we may not look: it has nothing.
        }
    }

    private boolean readOn() {
        ProcessLines lines = rest;
        if (lines == null) {
            return false;
        }
        try {
            String line = lines.next();
            if (line != null) {
                read.add(MappedRange.parse(line));
                return true;
            }
        } catch (IOException e) {
            // The process is gone.
        }
        closeRest();
        return false;
    }

    private void forget() {
        process = 0;
        read.clear();
        byFile.clear();
        isIndexed = false;
        closeRest();
    }

    private void closeRest() {
        ProcessLines lines = rest;
        rest = null;
        if (lines != null) {
            try {
                lines.close();
            } catch (IOException e) {
                // Nothing was written to it.
            }
        }
    }
}
