// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.ioasis.memory.Lender;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.FileRoom;
import org.ioasis.sys.Mapping;
import org.jspecify.annotations.Nullable;

/**
 * A region of memory that a peer shares, as it is mapped here; and the file that it is of, where a
 * device passes memory on to whom it works for. Loop thread, but for {@link #lend}.
 */
public final class SharedRegion implements Lender {
    private final Mapping mapping;
    private final FileRoom.@Nullable Kept file;
    private final long offset;

    /**
     * Takes both over.
     *
     * @param file null: nobody maps it but us
     * @param offset of the region's first byte in the file
     */
    SharedRegion(Mapping mapping, FileRoom.@Nullable Kept file, long offset) {
        this.mapping = mapping;
        this.file = file;
        this.offset = offset;
    }

    MemorySegment segment() {
        return mapping.segment();
    }

    /** Whether there is a descriptor to pass on. */
    public boolean isPassedOn() {
        return file != null;
    }

    /** A descriptor to pass on, which is the caller's. Only of one that {@link #isPassedOn}. */
    public Fd duplicate() throws ErrnoException {
        if (file == null) {
            throw new IllegalStateException("memory that is not passed on");
        }
        return file.fd().duplicate();
    }

    /** Of the region's first byte in the file. */
    public long offset() {
        return offset;
    }

    @Override
    public MemorySegment lend(long from, long length, Arena arena) {
        return mapping.lend(from, length, arena);
    }

    void close() {
        mapping.close();
        if (file != null) {
            file.close();
        }
    }
}
