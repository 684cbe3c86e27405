// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A file or memory mapped into this process, shared with whoever else maps it (mmap(2),
 * MAP_SHARED).
 *
 * <p>The bytes stay mapped until the mapping's own arena and the arenas of all {@linkplain #lend
 * lent} segments are closed; the last of them unmaps. So no segment ever reaches an address that is
 * not mapped any more: one whose arena is closed throws IllegalStateException. Whoever holds the
 * file may still cut it short; touching what is gone throws {@link InternalError}, perhaps a little
 * later than the access, and a system call on it gives EFAULT. Catch it where the session ends, and
 * {@link #raiseLate} before that.
 *
 * <p>All methods may be called from any thread. Closing is a handshake with every thread of the
 * process (tens of microseconds): one mapping per region, never one per request.
 */
public final class Mapping implements AutoCloseable {
    private static final long HUGETLBFS_MAGIC = 0x958458f6L;
    private static final int SIZEOF_STATFS = 120;

    /** Held by nobody. */
    private static final Object NO_LOCK = new Object();

    private static final MethodHandle FSTATFS =
            Linux.link("fstatfs", FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS));

    private final MemorySegment raw;
    private final boolean isWritable;
    private final Arena arena = Arena.ofShared();
    private final AtomicInteger openArenas = new AtomicInteger(1);
    private final MemorySegment segment;

    private Mapping(MemorySegment address, long length, boolean isWritable) {
        this.isWritable = isWritable;
        this.raw = address;
        this.segment = bounded(0, length, arena);
    }

    /**
     * Throws the InternalError of an access that this thread has made before to memory that is
     * gone, if the JVM has not done so yet: at the end of a try block whose catch is to have it.
     * The JVM raises it where the thread next looks whether it is to stop, and compiled code that
     * is inlined does that as late as in a loop far outside. A call of native code is such a place,
     * and this is the cheapest without a consequence: some tens of nanoseconds.
     */
    public static void raiseLate() {
        boolean _ = Thread.holdsLock(NO_LOCK);
    }

    /**
     * Maps {@code length} bytes of a file from {@code offset} on. The descriptor may come from an
     * untrusted peer and may be closed afterwards.
     *
     * @param offset a multiple of the page size (for hugetlbfs of its page size, length too)
     * @param writable whether {@link #segment()} may be written; the descriptor must allow it
     * @throws ErrnoException EINVAL: length is not positive, the range wraps, or is not aligned;
     *     ENXIO: the file is too short for the range; EACCES or EPERM: opened or sealed otherwise;
     *     ENODEV: cannot be mapped; ENOMEM
     */
    public static Mapping map(Fd fd, long offset, long length, boolean writable)
            throws ErrnoException {
        int number = fd.number();
        if (offset < 0 || length <= 0 || offset > Long.MAX_VALUE - length) {
            throw refused(number, offset, length, Errno.EINVAL);
        }
        // Past the end of the file a mapping is accepted and every access fails: refuse it here.
        if (fd.size() < offset + length) {
            throw refused(number, offset, length, Errno.ENXIO);
        }
        try (Arena scratch = Arena.ofConfined()) {
            // On hugetlbfs mmap rounds the length up and munmap refuses one that is not rounded.
            long granule = hugePageSize(scratch, number);
            if (offset % granule != 0 || length % granule != 0) {
                throw refused(number, offset, length, Errno.EINVAL);
            }
        }
        int protection = Mmap.PROT_READ | (writable ? Mmap.PROT_WRITE : 0);
        long address = Mmap.map(length, protection, Mmap.MAP_SHARED, number, offset);
        if (address < 0) {
            throw refused(number, offset, length, (int) -address);
        }
        return new Mapping(MemorySegment.ofAddress(address), length, writable);
    }

    /** The mapped bytes, until {@link #close}. Read-only unless mapped writable. */
    public MemorySegment segment() {
        return segment;
    }

    /**
     * A part of the same bytes that lives as long as {@code arena}, not as long as {@link
     * #segment()}: closing the arena takes the part back. If the mapping is closed first, the bytes
     * stay mapped until the arena is closed too.
     *
     * @throws IndexOutOfBoundsException if the part is not inside
     * @throws IllegalStateException if the mapping or the arena is closed
     */
    public MemorySegment lend(long offset, long length, Arena arena) {
        Objects.checkFromIndexSize(offset, length, segment.byteSize());
        // An arena in the count keeps the bytes mapped; from zero there is no way back.
        if (!isOpen() || openArenas.getAndUpdate(n -> n == 0 ? 0 : n + 1) == 0) {
            throw new IllegalStateException("mapping is closed");
        }
        try {
            return bounded(offset, length, arena);
        } catch (RuntimeException | Error e) {
            arenaClosed();
            throw e;
        }
    }

    /** Whether {@link #segment()} can be used. */
    public boolean isOpen() {
        return arena.scope().isAlive();
    }

    /**
     * Ends {@link #segment()}. Does nothing the second time.
     *
     * @throws IllegalStateException if some thread is inside a system call with the segment. The
     *     mapping is then still open and may be closed later.
     */
    @Override
    public synchronized void close() {
        if (isOpen()) {
            arena.close();
        }
    }

    // SAFETY: offset and length are inside the mapping, which stays mapped at least until the
    // cleanup of this arena has run: it is counted in openArenas.
    @SuppressWarnings("restricted") // the address comes from mmap, and so do the bounds
    private MemorySegment bounded(long offset, long length, Arena owner) {
        MemorySegment part =
                MemorySegment.ofAddress(raw.address() + offset)
                        .reinterpret(length, owner, _ -> arenaClosed());
        return isWritable ? part : part.asReadOnly();
    }

    private void arenaClosed() {
        if (openArenas.decrementAndGet() == 0) {
            // SAFETY: no arena that reaches these addresses is open, and there is no way back.
            Mmap.unmap(raw, segment.byteSize());
        }
    }

    /** Page size of a file in hugetlbfs, 1 for all others: mmap(2) itself knows the small pages. */
    private static long hugePageSize(Arena scratch, int fd) throws ErrnoException {
        MemorySegment status = scratch.allocate(SIZEOF_STATFS, 8);
        int result = fstatfs(scratch.allocate(Linux.ERRNO), fd, status);
        if (result < 0) {
            throw new ErrnoException("fstatfs", "fd=" + fd, -result);
        }
        boolean isHuge = status.get(JAVA_LONG, 0) == HUGETLBFS_MAGIC; // f_type
        return isHuge ? status.get(JAVA_LONG, 8) : 1; // f_bsize
    }

    private static int fstatfs(MemorySegment errno, int fd, MemorySegment status) {
        if (FailureInjection.strikes()) {
            return -Errno.ENOMEM;
        }
        try {
            // SAFETY: status has the size of struct statfs (LP64).
            return Linux.result((int) FSTATFS.invokeExact(errno, fd, status), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    private static ErrnoException refused(int fd, long offset, long length, int errno) {
        return new ErrnoException(
                "mmap",
                "fd=" + fd + " offset=0x" + Long.toHexString(offset) + " length=" + length,
                errno);
    }
}
