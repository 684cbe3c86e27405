// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.function.IntConsumer;

/**
 * Says when the last descriptor and the last mapping of an open file is gone, whoever had them:
 * inotify(7), IN_CLOSE_WRITE. The event is queued before the close(2) that causes it returns. One
 * thread.
 *
 * <p>Watched are files, not open files: whoever opens the same file for writing once more and
 * closes it causes an event too. Since Linux 6.14 the file that memfd_create(2) or pipe(2) returns
 * itself causes none; one that is opened through {@code /proc/self/fd} does.
 */
public final class CloseWatch implements AutoCloseable {
    private static final int IN_CLOSE_WRITE = 8;
    private static final int IN_Q_OVERFLOW = 0x4000;
    private static final int IN_NONBLOCK = 0x800;
    private static final int IN_CLOEXEC = 0x80000;
    private static final int SIZEOF_INOTIFY_EVENT = 16;
    private static final int BUFFER = 4096;

    private static final MethodHandle INIT =
            Linux.link("inotify_init1", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
    private static final MethodHandle ADD =
            Linux.link(
                    "inotify_add_watch",
                    FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT));
    private static final MethodHandle REMOVE =
            Linux.linkWithoutErrno(
                    "inotify_rm_watch", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT));
    private static final MethodHandle READ =
            Linux.link("read", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG));

    private final Fd fd;
    private final MemorySegment errno;
    private final MemorySegment buffer;

    private CloseWatch(Fd fd) {
        this.fd = fd;
        Arena scratch = Arena.ofAuto();
        errno = scratch.allocate(Linux.ERRNO);
        buffer = scratch.allocate(BUFFER, 8);
    }

    /**
     * A new one that watches nothing.
     *
     * @throws ErrnoException EMFILE: the user has too many (fs.inotify.max_user_instances)
     */
    public static CloseWatch create() throws ErrnoException {
        int number = init();
        if (number < 0) {
            throw new ErrnoException("inotify_init1", "", -number);
        }
        return new CloseWatch(Fd.own(number));
    }

    /** To wait for it: {@link Epoll#IN} when something was closed. */
    public int fd() {
        return fd.number();
    }

    /**
     * Watches a file.
     *
     * @return the number under which {@link #drain} reports it; the same file has the same
     * @throws ErrnoException ENOSPC: the user watches too many (fs.inotify.max_user_watches)
     */
    public int add(Fd file) throws ErrnoException {
        int result;
        String path = "/proc/self/fd/" + file.number();
        if (FailureInjection.strikes()) {
            result = -Errno.ENOSPC;
        } else {
            try (Arena arena = Arena.ofConfined()) {
                // SAFETY: the path ends with a zero byte.
                result =
                        Linux.result(
                                (int)
                                        ADD.invokeExact(
                                                errno,
                                                fd.number(),
                                                arena.allocateFrom(path),
                                                IN_CLOSE_WRITE),
                                errno);
            } catch (Throwable e) {
                throw Linux.rethrow(e);
            }
        }
        if (result < 0) {
            throw new ErrnoException("inotify_add_watch", path, -result);
        }
        return result;
    }

    /** Watches it no longer. */
    public void remove(int watch) {
        try {
            // SAFETY: plain ints. A watch that is gone already is EINVAL, without consequence.
            int _ = (int) REMOVE.invokeExact(fd.number(), watch);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    /**
     * Reports what was closed since the last time. Does not wait.
     *
     * @return false if the kernel has dropped events since: more than fs.inotify.max_queued_events
     *     were waiting
     */
    public boolean drain(IntConsumer closed) {
        boolean isComplete = true;
        while (true) {
            long length = read();
            if (length <= 0) {
                return isComplete;
            }
            long at = 0;
            while (at + SIZEOF_INOTIFY_EVENT <= length) {
                int mask = buffer.get(JAVA_INT, at + 4);
                if ((mask & IN_Q_OVERFLOW) != 0) {
                    isComplete = false;
                } else if ((mask & IN_CLOSE_WRITE) != 0) {
                    closed.accept(buffer.get(JAVA_INT, at));
                }
                // Files have no names behind the event, folders would.
                at += SIZEOF_INOTIFY_EVENT + Integer.toUnsignedLong(buffer.get(JAVA_INT, at + 12));
            }
        }
    }

    /** Never fails; does nothing the second time. */
    @Override
    public void close() {
        fd.close();
    }

    private static int init() {
        if (FailureInjection.strikes()) {
            return -Errno.EMFILE;
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = arena.allocate(Linux.ERRNO);
            // SAFETY: plain ints.
            return Linux.result((int) INIT.invokeExact(errno, IN_NONBLOCK | IN_CLOEXEC), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    private long read() {
        try {
            // SAFETY: buffer has that many writable bytes.
            return Linux.result(
                    (long) READ.invokeExact(errno, fd.number(), buffer, (long) BUFFER), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }
}
