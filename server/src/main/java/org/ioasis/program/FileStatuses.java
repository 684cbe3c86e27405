// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** What stat(2) and statx(2) write of something of ours. Supervisor's thread. */
final class FileStatuses {
    // struct stat of x86-64 (asm/stat.h)
    private static final int SIZEOF_STAT = 144;
    private static final int ST_NLINK = 16;
    private static final int ST_MODE = 24;
    private static final int ST_RDEV = 40;
    private static final int ST_SIZE = 48;
    private static final int ST_BLKSIZE = 56;

    // struct statx (linux/stat.h)
    private static final int SIZEOF_STATX = 256;
    private static final int STATX_BASIC_STATS = 0x7ff;
    private static final int STX_BLKSIZE = 4;
    private static final int STX_NLINK = 16;
    private static final int STX_MODE = 28;
    private static final int STX_SIZE = 40;
    private static final int STX_RDEV_MAJOR = 128;
    private static final int STX_RDEV_MINOR = 132;

    private static final int BLOCK = 4096;

    private final MemorySegment status = Arena.ofAuto().allocate(SIZEOF_STATX, 8);

    /** Fills the caller's struct stat. */
    int stat(TaskCaller caller, PathStatus of, long address) {
        status.fill((byte) 0);
        status.set(JAVA_LONG, ST_NLINK, 1);
        status.set(JAVA_INT, ST_MODE, of.mode());
        status.set(JAVA_LONG, ST_RDEV, number(of));
        status.set(JAVA_LONG, ST_SIZE, of.size());
        status.set(JAVA_LONG, ST_BLKSIZE, BLOCK);
        return caller.write(address, status, 0, SIZEOF_STAT);
    }

    /** As makedev(3) packs it. */
    private static long number(PathStatus of) {
        return (of.minor() & 0xffL)
                | (of.major() & 0xfffL) << 8
                | (of.minor() & ~0xffL) << 12
                | (of.major() & ~0xfffL) << 32;
    }

    /** Fills the caller's struct statx. */
    int statx(TaskCaller caller, PathStatus of, long address) {
        status.fill((byte) 0);
        status.set(JAVA_INT, 0, STATX_BASIC_STATS);
        status.set(JAVA_INT, STX_BLKSIZE, BLOCK);
        status.set(JAVA_INT, STX_NLINK, 1);
        status.set(JAVA_SHORT, STX_MODE, (short) of.mode());
        status.set(JAVA_LONG, STX_SIZE, of.size());
        status.set(JAVA_INT, STX_RDEV_MAJOR, of.major());
        status.set(JAVA_INT, STX_RDEV_MINOR, of.minor());
        return caller.write(address, status, 0, SIZEOF_STATX);
    }
}
