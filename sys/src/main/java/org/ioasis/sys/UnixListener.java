// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * A socket file at which others of the same user connect: unix(7). Nonblocking and close-on-exec.
 * Belongs to one thread at a time.
 */
public final class UnixListener implements AutoCloseable {
    private static final int MODE = 0600;
    private static final int BACKLOG = 64;

    private static final MethodHandle BIND =
            Linux.link("bind", FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT));
    private static final MethodHandle LISTEN =
            Linux.link("listen", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT));
    private static final MethodHandle FCHMOD =
            Linux.link("fchmod", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT));
    private static final MethodHandle ACCEPT4 =
            Linux.link(
                    "accept4",
                    FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS, ADDRESS, JAVA_INT));

    private final UnixAddress address;
    private final Fd fd;
    private final FileStatus made;
    private final MemorySegment errno = Arena.ofAuto().allocate(Linux.ERRNO);

    private UnixListener(UnixAddress address, Fd fd, FileStatus made) {
        this.address = address;
        this.fd = fd;
        this.made = made;
    }

    /**
     * Makes the socket file, mode 0600 from the first moment and whatever the umask (which can only
     * take bits away), and listens. A socket file at which nobody listens is replaced; anything
     * else that is there stays. Two processes that replace the same stale file at the same moment
     * are not kept apart: the later one wins. Whoever listens sees the test as a client that leaves
     * at once.
     *
     * @throws ErrnoException EADDRINUSE: somebody listens there, or it is not a stream socket;
     *     ENAMETOOLONG: the path has more than 107 bytes; ENOENT, EACCES, EROFS…: of the folder
     */
    public static UnixListener bind(Path path) throws ErrnoException {
        UnixAddress address = UnixAddress.of("bind", path);
        Fd fd = UnixSocket.open();
        boolean isBound = false;
        boolean isListening = false;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = arena.allocate(Linux.ERRNO);
            // Linux gives a socket's file the mode of the socket, less the umask. A chmod of the
            // path afterwards would come too late for somebody who connects in between.
            check("fchmod", address, fchmod(errno, fd.number(), MODE));
            int result = bind(errno, fd.number(), address.address());
            if (result == -Errno.EADDRINUSE && removeIfStale(address)) {
                result = bind(errno, fd.number(), address.address());
            }
            check("bind", address, result);
            isBound = true;
            FileStatus made = FileStatus.of(address);
            check("listen", address, listen(errno, fd.number(), BACKLOG));
            isListening = true;
            return new UnixListener(address, fd, made);
        } finally {
            if (!isListening) {
                if (isBound) {
                    delete(path);
                }
                fd.close();
            }
        }
    }

    /** The number, to wait for it with {@link Epoll}: readable when somebody connects. */
    public int fd() {
        return fd.number();
    }

    /**
     * The next one who connected, or null if nobody is waiting.
     *
     * @throws ErrnoException EMFILE or ENFILE: no descriptor is free, and whoever waits goes on
     *     waiting, so that {@link Epoll} reports the listener again at once
     */
    public @Nullable UnixSocket accept() throws ErrnoException {
        int accepted = accept4(fd.number());
        if (accepted == -Errno.EAGAIN || accepted == -Errno.ECONNABORTED) {
            return null;
        }
        check("accept4", address, accepted);
        return new UnixSocket(Fd.own(accepted));
    }

    /** Where it listens. */
    public Path path() {
        return address.path();
    }

    /** Removes the socket file if it is still the one made here. Never fails. */
    @Override
    public void close() {
        if (!fd.isOpen()) {
            return;
        }
        // In this order: while the socket is open its inode number is not given to another file.
        try {
            if (FileStatus.of(address).isSameFile(made)) {
                delete(address.path());
            }
        } catch (ErrnoException e) {
            // Gone already, or out of reach: then it is not ours to remove.
        }
        fd.close();
    }

    /** Whether the path is free now. Removes nothing but a stream socket that nobody listens to. */
    private static boolean removeIfStale(UnixAddress address) throws ErrnoException {
        FileStatus before = FileStatus.of(address);
        if (!before.isSocket()) {
            return false;
        }
        try (Fd probe = UnixSocket.open()) {
            int result = UnixSocket.connect(probe, address);
            if (result != -Errno.ECONNREFUSED) {
                return false;
            }
        }
        if (!FileStatus.of(address).isSameFile(before)) {
            return false;
        }
        delete(address.path());
        return true;
    }

    private static void delete(Path path) {
        try {
            Files.deleteIfExists(path);
        } catch (IOException e) {
            // What cannot be removed makes the next bind(2) fail, which says so.
        }
    }

    private static void check(String call, UnixAddress address, int result) throws ErrnoException {
        if (result < 0) {
            throw new ErrnoException(call, address.toString(), -result);
        }
    }

    private static int fchmod(MemorySegment errno, int fd, int mode) {
        if (FailureInjection.strikes()) {
            return -Errno.ENOMEM;
        }
        try {
            // SAFETY: plain ints.
            return Linux.result((int) FCHMOD.invokeExact(errno, fd, mode), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    private static int bind(MemorySegment errno, int fd, MemorySegment address) {
        if (FailureInjection.strikes()) {
            return -Errno.ENOMEM;
        }
        try {
            int length = (int) address.byteSize();
            // SAFETY: the address has the length that is given.
            return Linux.result((int) BIND.invokeExact(errno, fd, address, length), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    private static int listen(MemorySegment errno, int fd, int backlog) {
        if (FailureInjection.strikes()) {
            return -Errno.ENOMEM;
        }
        try {
            // SAFETY: plain ints.
            return Linux.result((int) LISTEN.invokeExact(errno, fd, backlog), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    private int accept4(int number) {
        if (FailureInjection.strikes()) {
            return -Errno.EMFILE;
        }
        try {
            // SAFETY: without room for the peer's address the kernel writes none.
            return Linux.result(
                    (int)
                            ACCEPT4.invokeExact(
                                    errno,
                                    number,
                                    MemorySegment.NULL,
                                    MemorySegment.NULL,
                                    UnixSocket.SOCK_NONBLOCK | UnixSocket.SOCK_CLOEXEC),
                    errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }
}
