// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import java.nio.file.Path;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.Ticker;
import org.ioasis.memory.GuestMemory;
import org.ioasis.peer.PeerChannel;
import org.ioasis.peer.PeerServer;
import org.ioasis.peer.PeerSession;
import org.ioasis.peer.ServedDevice;
import org.ioasis.peer.SessionBoundary;
import org.ioasis.peer.SessionHost;
import org.ioasis.peer.StreamBuffers;
import org.ioasis.sys.ErrnoException;

/**
 * Offers one virtio device at a socket, as the back end of vhost-user. When a front end goes, the
 * device is as new.
 *
 * <p>Made and closed by any thread; works on the loop's.
 */
public final class VhostUserServer extends PeerServer {
    private static final System.Logger LOG = System.getLogger("org.ioasis.vhostuser");

    private final EventLoop loop;
    private final VhostUserDevice device;
    private final GuestMemory memory;
    private final long byteLimit;
    private final StreamBuffers buffers =
            new StreamBuffers(Codec.MESSAGE_MAX, Codec.MESSAGE_MAX, Codec.OUTPUT_BYTES);
    private final SessionBoundary boundary = new SessionBoundary(this);
    private final ServedDevice turns;

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
        turns = new ServedDevice(loop, device, boundary);
        device.reports(this::warn);
        serve();
    }

    @Override
    protected PeerSession<?> begin(PeerChannel channel, SessionHost host) {
        return new Session(channel, device, memory, byteLimit, buffers, loop, boundary, host);
    }

    @Override
    protected Ticker ticker() {
        return turns.ticker(device.device()::needsTick);
    }
}
