// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.loop.Polled;
import org.ioasis.memory.DirectDma;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.pci.EchoType;
import org.ioasis.peer.LogLines;
import org.ioasis.peer.ServerWait;
import org.ioasis.spec.Virtio;
import org.ioasis.sys.ErrnoException;

/** A server with its loop, guards and memory around one device, at a socket in a new folder. */
final class BackEndFixture implements AutoCloseable {
    static final int REGIONS = 16;
    static final long BYTES = 1L << 30;

    final Guards guards = new Guards(System::nanoTime, lease -> {});
    final GuestMemory memory = new GuestMemory(guards, REGIONS);
    final EchoType type;
    final VhostUserDevice device;
    final EventLoop loop;
    final VhostUserServer server;
    private final Path folder;

    BackEndFixture() throws IOException {
        this(Virtio.F_VERSION_1 | Virtio.F_RING_PACKED);
    }

    BackEndFixture(long frameFeatures) throws IOException {
        folder = Files.createTempDirectory("ioasis-vhost-user");
        loop =
                new EventLoop(
                        "test-loop",
                        Polled.of(guards::hasPending, guards::poll),
                        System::nanoTime,
                        IdlePolicy.EVENT_DRIVEN);
        type = new EchoType(loop::execute);
        device = new VhostUserDevice(type, new DirectDma(memory, guards.open()), frameFeatures);
        server =
                new VhostUserServer(
                        loop, folder.resolve("d.sock"), device, memory, BYTES, new LogLines());
        loop.start();
    }

    FrontEnd connect() throws ErrnoException {
        return FrontEnd.connect(server.path());
    }

    FrontEnd ready() throws ErrnoException {
        return FrontEnd.ready(server.path());
    }

    /** Until the first session has ended, which may not have begun yet. */
    void awaitFirstEnd() {
        ServerWait.until(server, loop, () -> !server.lastReason().isEmpty());
    }

    void awaitNoSession() {
        ServerWait.until(server, loop, () -> !server.hasSession());
    }

    @Override
    public void close() throws IOException {
        server.close();
        loop.close();
        Files.delete(folder);
    }
}
