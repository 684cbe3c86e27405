// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;

/**
 * A connected stream socket between processes of this host, over which bytes and descriptors
 * travel: unix(7). Nonblocking and close-on-exec.
 *
 * <p>Belongs to one thread at a time. Sending and receiving allocate nothing but the {@link Fd}s
 * that arrive.
 */
public final class UnixSocket implements AutoCloseable {
    /** How many descriptors {@link #receive} takes at once; more are a protocol error. */
    public static final int RECEIVE_FDS = 16;

    /** How many descriptors {@link #send} takes at once: SCM_MAX_FD of Linux. */
    public static final int SEND_FDS = 253;

    static final int AF_UNIX = 1;
    static final int SOCK_STREAM = 1;
    static final int SOCK_NONBLOCK = 0x800;
    static final int SOCK_CLOEXEC = 0x80000;
    private static final int SOL_SOCKET = 1;
    private static final int SCM_RIGHTS = 1;
    private static final int MSG_CTRUNC = 0x8;
    private static final int MSG_NOSIGNAL = 0x4000;

    /** Not left to O_NONBLOCK, which whoever has the same socket may clear. */
    private static final int MSG_DONTWAIT = 0x40;

    private static final int MSG_CMSG_CLOEXEC = 0x40000000;

    // struct msghdr, LP64: name 0, namelen 8, iov 16, iovlen 24, control 32, controllen 40, flags
    // 48.
    private static final int SIZEOF_MSGHDR = 56;
    private static final int MSG_IOV = 16;
    private static final int MSG_IOVLEN = 24;
    private static final int MSG_CONTROL = 32;
    private static final int MSG_CONTROLLEN = 40;
    private static final int MSG_FLAGS = 48;

    // struct iovec, LP64: base 0, len 8.
    private static final int SIZEOF_IOVEC = 16;
    private static final int IOV_BASE = 0;
    private static final int IOV_LEN = 8;

    // struct cmsghdr, LP64: len 0, level 8, type 12; data from 16 on, the next one 8-byte aligned.
    private static final int CMSG_LEN = 0;
    private static final int CMSG_LEVEL = 8;
    private static final int CMSG_TYPE = 12;
    private static final int CMSG_DATA = 16;

    /** What the kernel may use when receiving. Exactly this many descriptors fit. */
    private static final int RECEIVE_CONTROL = CMSG_DATA + RECEIVE_FDS * Integer.BYTES;

    private static final int SEND_CONTROL = alignedCmsg(CMSG_DATA + SEND_FDS * Integer.BYTES);

    /**
     * syscall(2) with sendmsg's or recvmsg's number and three arguments. The fourth is not looked
     * at by the kernel: it is the buffer that the iovec points to, so that the runtime sees it in
     * use and nobody can end its arena while the kernel copies.
     */
    private static final MethodHandle MESSAGE =
            Linux.linkVariadic(
                    "syscall",
                    1,
                    FunctionDescriptor.of(
                            JAVA_LONG, JAVA_LONG, JAVA_LONG, ADDRESS, JAVA_LONG, ADDRESS));

    private final Fd fd;
    private final MemorySegment errno;
    private final MemorySegment message;
    private final MemorySegment vector;
    private final MemorySegment control;
    private final int[] arrived = new int[RECEIVE_FDS];

    /** Takes the descriptor over. */
    UnixSocket(Fd fd) {
        this.fd = fd;
        Arena scratch = Arena.ofAuto();
        errno = scratch.allocate(Linux.ERRNO);
        message = scratch.allocate(SIZEOF_MSGHDR, 8);
        vector = scratch.allocate(SIZEOF_IOVEC, 8);
        control = scratch.allocate(SEND_CONTROL, 8);
        message.set(ADDRESS, MSG_IOV, vector);
        message.set(JAVA_LONG, MSG_IOVLEN, 1);
        message.set(ADDRESS, MSG_CONTROL, control);
    }

    /**
     * Connects to a listener.
     *
     * @throws ErrnoException ENOENT: no such path; ECONNREFUSED: nobody listens there; EAGAIN: the
     *     listener's queue is full; ENAMETOOLONG: the path has more than 107 bytes
     */
    public static UnixSocket connect(Path path) throws ErrnoException {
        UnixAddress address = UnixAddress.of("connect", path);
        Fd fd = open();
        int result = connect(fd, address);
        if (result < 0) {
            fd.close();
            throw new ErrnoException("connect", path.toString(), -result);
        }
        return new UnixSocket(fd);
    }

    /**
     * Takes over a descriptor that came from a peer, if it is a socket: to write to another kind of
     * file could do harm. It may block whatever its flags say: {@link #send} never waits.
     *
     * @throws ErrnoException EINVAL: not a socket. The descriptor is then still the caller's.
     */
    public static UnixSocket of(Fd fd) throws ErrnoException {
        String link;
        try {
            link = Files.readSymbolicLink(Path.of("/proc/self/fd/" + fd.number())).toString();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        if (!link.startsWith("socket:")) {
            throw new ErrnoException("socket", "from " + fd, Errno.EINVAL);
        }
        return new UnixSocket(Fd.own(fd.transfer()));
    }

    /** Two sockets connected to each other. */
    public static UnixSocket[] pair() throws ErrnoException {
        return Pair.create();
    }

    /** The number, to wait for it with {@link Epoll}. */
    public int fd() {
        return fd.number();
    }

    /**
     * Who has connected, for messages: {@code process 12 (name)}. It may have handed the socket on
     * since.
     */
    public String peer() {
        int pid = Peer.process(fd.number());
        return pid > 0 ? ProcessName.of(pid) : "a process of another namespace";
    }

    /**
     * Receives what is there, at most {@code length} bytes, and the descriptors that came with it.
     *
     * @param buffer native, writable memory
     * @param length at least 1
     * @param fds where received descriptors are added, close-on-exec and owned by the caller;
     *     unchanged if this throws
     * @return the number of bytes; 0 if the peer has closed; {@code -EAGAIN} if nothing is there
     * @throws ErrnoException EPROTO: more than {@link #RECEIVE_FDS} descriptors came, or more than
     *     this process may open: all are closed, and the bytes are lost; ECONNRESET: the peer
     *     closed before it had read everything
     */
    public int receive(MemorySegment buffer, long offset, int length, List<Fd> fds)
            throws ErrnoException {
        if (buffer.isReadOnly()) {
            throw new IllegalArgumentException("buffer is read-only");
        }
        point(buffer, offset, length);
        message.set(JAVA_LONG, MSG_CONTROLLEN, RECEIVE_CONTROL);
        message.set(JAVA_INT, MSG_FLAGS, 0);
        long received = message(Abi.HOST.recvmsg(), MSG_CMSG_CLOEXEC | MSG_DONTWAIT, buffer);
        if (received < 0) {
            return failed("recvmsg", length, received);
        }
        if (message.get(JAVA_LONG, MSG_CONTROLLEN) > 0 || isControlCut()) {
            takeDescriptors(fds);
        }
        return (int) received;
    }

    /**
     * Sends as many bytes as there is room for. The descriptors go with the first byte: if the
     * result is positive they are on their way, and the rest of the bytes is sent without them. The
     * caller keeps its own.
     *
     * @param buffer native memory
     * @param length at least 1
     * @param fds at most {@link #SEND_FDS}
     * @return the number of bytes, or {@code -EAGAIN} if there is no room at all
     * @throws ErrnoException EPIPE or ECONNRESET: the peer has closed; EINVAL: too many descriptors
     */
    public int send(MemorySegment buffer, long offset, int length, List<Fd> fds)
            throws ErrnoException {
        int count = fds.size();
        if (count > SEND_FDS) {
            throw new ErrnoException("sendmsg", fd + " fds=" + count, Errno.EINVAL);
        }
        point(buffer, offset, length);
        for (int i = 0; i < count; i++) {
            control.set(JAVA_INT, CMSG_DATA + (long) i * Integer.BYTES, fds.get(i).number());
        }
        if (count > 0) {
            int used = CMSG_DATA + count * Integer.BYTES;
            control.set(JAVA_LONG, CMSG_LEN, used);
            control.set(JAVA_INT, CMSG_LEVEL, SOL_SOCKET);
            control.set(JAVA_INT, CMSG_TYPE, SCM_RIGHTS);
            message.set(JAVA_LONG, MSG_CONTROLLEN, alignedCmsg(used));
        } else {
            message.set(JAVA_LONG, MSG_CONTROLLEN, 0);
        }
        long sent = message(Abi.HOST.sendmsg(), MSG_NOSIGNAL | MSG_DONTWAIT, buffer);
        return sent < 0 ? failed("sendmsg", length, sent) : (int) sent;
    }

    /**
     * How much of the kernel's memory holds what was sent and the peer has not received, in bytes:
     * 0 if it has received everything (SIOCOUTQ of unix(7)). What is held has descriptors of ours
     * open, if some went with it, and they count as this user's.
     *
     * @throws ErrnoException of ioctl(2)
     */
    public int unread() throws ErrnoException {
        int result = Output.outq(errno, fd.number(), message);
        if (result < 0) {
            throw new ErrnoException("ioctl", fd + " SIOCOUTQ", -result);
        }
        return message.get(JAVA_INT, MSG_FLAGS);
    }

    /**
     * The peer finds the end of the stream behind what it has not received, and can send no more.
     * What it has not received stays {@link #unread}.
     *
     * @throws ErrnoException of shutdown(2)
     */
    public void shutdown() throws ErrnoException {
        int result = Output.shutdown(errno, fd.number());
        if (result < 0) {
            throw new ErrnoException("shutdown", fd.toString(), -result);
        }
    }

    /** Never fails; does nothing the second time. */
    @Override
    public void close() {
        fd.close();
    }

    private void point(MemorySegment buffer, long offset, int length) {
        Objects.checkFromIndexSize(offset, length, buffer.byteSize());
        if (length == 0) {
            throw new IllegalArgumentException("length=0 cannot be told from the peer's end");
        }
        vector.set(JAVA_LONG, IOV_BASE, buffer.address() + offset);
        vector.set(JAVA_LONG, IOV_LEN, length);
    }

    private long message(long call, int flags, MemorySegment buffer) {
        if (FailureInjection.strikes()) {
            return -Errno.ENOMEM;
        }
        try {
            // SAFETY: message and what it points to is one arena's, kept by the message argument;
            // the iovec points into buffer, checked against its bounds, kept by the last argument
            // (a closed, foreign or heap buffer is refused before the call).
            return Linux.result(
                    (long)
                            MESSAGE.invokeExact(
                                    errno, call, (long) fd.number(), message, (long) flags, buffer),
                    errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    private int failed(String call, int length, long result) throws ErrnoException {
        if (result == -Errno.EAGAIN) {
            return -Errno.EAGAIN;
        }
        throw new ErrnoException(call, fd + " length=" + length, (int) -result);
    }

    private boolean isControlCut() {
        return (message.get(JAVA_INT, MSG_FLAGS) & MSG_CTRUNC) != 0;
    }

    /** Hands over what arrived, or closes it: each of these descriptors is open by now. */
    private void takeDescriptors(List<Fd> fds) throws ErrnoException {
        int count = findDescriptors();
        int taken = 0;
        try {
            if (isControlCut()) {
                throw new ErrnoException(
                        "recvmsg",
                        fd + " more than " + RECEIVE_FDS + " descriptors or no room for them",
                        Errno.EPROTO);
            }
            while (taken < count) {
                fds.add(Fd.own(arrived[taken]));
                taken++;
            }
        } finally {
            while (taken < count) {
                Fd.closeNumber(arrived[taken]);
                taken++;
            }
        }
    }

    /** Walks all control messages, for any of them may carry descriptors. Returns how many. */
    private int findDescriptors() {
        long end = Math.min(message.get(JAVA_LONG, MSG_CONTROLLEN), RECEIVE_CONTROL);
        int count = 0;
        long at = 0;
        while (at + CMSG_DATA <= end) {
            long next = at + Math.max(control.get(JAVA_LONG, at + CMSG_LEN), CMSG_DATA);
            if (isRights(at)) {
                long data = at + CMSG_DATA;
                while (data + Integer.BYTES <= Math.min(next, end)) {
                    arrived[count] = control.get(JAVA_INT, data);
                    count++;
                    data += Integer.BYTES;
                }
            }
            at = alignedCmsg((int) next);
        }
        return count;
    }

    private boolean isRights(long at) {
        return control.get(JAVA_INT, at + CMSG_LEVEL) == SOL_SOCKET
                && control.get(JAVA_INT, at + CMSG_TYPE) == SCM_RIGHTS;
    }

    private static int alignedCmsg(int length) {
        return (length + 7) & ~7;
    }

    /** A socket that is not connected. */
    static Fd open() throws ErrnoException {
        int number = Open.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (number < 0) {
            throw new ErrnoException("socket", "AF_UNIX", -number);
        }
        return Fd.own(number);
    }

    /** 0 or the negative errno. */
    static int connect(Fd fd, UnixAddress address) {
        return Open.connect(fd.number(), address.address());
    }

    /** For those who connect or listen, not for those who are connected. */
    private static final class Open {
        private static final MethodHandle SOCKET =
                Linux.link("socket", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT));
        private static final MethodHandle CONNECT =
                Linux.link("connect", FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT));

        static int socket(int family, int type, int protocol) {
            if (FailureInjection.strikes()) {
                return -Errno.ENOMEM;
            }
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment errno = arena.allocate(Linux.ERRNO);
                // SAFETY: plain ints.
                return Linux.result((int) SOCKET.invokeExact(errno, family, type, protocol), errno);
            } catch (Throwable e) {
                throw Linux.rethrow(e);
            }
        }

        static int connect(int fd, MemorySegment address) {
            if (FailureInjection.strikes()) {
                return -Errno.ENOMEM;
            }
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment errno = arena.allocate(Linux.ERRNO);
                int length = (int) address.byteSize();
                // SAFETY: the address has the length that is given.
                return Linux.result((int) CONNECT.invokeExact(errno, fd, address, length), errno);
            } catch (Throwable e) {
                throw Linux.rethrow(e);
            }
        }
    }

    /** For those who send descriptors. */
    private static final class Output {
        private static final long SIOCOUTQ = 0x5411;

        private static final MethodHandle IOCTL =
                Linux.linkVariadic(
                        "ioctl", 2, FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG, ADDRESS));

        private static final int SHUT_RDWR = 2;

        private static final MethodHandle SHUTDOWN =
                Linux.link("shutdown", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT));

        /** 0 or the negative errno. */
        static int shutdown(MemorySegment errno, int fd) {
            if (FailureInjection.strikes()) {
                return -Errno.ENOMEM;
            }
            try {
                // SAFETY: plain ints.
                return Linux.result((int) SHUTDOWN.invokeExact(errno, fd, SHUT_RDWR), errno);
            } catch (Throwable e) {
                throw Linux.rethrow(e);
            }
        }

        /**
         * 0 or the negative errno; the number is in the message's flags, of no use before a call.
         */
        static int outq(MemorySegment errno, int fd, MemorySegment message) {
            if (FailureInjection.strikes()) {
                return -Errno.ENOMEM;
            }
            try {
                // SAFETY: the flags are an int of a message that is kept by the segment.
                return Linux.result(
                        (int)
                                IOCTL.invokeExact(
                                        errno,
                                        fd,
                                        SIOCOUTQ,
                                        message.asSlice(MSG_FLAGS, Integer.BYTES)),
                        errno);
            } catch (Throwable e) {
                throw Linux.rethrow(e);
            }
        }
    }

    /** Asked for once per connection. */
    private static final class Peer {
        private static final int SO_PEERCRED = 17;

        /** struct ucred: pid 0, uid 4, gid 8. */
        private static final int SIZEOF_UCRED = 12;

        private static final MethodHandle GETSOCKOPT =
                Linux.link(
                        "getsockopt",
                        FunctionDescriptor.of(
                                JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, ADDRESS, ADDRESS));

        /** 0 if it is not known here. */
        static int process(int fd) {
            if (FailureInjection.strikes()) {
                return 0;
            }
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment errno = arena.allocate(Linux.ERRNO);
                MemorySegment credentials = arena.allocate(SIZEOF_UCRED, Integer.BYTES);
                MemorySegment size = arena.allocateFrom(JAVA_INT, SIZEOF_UCRED);
                // SAFETY: credentials has the size that is given.
                int result =
                        Linux.result(
                                (int)
                                        GETSOCKOPT.invokeExact(
                                                errno,
                                                fd,
                                                SOL_SOCKET,
                                                SO_PEERCRED,
                                                credentials,
                                                size),
                                errno);
                return result < 0 ? 0 : credentials.get(JAVA_INT, 0);
            } catch (Throwable e) {
                throw Linux.rethrow(e);
            }
        }
    }

    /** For tests and for clients inside this process. */
    private static final class Pair {
        private static final MethodHandle SOCKETPAIR =
                Linux.link(
                        "socketpair",
                        FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, ADDRESS));

        static UnixSocket[] create() throws ErrnoException {
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment numbers = arena.allocate(JAVA_INT, 2);
                int result = socketpair(arena.allocate(Linux.ERRNO), numbers);
                if (result < 0) {
                    throw new ErrnoException("socketpair", "AF_UNIX", -result);
                }
                return new UnixSocket[] {
                    new UnixSocket(Fd.own(numbers.get(JAVA_INT, 0))),
                    new UnixSocket(Fd.own(numbers.get(JAVA_INT, Integer.BYTES)))
                };
            }
        }

        private static int socketpair(MemorySegment errno, MemorySegment numbers) {
            if (FailureInjection.strikes()) {
                return -Errno.ENOMEM;
            }
            try {
                // SAFETY: numbers has room for two ints.
                return Linux.result(
                        (int)
                                SOCKETPAIR.invokeExact(
                                        errno,
                                        AF_UNIX,
                                        SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                                        0,
                                        numbers),
                        errno);
            } catch (Throwable e) {
                throw Linux.rethrow(e);
            }
        }
    }
}
