// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.VarHandle;

/**
 * Memory for the engine's own tables, which no guest and no peer can map (mmap(2), anonymous and
 * private). It is reserved as one range and costs memory page by page, when first written.
 *
 * <p>Words are reached by number, which is their address divided by 8, and <em>without any
 * check</em>: neither that the word lies inside, nor that the memory is still there. That is what
 * makes a table walk a few loads, and why this class is not for anybody else: whoever holds one
 * must compute from {@link #first} and {@link #size} and own numbers only, never from what a guest
 * says.
 *
 * <p>The accessors are static, for they need nothing of the object: after each load with acquire
 * the compiler would have to read again even what never changes. Words may be read and written by
 * any thread, in the order that each method says.
 */
public final class EngineMemory implements AutoCloseable {
    private static final int MADV_HUGEPAGE = 14;

    private static final MethodHandle MADVISE =
            Linux.linkWithoutErrno(
                    "madvise", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT));

    private static final MemorySegment EVERYWHERE = everywhere();
    private static final VarHandle WORD = JAVA_LONG.varHandle();
    private static final int WORD_LG2 = 3;

    /** No word has a number with other bits. */
    private static final long WORD_BITS = Long.MAX_VALUE >>> (WORD_LG2 + 1);

    private final MemorySegment memory;
    private final long first;
    private final long bytes;
    private boolean isOpen = true;

    private EngineMemory(MemorySegment memory, long bytes) {
        this.memory = memory;
        this.first = memory.address() >>> WORD_LG2;
        this.bytes = bytes;
    }

    // SAFETY: used with addresses inside an EngineMemory only, as its users promise.
    @SuppressWarnings("restricted") // bounds would be checked at each of a walk's loads
    private static MemorySegment everywhere() {
        return MemorySegment.NULL.reinterpret(Long.MAX_VALUE);
    }

    /**
     * Reserves {@code size} bytes, all 0.
     *
     * @throws ErrnoException ENOMEM: no range of addresses is so large; EINVAL: size is not
     *     positive
     */
    public static EngineMemory reserve(long size) throws ErrnoException {
        long address =
                Mmap.map(
                        size,
                        Mmap.PROT_READ | Mmap.PROT_WRITE,
                        Mmap.MAP_PRIVATE | Mmap.MAP_ANONYMOUS | Mmap.MAP_NORESERVE,
                        -1,
                        0);
        if (address < 0) {
            throw new ErrnoException("mmap", "anonymous length=" + size, (int) -address);
        }
        MemorySegment memory = MemorySegment.ofAddress(address);
        advise(memory, size);
        return new EngineMemory(memory, size);
    }

    /** A kernel without huge pages refuses, and all works as well, only slower. */
    private static void advise(MemorySegment memory, long size) {
        try {
            // SAFETY: the range is the one just mapped, and advice changes no content.
            int ignored = (int) MADVISE.invokeExact(memory, size, MADV_HUGEPAGE);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    /** Number of the first word: at the start of a page, and not 0. */
    public long first() {
        return first;
    }

    /** How many words. */
    public long size() {
        return bytes >>> WORD_LG2;
    }

    /** Where a word lies; masked so that the compiler sees it inside of all there is. */
    private static long offset(long word) {
        assert (word & ~WORD_BITS) == 0 : word;
        return (word & WORD_BITS) << WORD_LG2;
    }

    /** The word. */
    public static long get(long word) {
        return EVERYWHERE.get(JAVA_LONG, offset(word));
    }

    /** The word; pairs with {@link #setRelease}. */
    public static long getAcquire(long word) {
        return (long) WORD.getAcquire(EVERYWHERE, offset(word));
    }

    /** Writes the word, after all that was written before. */
    public static void setRelease(long word, long value) {
        WORD.setRelease(EVERYWHERE, offset(word), value);
    }

    /** Sets {@code count} words to 0. */
    public static void clear(long word, long count) {
        // Not by fill() of a slice, which would be an object each time.
        for (long i = word; i < word + count; i++) {
            EVERYWHERE.set(JAVA_LONG, offset(i), 0);
        }
    }

    /**
     * Gives the memory back. Does nothing the second time.
     *
     * <p>Only when no thread can use it any more: an access after this ends the process.
     */
    @Override
    public synchronized void close() {
        if (isOpen) {
            isOpen = false;
            Mmap.unmap(memory, bytes);
        }
    }
}
