// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.Objects;
import java.util.regex.Pattern;

/**
 * The other end of a network interface of this host (TAP): whole Ethernet frames, one per call
 * (Linux, Documentation/networking/tuntap.rst). Nonblocking and close-on-exec. An interface that
 * was not there before is gone after {@link #close}.
 *
 * <p>Belongs to one thread at a time. Sending and receiving allocate nothing.
 */
public final class TapDevice implements AutoCloseable {
    private static final String CLONE = "/dev/net/tun";

    /** What Linux allows as a name (IFNAMSIZ, with the final zero 16), and no pattern of names. */
    private static final Pattern NAME = Pattern.compile("(?!\\.{1,2}$)[A-Za-z0-9._-]{1,15}");

    // struct ifreq: name 0, flags 16.
    private static final int SIZEOF_IFREQ = 40;
    private static final int IFR_FLAGS = 16;

    private static final long TUNSETIFF = 0x400454ca;
    private static final short IFF_TAP = 0x2;
    private static final short IFF_NO_PI = 0x1000;

    private static final MethodHandle IOCTL =
            Linux.linkVariadic(
                    "ioctl", 2, FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG, ADDRESS));
    private static final MethodHandle READ =
            Linux.link("read", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG));
    private static final MethodHandle WRITE =
            Linux.link("write", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG));

    private final Fd fd;
    private final MemorySegment errno = Arena.ofAuto().allocate(Linux.ERRNO);

    private TapDevice(Fd fd) {
        this.fd = fd;
    }

    /** Whether an interface may have this name. */
    public static boolean isName(String name) {
        return NAME.matcher(name).matches();
    }

    /**
     * Takes the end of an interface, which is made if there is none of that name.
     *
     * @throws ErrnoException of open(2), ENOENT or ENODEV: this host has no such devices; EACCES:
     *     it gives them to others. Of ioctl(2), EPERM: the interface is another user's, or there is
     *     none and this process may not make one (CAP_NET_ADMIN); EBUSY: somebody has its end;
     *     EINVAL: it is no TAP, or one of several queues
     */
    public static TapDevice open(String name) throws ErrnoException {
        if (!isName(name)) {
            throw new IllegalArgumentException("not a name of an interface: " + name);
        }
        Fd fd = FileBytes.open(CLONE, FileBytes.O_RDWR | FileBytes.O_NONBLOCK);
        int result;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment request = arena.allocate(SIZEOF_IFREQ, 8);
            request.setString(0, name);
            request.set(JAVA_SHORT, IFR_FLAGS, (short) (IFF_TAP | IFF_NO_PI));
            result = attach(arena, fd.number(), request);
        }
        if (result < 0) {
            fd.close();
            throw new ErrnoException("ioctl", "TUNSETIFF " + name, -result);
        }
        return new TapDevice(fd);
    }

    private static int attach(Arena arena, int number, MemorySegment request) {
        if (FailureInjection.strikes()) {
            return -Errno.ENOMEM;
        }
        try {
            MemorySegment errno = arena.allocate(Linux.ERRNO);
            // SAFETY: request has the size of struct ifreq, its name ends with a zero byte.
            return Linux.result((int) IOCTL.invokeExact(errno, number, TUNSETIFF, request), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    /** The number, to wait for it with {@link Epoll}. */
    public int fd() {
        return fd.number();
    }

    /**
     * Takes the next frame that the host has sent into the interface.
     *
     * @param buffer native, writable memory
     * @param length a longer frame is cut to it
     * @return its bytes, or {@code -EAGAIN} if there is none
     * @throws ErrnoException the interface is gone
     */
    public int receive(MemorySegment buffer, long offset, int length) throws ErrnoException {
        Objects.checkFromIndexSize(offset, length, buffer.byteSize());
        if (buffer.isReadOnly()) {
            throw new IllegalArgumentException("buffer is read-only");
        }
        int result = (int) read(buffer.asSlice(offset, length));
        if (result < 0 && result != -Errno.EAGAIN) {
            throw new ErrnoException("read", fd + " length=" + length, -result);
        }
        return result;
    }

    private long read(MemorySegment to) {
        if (FailureInjection.strikes()) {
            return -Errno.EIO;
        }
        try {
            // SAFETY: as many writable bytes as are named.
            return Linux.result(
                    (long) READ.invokeExact(errno, fd.number(), to, to.byteSize()), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    /**
     * Gives a frame to the host, as if it had come to the interface from outside.
     *
     * @param buffer native memory
     * @return its bytes, or the negative errno: EAGAIN, there is no room now; EIO, the interface is
     *     down; EBADFD, it is gone
     */
    public int send(MemorySegment buffer, long offset, int length) {
        Objects.checkFromIndexSize(offset, length, buffer.byteSize());
        if (FailureInjection.strikes()) {
            return -Errno.ENOMEM;
        }
        MemorySegment part = buffer.asSlice(offset, length);
        try {
            // SAFETY: as many readable bytes as are named.
            return (int)
                    Linux.result(
                            (long) WRITE.invokeExact(errno, fd.number(), part, part.byteSize()),
                            errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    /** Never fails; does nothing the second time. */
    @Override
    public void close() {
        fd.close();
    }
}
