// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import java.util.function.LongSupplier;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.loop.Polled;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.pci.PciFunction;
import org.ioasis.peer.LogLines;
import org.ioasis.peer.ServerWait;

/** A server with its loop, guards and memory around one function, at a socket in a new folder. */
final class ServerFixture<F extends PciFunction> implements AutoCloseable {
    static final int REGIONS = 64;
    static final SessionLimits LIMITS = new SessionLimits(1L << 40, 64 << 10);

    final Guards guards;
    final GuestMemory memory;
    final F function;
    final EventLoop loop;
    final VfioUserServer server;
    final LogLines log = new LogLines();
    private final Path folder;

    ServerFixture(SessionLimits limits, IdlePolicy idle, Function<GuestMemoryAndGuards, F> maker)
            throws IOException {
        this(REGIONS, limits, idle, System::nanoTime, maker);
    }

    ServerFixture(
            int regionLimit,
            SessionLimits limits,
            IdlePolicy idle,
            LongSupplier nanoTime,
            Function<GuestMemoryAndGuards, F> maker)
            throws IOException {
        folder = Files.createTempDirectory("ioasis-vfio-user");
        guards = new Guards(System::nanoTime, lease -> {});
        memory = new GuestMemory(guards, regionLimit);
        function = maker.apply(new GuestMemoryAndGuards(memory, guards));
        loop =
                new EventLoop(
                        "test-loop", Polled.of(guards::hasPending, guards::poll), nanoTime, idle);
        server = new VfioUserServer(loop, folder.resolve("f.sock"), function, memory, limits, log);
        loop.start();
    }

    /** What a function is made from. */
    record GuestMemoryAndGuards(GuestMemory memory, Guards guards) {}

    static ServerFixture<RecordingFunction> plain() throws IOException {
        return new ServerFixture<>(LIMITS, IdlePolicy.EVENT_DRIVEN, _ -> new RecordingFunction());
    }

    /** One more function, at a socket of its own, with memory of its own and on the same loop. */
    VfioUserServer another(Function<GuestMemoryAndGuards, F> maker) throws IOException {
        GuestMemory own = new GuestMemory(guards, REGIONS);
        return new VfioUserServer(
                loop,
                folder.resolve("another.sock"),
                maker.apply(new GuestMemoryAndGuards(own, guards)),
                own,
                LIMITS,
                log);
    }

    MockVfioUserClient connect() throws IOException {
        return MockVfioUserClient.connect(server.path());
    }

    MockVfioUserClient ready() throws IOException {
        return MockVfioUserClient.ready(server.path());
    }

    void awaitNoSession() {
        await(() -> !server.hasSession());
    }

    void onLoop(Runnable task) {
        if (!loop.executeAndWait(task, 10_000_000_000L)) {
            throw new IllegalStateException(loop.dump());
        }
    }

    void await(BooleanSupplier condition) {
        ServerWait.until(server, loop, condition);
    }

    @Override
    public void close() throws IOException {
        server.close();
        loop.close();
        Files.delete(folder);
    }
}
