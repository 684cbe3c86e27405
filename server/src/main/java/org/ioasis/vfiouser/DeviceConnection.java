// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.UnixSocket;
import org.jspecify.annotations.Nullable;

/**
 * A connection to a device server that has told what it is, and been told of no memory yet. {@link
 * #open} for any thread that may wait; the rest for one.
 *
 * @param commands where we ask
 * @param twin where the server asks, or null: on the same socket
 */
record DeviceConnection(
        UnixSocket commands, @Nullable UnixSocket twin, ServerLimits limits, DeviceInfo info)
        implements AutoCloseable {

    /** Between one look for a server and the next. */
    private static final long AGAIN_NANOS = 10_000_000;

    /** What we can do. */
    private static final String CAPABILITIES =
            "{\"capabilities\":{\"max_msg_fds\":%d,\"max_data_xfer_size\":%d,\"pgsizes\":4096,\"twin_socket\":{\"supported\":true}}}\0"
                    .formatted(Codec.FDS_MAX, DeviceStream.DATA_MAX);

    /**
     * Connects and asks.
     *
     * @param waitMillis how long each answer may take
     * @throws IOException nobody listens there, or what listens is no device that can be served;
     *     the text says why
     */
    static DeviceConnection open(Path server, int waitMillis) throws IOException {
        ClientCalls calls = new ClientCalls(server, waitMillis);
        UnixSocket twin = null;
        boolean isOpen = false;
        try {
            ServerLimits limits = calls.version(CAPABILITIES);
            if (limits.dataMax() < Long.BYTES) {
                throw new IOException(
                        "the server takes %d bytes at a time, and registers have up to %d"
                                .formatted(limits.dataMax(), Long.BYTES));
            }
            if (limits.twinSocket() >= 0) {
                try (Fd fd = calls.takeReceived(limits.twinSocket())) {
                    twin = UnixSocket.of(fd);
                }
            }
            DeviceInfo info = DeviceInfo.of(calls);
            isOpen = true;
            return new DeviceConnection(calls.release(), twin, limits, info);
        } finally {
            if (!isOpen) {
                calls.close();
                if (twin != null) {
                    twin.close();
                }
            }
        }
    }

    /**
     * The same of a server that has gone, and may take its time to come again.
     *
     * @param isWaitedFor false: nobody needs it any more
     * @throws IOException it does not come, or is none that can be served
     */
    static DeviceConnection await(Path server, ProxySettings settings, BooleanSupplier isWaitedFor)
            throws IOException {
        long deadline =
                System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(settings.reconnectMillis());
        while (true) {
            LockSupport.parkNanos(AGAIN_NANOS);
            try {
                return open(server, settings.answerMillis());
            } catch (IOException e) {
                if (!isWaitedFor.getAsBoolean() || System.nanoTime() - deadline >= 0) {
                    throw new IOException(
                            "it has not come again within %d ms: %s"
                                    .formatted(settings.reconnectMillis(), e.getMessage()),
                            e);
                }
            }
        }
    }

    /** False if the server has closed it, or said something unasked. */
    boolean isAlive() {
        List<Fd> fds = new ArrayList<>();
        try {
            return commands.receive(Arena.ofAuto().allocate(1), 0, 1, fds) == -Errno.EAGAIN;
        } catch (ErrnoException e) {
            return false;
        } finally {
            fds.forEach(Fd::close);
        }
    }

    @Override
    public void close() {
        commands.close();
        if (twin != null) {
            twin.close();
        }
    }
}
