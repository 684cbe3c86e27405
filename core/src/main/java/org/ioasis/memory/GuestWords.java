// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import org.jspecify.annotations.Nullable;

/**
 * Words of guest memory, for who looks at structures that a guest keeps there: each is found anew,
 * read or exchanged in one access, and never outside of a region. One thread, inside a guarded
 * section; allocates nothing.
 */
public final class GuestWords {
    private static final VarHandle WORD = JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN).varHandle();

    private final GuestMemory memory;
    private long word;

    public GuestWords(GuestMemory memory) {
        this.memory = memory;
    }

    /** The word that was loaded last, or that an exchange has found. */
    public long word() {
        return word;
    }

    /** Loads the word at {@code gpa}, a multiple of eight, with acquire. */
    public Outcome load(long gpa) {
        Region region = memory.find(gpa);
        MemorySegment bytes = reachable(region, gpa);
        if (region == null || bytes == null) {
            return region == null ? Outcome.ABSENT : Outcome.REFUSED;
        }
        word = (long) WORD.getAcquire(bytes, gpa - region.gpaFirst());
        return Outcome.OK;
    }

    /**
     * Replaces {@code expected} by {@code next}, atomically; {@link #word} is what was there. The
     * word has been loaded in this section: memory that a VMM has cut short meanwhile is found out
     * there, by an access that the JVM can step over.
     */
    public Outcome exchange(long gpa, long expected, long next) {
        Region region = memory.find(gpa);
        MemorySegment bytes = reachable(region, gpa);
        if (region == null || bytes == null) {
            return region == null ? Outcome.ABSENT : Outcome.REFUSED;
        }
        if (!region.isWritable()) {
            return Outcome.REFUSED;
        }
        WriteLog log = memory.log();
        if (log != null) {
            log.note(gpa, Long.BYTES);
        }
        word = (long) WORD.compareAndExchange(bytes, gpa - region.gpaFirst(), expected, next);
        return Outcome.OK;
    }

    /** The memory of a region, if the whole word lies in it where a word can. */
    private @Nullable MemorySegment reachable(@Nullable Region region, long gpa) {
        if (region == null) {
            return null;
        }
        MemorySegment bytes = region.segment();
        if (bytes == null) {
            memory.countUnreachable();
            return null;
        }
        long offset = gpa - region.gpaFirst();
        boolean isWhole =
                offset <= bytes.byteSize() - Long.BYTES
                        && ((bytes.address() + offset) & (Long.BYTES - 1)) == 0;
        return isWhole ? bytes : null;
    }
}
