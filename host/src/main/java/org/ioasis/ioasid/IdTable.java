// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Records by number, in chunks that are there while they have one. A look-up takes no lock and
 * allocates nothing: an acquiring load of the chunk, one of the slot; any thread. All else under
 * the allocator's lock.
 */
final class IdTable {
    private static final int CHUNK_BITS = 10;
    private static final int CHUNK = 1 << CHUNK_BITS;
    private static final VarHandle CHUNKS = MethodHandles.arrayElementVarHandle(Chunk[].class);
    private static final VarHandle SLOTS =
            MethodHandles.arrayElementVarHandle(IoasidRecord[].class);

    private static final class Chunk {
        final @Nullable IoasidRecord[] slots = new @Nullable IoasidRecord[CHUNK];
        int size;
    }

    private final @Nullable Chunk[] chunks =
            new @Nullable Chunk[(IoasidAllocator.LAST + 1) / CHUNK];
    private int size;

    /** Records in it. */
    int size() {
        return size;
    }

    /** The record at a number, or null; of any number. */
    @Nullable IoasidRecord get(int number) {
        if ((number & ~IoasidAllocator.LAST) != 0) {
            return null;
        }
        Chunk chunk = (Chunk) CHUNKS.getAcquire(chunks, number >>> CHUNK_BITS);
        return chunk == null
                ? null
                : (IoasidRecord) SLOTS.getAcquire(chunk.slots, number & (CHUNK - 1));
    }

    /** Whether a record at a number would need memory. */
    boolean needsMemory(int number) {
        return chunks[number >>> CHUNK_BITS] == null;
    }

    /** Puts a record where none is. */
    void put(int number, IoasidRecord record) {
        Chunk chunk = chunks[number >>> CHUNK_BITS];
        if (chunk == null) {
            chunk = new Chunk();
            CHUNKS.setRelease(chunks, number >>> CHUNK_BITS, chunk);
        }
        SLOTS.setRelease(chunk.slots, number & (CHUNK - 1), record);
        chunk.size++;
        size++;
    }

    /** Takes away the record at a number, which is there. */
    void remove(int number) {
        Chunk chunk = chunks[number >>> CHUNK_BITS];
        if (chunk == null || chunk.slots[number & (CHUNK - 1)] == null) {
            throw new IllegalStateException("nothing at " + number);
        }
        SLOTS.setRelease(chunk.slots, number & (CHUNK - 1), null);
        size--;
        if (--chunk.size == 0) {
            // Who has found the chunk before finds nothing in it.
            CHUNKS.setRelease(chunks, number >>> CHUNK_BITS, null);
        }
    }

    /** Visits each record, by number. */
    void forEach(Consumer<IoasidRecord> visitor) {
        for (Chunk chunk : chunks) {
            if (chunk != null) {
                for (IoasidRecord record : chunk.slots) {
                    if (record != null) {
                        visitor.accept(record);
                    }
                }
            }
        }
    }
}
