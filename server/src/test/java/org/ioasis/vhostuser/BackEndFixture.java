// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ResourceBundle;
import java.util.function.BooleanSupplier;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.loop.Polled;
import org.ioasis.memory.DirectDma;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.pci.EchoType;
import org.ioasis.spec.Virtio;
import org.ioasis.sys.ErrnoException;
import org.jspecify.annotations.Nullable;

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
                        loop, folder.resolve("d.sock"), device, memory, BYTES, new NoLog());
        loop.start();
    }

    /** The reasons of sessions' ends are asserted, not read. */
    private static final class NoLog implements System.Logger {
        @Override
        public String getName() {
            return "none";
        }

        @Override
        public boolean isLoggable(Level level) {
            return false;
        }

        @Override
        public void log(
                Level level,
                @Nullable ResourceBundle bundle,
                @Nullable String text,
                @Nullable Throwable thrown) {}

        @Override
        public void log(
                Level level,
                @Nullable ResourceBundle bundle,
                @Nullable String text,
                @Nullable Object @Nullable ... parameters) {}
    }

    FrontEnd connect() throws ErrnoException {
        return FrontEnd.connect(server.path());
    }

    FrontEnd ready() throws ErrnoException {
        return FrontEnd.ready(server.path());
    }

    /** Until the first session has ended, which may not have begun yet. */
    void awaitFirstEnd() {
        long deadline = System.nanoTime() + FrontEnd.WAIT_MILLIS * 1_000_000L;
        await(deadline, () -> !server.lastReason().isEmpty());
    }

    void awaitNoSession() {
        long deadline = System.nanoTime() + FrontEnd.WAIT_MILLIS * 1_000_000L;
        await(deadline, () -> !server.hasSession());
    }

    private void await(long deadline, BooleanSupplier condition) {
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() - deadline > 0) {
                throw new IllegalStateException(
                        "does not happen; last end: " + server.lastReason() + "\n" + loop.dump());
            }
            Thread.onSpinWait();
        }
    }

    @Override
    public void close() throws IOException {
        server.close();
        loop.close();
        Files.delete(folder);
    }
}
