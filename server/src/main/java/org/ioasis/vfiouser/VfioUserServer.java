// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.nio.file.Path;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.Ticker;
import org.ioasis.memory.GuestMemory;
import org.ioasis.pci.PciDevice;
import org.ioasis.peer.PeerChannel;
import org.ioasis.peer.PeerServer;
import org.ioasis.peer.PeerSession;
import org.ioasis.peer.ServedDevice;
import org.ioasis.peer.SessionBoundary;
import org.ioasis.peer.SessionHost;
import org.ioasis.peer.StreamBuffers;
import org.ioasis.sys.ErrnoException;

/**
 * Offers one PCI device at a socket. When a client goes, the function is reset.
 *
 * <p>Made and closed by any thread; works on the loop's.
 */
public final class VfioUserServer extends PeerServer {
    private static final System.Logger LOG = System.getLogger("org.ioasis.vfiouser");

    private final EventLoop loop;
    private final PciDevice function;
    private final ServedDevice turns;
    private final GuestMemory memory;
    private final SessionLimits limits;
    private final StreamBuffers buffers;
    private final SessionBoundary boundary;

    /**
     * Makes the socket and serves from now on.
     *
     * @param memory the function's guest memory; belongs to the clients of this server alone
     * @throws ErrnoException EADDRINUSE: somebody listens at {@code socket}; and what else bind(2)
     *     says
     */
    public VfioUserServer(
            EventLoop loop,
            Path socket,
            PciDevice function,
            GuestMemory memory,
            SessionLimits limits)
            throws ErrnoException {
        this(loop, socket, function, memory, limits, LOG);
    }

    VfioUserServer(
            EventLoop loop,
            Path socket,
            PciDevice function,
            GuestMemory memory,
            SessionLimits limits,
            System.Logger log)
            throws ErrnoException {
        super(loop, socket, memory, log);
        this.loop = loop;
        this.function = function;
        this.memory = memory;
        this.limits = limits;
        this.buffers =
                new StreamBuffers(
                        Codec.MESSAGE_MAX,
                        Codec.MESSAGE_MAX,
                        limits.outputBytes(),
                        Codec.LARGE_MAX);
        boundary = new SessionBoundary(this);
        turns = new ServedDevice(loop, function, boundary);
        function.reports(this::warn);
        serve();
    }

    @Override
    protected PeerSession<?> begin(PeerChannel channel, SessionHost host) {
        Doorbells doorbells = new Doorbells(loop, boundary, function);
        return new Session(
                channel, function, memory, limits, buffers, doorbells, loop::execute, host);
    }

    @Override
    protected Ticker ticker() {
        return turns.ticker(this::needsTick);
    }

    private boolean needsTick() {
        PeerSession<?> current = session();
        return current != null && !current.hasEnded() && function.needsTick();
    }
}
