// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A file that is opened to lock bytes of it: open file description locks, fcntl(2). They keep apart
 * two openings of a file, in one process or in two, and end with this object, however its process
 * ends. Java's own locks are the process's, and gone when any channel of the file is closed.
 *
 * <p>Any thread; {@link #close} not beside another call.
 */
public final class LockedFile implements AutoCloseable {
    private static final int O_RDONLY = 0;
    private static final int O_RDWR = 2;
    private static final int O_CLOEXEC = 0x80000;

    private static final int F_OFD_GETLK = 36;
    private static final int F_OFD_SETLK = 37;
    private static final short F_RDLCK = 0;
    private static final short F_WRLCK = 1;
    private static final short F_UNLCK = 2;

    // struct flock, LP64: type 0, whence 2, start 8, len 16, pid 24 (0 for these locks).
    private static final int SIZEOF_FLOCK = 32;
    private static final int L_TYPE = 0;
    private static final int L_START = 8;
    private static final int L_LEN = 16;

    private static final MethodHandle OPEN =
            Linux.linkVariadic("open", 2, FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT));
    private static final MethodHandle FCNTL =
            Linux.linkVariadic(
                    "fcntl", 2, FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, ADDRESS));

    /** A lock in /proc/PID/fdinfo/FD: type, mode, access, pid (-1), device and inode, range. */
    private static final Pattern HELD =
            Pattern.compile(
                    "lock:\\s+\\d+: \\w+\\s+\\w+\\s+\\w+ +-?\\d+ \\S+:(\\d+) (\\d+) (\\w+)");

    private final Fd fd;

    private LockedFile(Fd fd) {
        this.fd = fd;
    }

    /**
     * Opens an existing file, close-on-exec, with no lock yet.
     *
     * @param isWritable for exclusive locks too
     */
    public static LockedFile open(Path path, boolean isWritable) throws ErrnoException {
        int number;
        try (Arena arena = Arena.ofConfined()) {
            number =
                    open(
                            arena,
                            arena.allocateFrom(path.toString()),
                            (isWritable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
        }
        if (number < 0) {
            throw new ErrnoException("open", path.toString(), -number);
        }
        return new LockedFile(Fd.own(number));
    }

    /**
     * A path that opens the same file once more, whatever has become of its name. Valid until
     * {@link #close}.
     */
    public Path path() {
        return Path.of("/proc/self/fd/" + fd.number());
    }

    /**
     * Locks {@code first..last} unless somebody else's lock is in the way.
     *
     * @param isExclusive else beside other shared locks
     * @return false if it is
     * @throws ErrnoException ENOLCK, ENOTSUP…: what holds the file has no locks
     */
    public boolean tryLock(long first, long last, boolean isExclusive) throws ErrnoException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment lock = lock(arena, isExclusive, first, last);
            int result = fcntl(arena, fd.number(), F_OFD_SETLK, lock);
            // Linux says EAGAIN; POSIX allows EACCES too.
            if (result == -Errno.EAGAIN || result == -Errno.EACCES) {
                return false;
            }
            if (result < 0) {
                throw new ErrnoException("fcntl", detail("F_OFD_SETLK", first, last), -result);
            }
            return true;
        }
    }

    /**
     * Whether another opening of the file has any lock in {@code first..last}, shared ones too.
     *
     * @throws ErrnoException what holds the file has no locks
     */
    public boolean isLockedElsewhere(long first, long last) throws ErrnoException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment lock = lock(arena, true, first, last);
            int result = fcntl(arena, fd.number(), F_OFD_GETLK, lock);
            if (result < 0) {
                throw new ErrnoException("fcntl", detail("F_OFD_GETLK", first, last), -result);
            }
            return lock.get(JAVA_SHORT, L_TYPE) != F_UNLCK;
        }
    }

    /**
     * Who else has a lock in {@code first..last}, as far as /proc shows: {@code this process},
     * {@code process 12 (name)}, or {@code another process}. For messages.
     */
    public String holder(long first, long last) {
        long inode;
        try {
            inode = FileStatus.of(fd).inode();
        } catch (ErrnoException e) {
            return "another process";
        }
        // The kernel gives no process for such a lock: the descriptors tell whose it is.
        try (DirectoryStream<Path> processes =
                Files.newDirectoryStream(Path.of("/proc"), "[0-9]*")) {
            long self = ProcessHandle.current().pid();
            for (Path process : processes) {
                long pid = Long.parseLong(process.getFileName().toString());
                if (holds(process, pid == self, inode, first, last)) {
                    return pid == self ? "this process" : ProcessName.of(pid);
                }
            }
        } catch (IOException | DirectoryIteratorException e) {
            // It has ended meanwhile, or /proc is not to be read: then nobody is named.
        }
        return "another process";
    }

    private boolean holds(Path process, boolean isSelf, long inode, long first, long last) {
        try (DirectoryStream<Path> descriptors =
                Files.newDirectoryStream(process.resolve("fdinfo"))) {
            for (Path descriptor : descriptors) {
                boolean isThis =
                        isSelf
                                && descriptor
                                        .getFileName()
                                        .toString()
                                        .equals(Integer.toString(fd.number()));
                if (!isThis && isHolding(Files.readString(descriptor), inode, first, last)) {
                    return true;
                }
            }
        } catch (IOException | DirectoryIteratorException e) {
            // Another user's, or it has ended.
        }
        return false;
    }

    static boolean isHolding(String fdinfo, long inode, long first, long last) {
        Matcher held = HELD.matcher(fdinfo);
        while (held.find()) {
            if (Long.parseLong(held.group(1)) == inode
                    && Long.parseLong(held.group(2)) <= last
                    && (held.group(3).equals("EOF") || Long.parseLong(held.group(3)) >= first)) {
                return true;
            }
        }
        return false;
    }

    @Override
    public void close() {
        fd.close();
    }

    private String detail(String command, long first, long last) {
        return "%s fd=%d first=%d last=%d".formatted(command, fd.number(), first, last);
    }

    private static MemorySegment lock(Arena arena, boolean isExclusive, long first, long last) {
        if (first < 0 || last < first || last - first == Long.MAX_VALUE) {
            throw new IllegalArgumentException("first=" + first + " last=" + last);
        }
        MemorySegment lock = arena.allocate(SIZEOF_FLOCK, 8);
        lock.set(JAVA_SHORT, L_TYPE, isExclusive ? F_WRLCK : F_RDLCK);
        lock.set(JAVA_LONG, L_START, first);
        lock.set(JAVA_LONG, L_LEN, last - first + 1);
        return lock;
    }

    private static int open(Arena arena, MemorySegment path, int flags) {
        if (FailureInjection.strikes()) {
            return -Errno.ENOMEM;
        }
        try {
            MemorySegment errno = arena.allocate(Linux.ERRNO);
            // SAFETY: the path ends with a zero byte; without O_CREAT there is no third argument.
            return Linux.result((int) OPEN.invokeExact(errno, path, flags), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    private static int fcntl(Arena arena, int fd, int command, MemorySegment lock) {
        if (FailureInjection.strikes()) {
            return -Errno.ENOMEM;
        }
        try {
            MemorySegment errno = arena.allocate(Linux.ERRNO);
            // SAFETY: lock has the size of struct flock; the descriptor is owned and open.
            return Linux.result((int) FCNTL.invokeExact(errno, fd, command, lock), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }
}
