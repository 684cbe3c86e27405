// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import java.util.Map;

/** Error numbers of Linux on x86-64 and aarch64 (asm-generic), by name and in words. Any thread. */
public final class Errno {
    public static final int EPERM = 1;
    public static final int ENOENT = 2;
    public static final int ESRCH = 3;
    public static final int EINTR = 4;
    public static final int EIO = 5;
    public static final int ENXIO = 6;
    public static final int E2BIG = 7;
    public static final int ENOEXEC = 8;
    public static final int EBADF = 9;
    public static final int EAGAIN = 11;
    public static final int ENOMEM = 12;
    public static final int EACCES = 13;
    public static final int EFAULT = 14;
    public static final int EBUSY = 16;
    public static final int EEXIST = 17;
    public static final int ENODEV = 19;
    public static final int ENOTDIR = 20;
    public static final int EISDIR = 21;
    public static final int EINVAL = 22;
    public static final int ENFILE = 23;
    public static final int EMFILE = 24;
    public static final int ENOTTY = 25;
    public static final int ENOSPC = 28;
    public static final int ESPIPE = 29;
    public static final int EROFS = 30;
    public static final int EPIPE = 32;
    public static final int ERANGE = 34;
    public static final int EDEADLK = 35;
    public static final int ENAMETOOLONG = 36;
    public static final int ENOSYS = 38;
    public static final int ELOOP = 40;
    public static final int EPROTO = 71;
    public static final int EOVERFLOW = 75;
    public static final int EBADFD = 77;
    public static final int ENOTSOCK = 88;
    public static final int EMSGSIZE = 90;
    public static final int EPROTOTYPE = 91;
    public static final int ENOTSUP = 95;
    public static final int EADDRINUSE = 98;
    public static final int ECONNABORTED = 103;
    public static final int ECONNRESET = 104;
    public static final int ENOBUFS = 105;
    public static final int ENOTCONN = 107;
    public static final int ETIMEDOUT = 110;
    public static final int ECONNREFUSED = 111;

    /** How a number is said to developers, and to users. */
    private record Text(String name, String words) {}

    private static final Map<Integer, Text> TEXTS =
            Map.ofEntries(
                    Map.entry(EPERM, new Text("EPERM", "operation not permitted")),
                    Map.entry(ENOENT, new Text("ENOENT", "no such file or folder")),
                    Map.entry(ESRCH, new Text("ESRCH", "no such process")),
                    Map.entry(EINTR, new Text("EINTR", "interrupted by a signal")),
                    Map.entry(EIO, new Text("EIO", "input or output error")),
                    Map.entry(ENXIO, new Text("ENXIO", "no such device or address")),
                    Map.entry(E2BIG, new Text("E2BIG", "too many arguments")),
                    Map.entry(ENOEXEC, new Text("ENOEXEC", "no program that this machine can run")),
                    Map.entry(EBADF, new Text("EBADF", "no such descriptor")),
                    Map.entry(EAGAIN, new Text("EAGAIN", "not possible now")),
                    Map.entry(ENOMEM, new Text("ENOMEM", "out of memory")),
                    Map.entry(EACCES, new Text("EACCES", "permission denied")),
                    Map.entry(EFAULT, new Text("EFAULT", "no memory at that address")),
                    Map.entry(EBUSY, new Text("EBUSY", "in use")),
                    Map.entry(EEXIST, new Text("EEXIST", "there is one already")),
                    Map.entry(ENODEV, new Text("ENODEV", "no such device")),
                    Map.entry(ENOTDIR, new Text("ENOTDIR", "not a folder")),
                    Map.entry(EISDIR, new Text("EISDIR", "a folder")),
                    Map.entry(EINVAL, new Text("EINVAL", "not possible with these values")),
                    Map.entry(
                            ENFILE, new Text("ENFILE", "too many files are open on this machine")),
                    Map.entry(EMFILE, new Text("EMFILE", "this process may open no more files")),
                    Map.entry(ENOTTY, new Text("ENOTTY", "not possible with this kind of file")),
                    Map.entry(ENOSPC, new Text("ENOSPC", "no space left")),
                    Map.entry(ESPIPE, new Text("ESPIPE", "a pipe or socket has no position")),
                    Map.entry(EROFS, new Text("EROFS", "the file system is read-only")),
                    Map.entry(EPIPE, new Text("EPIPE", "the other end is closed")),
                    Map.entry(ERANGE, new Text("ERANGE", "out of range")),
                    Map.entry(EDEADLK, new Text("EDEADLK", "a deadlock")),
                    Map.entry(ENAMETOOLONG, new Text("ENAMETOOLONG", "the name is too long")),
                    Map.entry(ENOSYS, new Text("ENOSYS", "this kernel does not have that call")),
                    Map.entry(ELOOP, new Text("ELOOP", "too many links")),
                    Map.entry(EPROTO, new Text("EPROTO", "a rule of the protocol is broken")),
                    Map.entry(EOVERFLOW, new Text("EOVERFLOW", "too large a number")),
                    Map.entry(EBADFD, new Text("EBADFD", "a descriptor in the wrong state")),
                    Map.entry(ENOTSOCK, new Text("ENOTSOCK", "not a socket")),
                    Map.entry(EMSGSIZE, new Text("EMSGSIZE", "the message is too long")),
                    Map.entry(EPROTOTYPE, new Text("EPROTOTYPE", "a socket of another type")),
                    Map.entry(ENOTSUP, new Text("ENOTSUP", "not supported")),
                    Map.entry(EADDRINUSE, new Text("EADDRINUSE", "in use by somebody else")),
                    Map.entry(
                            ECONNABORTED, new Text("ECONNABORTED", "the connection was given up")),
                    Map.entry(
                            ECONNRESET,
                            new Text("ECONNRESET", "the other end broke the connection")),
                    Map.entry(ENOBUFS, new Text("ENOBUFS", "no buffer left")),
                    Map.entry(ENOTCONN, new Text("ENOTCONN", "not connected")),
                    Map.entry(ETIMEDOUT, new Text("ETIMEDOUT", "no answer in time")),
                    Map.entry(ECONNREFUSED, new Text("ECONNREFUSED", "nobody listens there")));

    private Errno() {}

    /**
     * The symbolic name of {@code errno}, or {@code errno N} for one that Ioasis has no use for.
     */
    public static String name(int errno) {
        Text text = TEXTS.get(errno);
        return text == null ? "errno " + errno : text.name;
    }

    /** The same for those who run programs and do not write them. */
    public static String words(int errno) {
        Text text = TEXTS.get(errno);
        return text == null ? "error " + errno + " of Linux" : text.words;
    }
}
