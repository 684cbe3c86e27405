// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import java.nio.file.Path;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.Rings;
import org.ioasis.loop.Ticker;
import org.ioasis.memory.GuestMemory;
import org.ioasis.peer.PeerChannel;
import org.ioasis.peer.PeerServer;
import org.ioasis.peer.PeerSession;
import org.ioasis.peer.SessionBoundary;
import org.ioasis.peer.SessionHost;
import org.ioasis.peer.StreamBuffers;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Mapping;

/**
 * Offers one virtio device at a socket, as the back end of vhost-user. When a front end goes, the
 * device is as new.
 *
 * <p>Made and closed by any thread; works on the loop's.
 */
public final class VhostUserServer extends PeerServer {
    private static final System.Logger LOG = System.getLogger("org.ioasis.vhostuser");
    private static final long TICK_NANOS = 500_000_000L;

    private final EventLoop loop;
    private final VhostUserDevice device;
    private final GuestMemory memory;
    private final long byteLimit;
    private final StreamBuffers buffers =
            new StreamBuffers(Codec.MESSAGE_MAX, Codec.OUTPUT_BYTES);
    private final SessionBoundary boundary = new SessionBoundary(this);

    /**
     * Makes the socket and serves from now on.
     *
     * @param memory the device's guest memory; belongs to the front ends of this server alone
     * @param byteLimit address space of what a front end's memory is mapped to, in bytes
     * @throws ErrnoException EADDRINUSE: somebody listens at {@code socket}; and what else bind(2)
     *     says
     */
    public VhostUserServer(
            EventLoop loop, Path socket, VhostUserDevice device, GuestMemory memory, long byteLimit)
            throws ErrnoException {
        this(loop, socket, device, memory, byteLimit, LOG);
    }

    @SuppressWarnings("this-escape") // called by the loop, when all is made
    VhostUserServer(
            EventLoop loop,
            Path socket,
            VhostUserDevice device,
            GuestMemory memory,
            long byteLimit,
            System.Logger log)
            throws ErrnoException {
        super(loop, socket, memory, log);
        this.loop = loop;
        this.device = device;
        this.memory = memory;
        this.byteLimit = byteLimit;
        Rings rings = new DeviceRings();
        device.watcher(() -> loop.watch(rings));
        device.reports(this::warn);
        serve();
    }

    @Override
    protected PeerSession<?> begin(PeerChannel channel, SessionHost host) {
        return new Session(
                channel, device, memory, byteLimit, buffers, loop, boundary, host);
    }

    @Override
    protected Ticker ticker() {
        return loop.ticker(TICK_NANOS, device.device()::needsTick, () -> boundary.run(this::tick));
    }

    private void tick() {
        device.device().tick(loop.nanoTime());
    }

    /** The rings as a busy loop looks at them. */
    private final class DeviceRings implements Rings {
        @Override
        public boolean look() {
            boolean isNew = device.device().watch().look();
            Mapping.raiseLate();
            return isNew;
        }

        @Override
        public boolean rest() {
            boolean isNew = device.device().watch().rest();
            Mapping.raiseLate();
            return isNew;
        }

        @Override
        public void failed(Throwable cause) {
            boundary.failed(cause);
        }
    }
}
