// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** What a file is that another process shares with us, before its bytes are used. Any thread. */
public final class SharedFile {
    private static final long TMPFS_MAGIC = 0x0102_1994;
    private static final long HUGETLBFS_MAGIC = 0x9584_58f6L;
    private static final int SIZEOF_STATFS = 120;
    private static final int F_GETFL = 3;
    private static final int F_GET_SEALS = 1034;
    private static final int F_SEAL_WRITE = 8;
    private static final int O_ACCMODE = 3;
    private static final int O_RDWR = 2;

    private static final MethodHandle FSTATFS =
            Linux.link("fstatfs", FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS));

    private SharedFile() {}

    /** Whether its pages are memory and nothing else: a memfd, a file of tmpfs or hugetlbfs. */
    public static boolean isMemory(Fd fd) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment status = arena.allocate(SIZEOF_STATFS, 8);
            // SAFETY: status has the size of struct statfs (LP64).
            int result =
                    (int) FSTATFS.invokeExact(arena.allocate(Linux.ERRNO), fd.number(), status);
            long kind = status.get(JAVA_LONG, 0);
            return result == 0 && (kind == TMPFS_MAGIC || kind == HUGETLBFS_MAGIC);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    /** Whether this descriptor may change it: opened for that, and not sealed against it. */
    public static boolean isWritable(Fd fd) {
        int flags = Fd.Fcntl.fcntl(fd.number(), F_GETFL, 0);
        int seals = Fd.Fcntl.fcntl(fd.number(), F_GET_SEALS, 0);
        return flags >= 0
                && (flags & O_ACCMODE) == O_RDWR
                && (seals < 0 || (seals & F_SEAL_WRITE) == 0);
    }
}
