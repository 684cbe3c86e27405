// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;
import java.util.Objects;

/**
 * What the kernel has of a file in its memory, read without waiting for anything: preadv2(2) with
 * RWF_NOWAIT, which Java's own channels do not offer. One thread at a time; reading allocates
 * nothing.
 */
public final class CachedFile implements AutoCloseable {
    private static final long RWF_NOWAIT = 8;

    // struct iovec, LP64: base 0, len 8.
    private static final int SIZEOF_IOVEC = 16;
    private static final int IOV_BASE = 0;
    private static final int IOV_LEN = 8;

    /**
     * syscall(2) with preadv2's number and six arguments: descriptor, vector, its length, position
     * (low and high half, of which a 64-bit kernel only looks at the low one), flags. The seventh
     * is not looked at by the kernel: it is the buffer that the vector points to, so that the
     * runtime sees it in use and nobody can end its arena while the kernel copies.
     */
    private static final MethodHandle PREADV2 =
            Linux.linkVariadic(
                    "syscall",
                    1,
                    FunctionDescriptor.of(
                            JAVA_LONG, JAVA_LONG, JAVA_LONG, ADDRESS, JAVA_LONG, JAVA_LONG,
                            JAVA_LONG, JAVA_LONG, ADDRESS));

    private final Fd fd;
    private final MemorySegment errno;
    private final MemorySegment vector;

    /** The kernel has said that what holds the file cannot be asked so. */
    private boolean isUnsupported;

    private CachedFile(Fd fd) {
        this.fd = fd;
        Arena scratch = Arena.ofAuto();
        errno = scratch.allocate(Linux.ERRNO);
        vector = scratch.allocate(SIZEOF_IOVEC, 8);
    }

    /** Opens an existing file for reading, close-on-exec. */
    public static CachedFile open(Path path) throws ErrnoException {
        return new CachedFile(FileBytes.open(path.toString(), FileBytes.O_RDONLY));
    }

    /**
     * Reads {@code length >= 1} bytes from {@code position} on into the beginning of {@code to} if
     * all of them can be had at once.
     *
     * @return false if not, whatever the reason: they are on the disk, somebody holds the page, the
     *     file ends before. Something may have been read in any case
     */
    public boolean read(long position, MemorySegment to, long length) {
        Objects.checkFromIndexSize(0, length, to.byteSize());
        if (to.isReadOnly()) {
            throw new IllegalArgumentException("read-only segment");
        }
        if (isUnsupported) {
            return false;
        }
        vector.set(JAVA_LONG, IOV_BASE, to.address());
        vector.set(JAVA_LONG, IOV_LEN, length);
        long result = preadv2(position, to);
        isUnsupported = result == -Errno.ENOTSUP || result == -Errno.ENOSYS;
        return result == length;
    }

    private long preadv2(long position, MemorySegment buffer) {
        if (FailureInjection.strikes()) {
            return -Errno.EAGAIN;
        }
        try {
            // SAFETY: the vector is one segment, kept by its argument; it points to length bytes of
            // buffer, which is writable and kept by the last argument (a closed, foreign or heap
            // buffer is refused before the call).
            return Linux.result(
                    (long)
                            PREADV2.invokeExact(
                                    errno,
                                    Abi.HOST.preadv2(),
                                    (long) fd.number(),
                                    vector,
                                    1L,
                                    position,
                                    0L,
                                    RWF_NOWAIT,
                                    buffer),
                    errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    /** Not beside {@link #read}. Does nothing the second time. */
    @Override
    public void close() {
        fd.close();
    }
}
