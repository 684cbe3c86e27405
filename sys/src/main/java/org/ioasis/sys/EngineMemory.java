package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.VarHandle;

/**
 * Memory for the engine's own tables, which no guest and no peer can map (mmap(2), anonymous and
 * private). It is reserved as one range and costs memory page by page, when first written.
 *
 * <p>Words are reached by address and <em>without any check</em>: neither that the address lies
 * inside, nor that the memory is still there. That is what makes a table walk four loads, and why
 * this class is not for anybody else: whoever holds one must compute addresses from {@link #first}
 * and {@link #size} and own numbers only, never from what a guest says.
 *
 * <p>The accessors are static, for they need nothing of the object: after each load with acquire
 * the compiler would have to read again even what never changes. Words may be read and written by
 * any thread, in the order that each method says.
 */
public final class EngineMemory implements AutoCloseable {
    private static final int PROT_READ = 1;
    private static final int PROT_WRITE = 2;
    private static final int MAP_PRIVATE = 0x02;
    private static final int MAP_ANONYMOUS = 0x20;
    private static final int MAP_NORESERVE = 0x4000;
    private static final long MAP_FAILED = -1;

    private static final MethodHandle MMAP =
            Linux.link(
                    "mmap",
                    FunctionDescriptor.of(
                            ADDRESS, ADDRESS, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG));
    private static final MethodHandle MUNMAP =
            Linux.link("munmap", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG));

    private static final MemorySegment EVERYWHERE = everywhere();
    private static final VarHandle WORD = JAVA_LONG.varHandle();

    private final MemorySegment memory;
    private final long first;
    private final long size;
    private boolean isOpen = true;

    private EngineMemory(MemorySegment memory, long size) {
        this.memory = memory;
        this.first = memory.address();
        this.size = size;
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
        try (Arena scratch = Arena.ofConfined()) {
            MemorySegment errno = scratch.allocate(Linux.ERRNO);
            MemorySegment memory = mmap(errno, size);
            if (memory.address() == MAP_FAILED) {
                throw new ErrnoException(
                        "mmap", "anonymous length=" + size, errno.get(JAVA_INT, 0));
            }
            return new EngineMemory(memory, size);
        }
    }

    private static MemorySegment mmap(MemorySegment errno, long size) {
        if (FailureInjection.strikes()) {
            errno.set(JAVA_INT, 0, Errno.ENOMEM);
            return MemorySegment.ofAddress(MAP_FAILED);
        }
        try {
            // SAFETY: without a wanted address the kernel chooses one that is free.
            return (MemorySegment)
                    MMAP.invokeExact(
                            errno,
                            MemorySegment.NULL,
                            size,
                            PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                            -1,
                            0L);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    /** Address of the first byte: a multiple of the page size and not 0. */
    public long first() {
        return first;
    }

    /** Number of bytes. */
    public long size() {
        return size;
    }

    /** The word at {@code address}, a multiple of 8. */
    public static long get(long address) {
        return EVERYWHERE.get(JAVA_LONG, address);
    }

    /** The word at {@code address}; pairs with {@link #setRelease}. */
    public static long getAcquire(long address) {
        return (long) WORD.getAcquire(EVERYWHERE, address);
    }

    /** Writes the word at {@code address}, after all that was written before. */
    public static void setRelease(long address, long value) {
        WORD.setRelease(EVERYWHERE, address, value);
    }

    /** Sets bytes to 0. */
    public static void clear(long address, long bytes) {
        EVERYWHERE.asSlice(address, bytes).fill((byte) 0);
    }

    /**
     * Gives the memory back. Does nothing the second time.
     *
     * <p>Only when no thread can use it any more: an access after this ends the process.
     */
    @Override
    public synchronized void close() {
        if (!isOpen) {
            return;
        }
        isOpen = false;
        try (Arena scratch = Arena.ofConfined()) {
            MemorySegment errno = scratch.allocate(Linux.ERRNO);
            // SAFETY: these are the bytes that mmap gave, and this runs once.
            int result = Linux.result((int) MUNMAP.invokeExact(errno, memory, size), errno);
            if (result < 0) {
                throw new IllegalStateException(
                        "munmap length=" + size + ": " + Errno.name(-result));
            }
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }
}
