// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
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

    /** What we can do. The one descriptor is that of the twin socket. */
    private static final String CAPABILITIES =
            "{\"capabilities\":{\"max_msg_fds\":1,\"max_data_xfer_size\":%d,\"pgsizes\":4096,\"twin_socket\":{\"supported\":true}}}\0"
                    .formatted(DeviceStream.DATA_MAX);

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
