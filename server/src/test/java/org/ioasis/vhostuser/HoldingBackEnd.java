// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Random;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.loop.Polled;
import org.ioasis.memory.DirectDma;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.peer.LogLines;
import org.ioasis.spec.Virtio;

/** A back end whose device holds chains; as a program, one that gives them back in any order. */
final class HoldingBackEnd implements AutoCloseable {
    private final Guards guards = new Guards(System::nanoTime, lease -> {});
    final EventLoop loop;
    final HoldingType type;
    final VhostUserDevice device;
    final VhostUserServer server;

    HoldingBackEnd(Path socket) throws IOException {
        GuestMemory memory = new GuestMemory(guards, BackEndFixture.REGIONS);
        loop =
                new EventLoop(
                        "test-loop",
                        Polled.of(guards::hasPending, guards::poll),
                        System::nanoTime,
                        IdlePolicy.EVENT_DRIVEN);
        type = new HoldingType(loop::execute);
        device =
                new VhostUserDevice(
                        type,
                        new DirectDma(memory, guards.open()),
                        Virtio.F_VERSION_1 | Virtio.F_RING_PACKED | Virtio.F_INDIRECT_DESC);
        server =
                new VhostUserServer(
                        loop, socket, device, memory, BackEndFixture.BYTES, new LogLines());
        loop.start();
    }

    /** Runs on the loop, and is done when this returns. */
    void run(Runnable task) {
        if (!loop.executeAndWait(task, BackEndFixture.BYTES * 10)) {
            throw new IllegalStateException(loop.dump());
        }
    }

    int held() {
        int[] held = new int[1];
        run(() -> held[0] = type.held());
        return held[0];
    }

    @Override
    public void close() {
        server.close();
        loop.close();
    }

    /** Serves at a socket until it is killed, or its parent is gone. */
    public static void main(String[] arguments) throws Exception {
        HoldingBackEnd backEnd = new HoldingBackEnd(Path.of(arguments[0]));
        System.out.println("ready");
        Random random = new Random();
        ProcessHandle parent = ProcessHandle.current().parent().orElseThrow();
        while (parent.isAlive()) {
            backEnd.run(() -> {
                int held = backEnd.type.held();
                // Rather not the last ones: some are to be in flight at any moment.
                if (held > random.nextInt(5)) {
                    backEnd.type.giveBack(random.nextInt(held));
                }
            });
            if (random.nextInt(4) == 0) {
                Thread.sleep(1);
            }
        }
        backEnd.close();
    }
}
